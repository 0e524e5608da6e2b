"""OpenAI's own client, set up so that every question goes through it once and no answer fills the memory.

Opened only by those who talk to servers.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai

from dialogue_gym.language_models.http_answers import UnusableAnswerError

_NO_KEY = "no-key-given"  # what servers without keys are sent; the client insists on one
_LARGEST = 2**26  # bytes of an answer; a server that sends junk for ever must not fill the memory


class _BoundedBody(httpx2.AsyncByteStream):
    """The body of an answer, given up where it has no end."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._body:
            size += len(chunk)
            if size > _LARGEST:
                raise UnusableAnswerError(f"more than {_LARGEST >> 20} MiB, the rest was not read")
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        answer.stream = _BoundedBody(answer.stream)
        return answer


def make_client(base_url: str, key: str | None, timeout_s: float, concurrency: int) -> openai.AsyncOpenAI:
    """A client that tries once: its own retries neither repeat unusable answers nor say what went wrong.

    Args:
        base_url: of one of the servers; questions to others are asked by whole addresses.
        key: the API key, or None.
        timeout_s: seconds that a connected server may be silent.
        concurrency: connections to keep open.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency)
    # None for connecting: cut short, anyio leaves sockets open; the deadline of the row bounds it
    timeout = httpx2.Timeout(timeout_s, connect=None, pool=None)
    transport = _Transport(limits=limits)
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=key or _NO_KEY,
        timeout=timeout,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(transport=transport, timeout=timeout),
    )


async def send(client: openai.AsyncOpenAI, url: str, body: Any | None) -> httpx2.Response:
    """Ask one question, POST with a body and GET without; the answer, refusals included.

    Raises:
        UnusableAnswerError: a body without end.
        openai.APIConnectionError: no answer.
    """
    try:
        if body is None:
            return await client.get(url, cast_to=httpx2.Response)
        return await client.post(url, cast_to=httpx2.Response, body=body)
    except openai.APIStatusError as error:
        return error.response
    except openai.APIConnectionError as error:
        if isinstance(error.__cause__, UnusableAnswerError):
            raise error.__cause__ from None
        raise
