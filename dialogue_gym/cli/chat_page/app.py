"""The page's HTTP interface: dialogues as JSON, and the three files of the page."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dialogue_gym.cli.chat_page.chats import Chat, Chats, Refused
from dialogue_gym.cli.talking import AGENT_BRIEF, RATINGS

MAX_BODY = 200_000
"""Bytes of one message, as JSON."""

_POLL_S = 20.0
_LOOK_S = 0.05
_SWEEP_S = 5.0
_HEADERS = {
    # nothing from elsewhere, nothing inline: text can never become part of the page
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FILES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}

Handler = Callable[[Request], Awaitable[Response]]


def make_app(chats: Chats, hosts: Sequence[str], stopping: Callable[[], bool]) -> Starlette:
    """The application.

    Args:
        chats: the dialogues; swept while the application runs, and closed when it ends.
        hosts: names that it answers to ("*" for any): pages of others must not reach it by a name of theirs.
        stopping: whether the server is about to end, so that nobody waits.
    """
    page = _Page(chats, stopping)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(chats))
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await run_in_threadpool(chats.close)

    return Starlette(
        routes=[
            Route("/", _file("page.html")),
            *(Route(f"/{name}", _file(name)) for name in _FILES),
            Route("/api/about", page.about),
            Route("/api/chats", page.begin, methods=["POST"]),
            Route("/api/chats/{id}", page.show),
            Route("/api/chats/{id}/say", page.say, methods=["POST"]),
            Route("/api/chats/{id}/rate", page.rate, methods=["POST"]),
            Route("/api/chats/{id}/leave", page.leave, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers={HTTPException: _explain, Refused: _refuse},
        lifespan=lifespan,
    )


class _Page:
    """The requests that the page makes; what may wait for a lock or the disk does so in a thread."""

    def __init__(self, chats: Chats, stopping: Callable[[], bool]) -> None:
        self._chats, self._stopping = chats, stopping

    async def about(self, request: Request) -> Response:
        table, log = self._chats.table, self._chats.log
        brief = AGENT_BRIEF[table.kind] if table.role == "agent" else ""
        return _json(
            {
                "env": table.env_id,
                "kind": table.kind,
                "role": table.role,
                "log": log.name,
                "agent_brief": brief,
            }
        )

    async def begin(self, request: Request) -> Response:
        consent = (await _body(request)).get("consent")
        if not isinstance(consent, bool):
            raise HTTPException(400, "'consent' is true or false")
        chat = await run_in_threadpool(self._chats.begin, consent)
        return _json({"id": chat.id, **await run_in_threadpool(chat.view)})

    async def show(self, request: Request) -> Response:
        """The state once it is another than the page knows, or after a while."""
        chat = self._chat(request)
        known = request.query_params.get("after", "")
        for _ in range(int(_POLL_S / _LOOK_S)):
            if str(chat.version) != known or self._stopping():
                break
            await asyncio.sleep(_LOOK_S)
        return _json({**await run_in_threadpool(chat.view), "stopping": self._stopping()})

    async def say(self, request: Request) -> Response:
        body = await _body(request)
        text, stop = body.get("text", ""), body.get("stop", False)
        if not isinstance(text, str) or not isinstance(stop, bool):
            raise HTTPException(400, "'text' is a text, and 'stop' is true or false")
        chat = self._chat(request)
        await run_in_threadpool(chat.say, text, stop)
        return _json(await run_in_threadpool(chat.view))

    async def rate(self, request: Request) -> Response:
        rating = (await _body(request)).get("rating")
        if rating is not None and (type(rating) is not int or rating not in RATINGS):
            raise HTTPException(400, "'rating' is a whole number from 1 to 5, or null")
        chat = self._chat(request)
        await run_in_threadpool(chat.rate, rating)
        return _json(await run_in_threadpool(chat.view))

    async def leave(self, request: Request) -> Response:
        await _body(request)
        await run_in_threadpool(self._chat(request).leave)
        return _json({})

    def _chat(self, request: Request) -> Chat:
        try:
            return self._chats.find(request.path_params["id"])
        except KeyError:
            raise HTTPException(
                404, "This dialogue is over: its page was not heard of for too long."
            ) from None


async def _sweep(chats: Chats) -> None:
    while True:
        await asyncio.sleep(_SWEEP_S)
        await run_in_threadpool(chats.sweep)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; only pages of this server can send one without being asked first."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "the body must be application/json")
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise HTTPException(413, f"This message is too long: {MAX_BODY} bytes are the limit.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return body


def _file(name: str) -> Handler:
    content = (files(__package__) / name).read_bytes()

    async def send(request: Request) -> Response:
        return Response(content, media_type=_FILES[name], headers=_HEADERS)

    return send


def _json(data: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse(data, status, headers=_HEADERS)


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)


async def _refuse(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 409)
