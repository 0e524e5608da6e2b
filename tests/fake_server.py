"""An OpenAI-compatible server in the process of the tests, which fails in every way that real ones do."""

import asyncio
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dialogue_gym.seeding import NoiseKey

Fault = Literal["401", "404", "429", "500", "not_json", "no_choices", "cut_off", "slow", "dropped"]
TRANSIENT: tuple[Fault, ...] = ("429", "500", "not_json", "no_choices", "cut_off", "slow", "dropped")


@dataclass
class Call:
    """A request for a chat completion, and what became of it."""

    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    fault: Fault | None = None


def echo_seed(body: dict[str, Any]) -> str:
    return f"I heard {body['messages'][-1]['content']!r} (seed {body.get('seed')})"


class FakeServer:
    """Answers POST /v1/chat/completions on a free port of this machine until the ``with`` block ends.

    Args:
        answer: the assistant's text for a request body.
        script: faults of the first calls, None where a call succeeds.
        faults: drawn from for later calls.
        share: of later calls that fail. Whether one fails depends on the seed, its body and how often that
            was sent before, so that it is the same in any order.
        seed: of those draws.
        key: the API key to insist on. A wrong one is quoted in the refusal, as careless servers do.
        model: the one model that is served.
        room: letters that a conversation may have.
        latency_s: before each answer.
        slow_s: before a "slow" one.
        retry_after: the header of a 429.
        extra: fields of a choice (such as logprobs), and of the answer under "answer".
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str] = echo_seed,
        *,
        script: Iterable[Fault | None] = (),
        faults: Sequence[Fault] = TRANSIENT,
        share: float = 0.0,
        seed: int = 0,
        key: str | None = None,
        model: str = "m",
        room: int = 100_000,
        latency_s: float = 0.0,
        slow_s: float = 60.0,
        retry_after: str = "0.05",
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.answer, self.script, self.faults, self.share, self.seed = (
            answer,
            deque(script),
            faults,
            share,
            seed,
        )
        self.key, self.model, self.room = key, model, room
        self.latency_s, self.slow_s, self.retry_after = latency_s, slow_s, retry_after
        self.extra = extra or {}
        self.calls: list[Call] = []
        self.at_once = self.most_at_once = 0
        self._sent: Counter[str] = Counter()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fake-server")

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def spec(self) -> str:
        return f"{self.base_url}#{self.model}"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()  # and asyncio.run cancels the connections

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the server is to end
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if head[0].split()[1] != "/v1/chat/completions":
            return await _send(writer, 404, {"detail": "Not Found"})
        call = Call(headers, json.loads(body), self._loop.time())
        call.fault = self._fault(body.decode())
        self.calls.append(call)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.slow_s if call.fault == "slow" else self.latency_s)
            return await self._respond(writer, call)
        finally:
            self.at_once -= 1

    def _fault(self, body: str) -> Fault | None:
        if self.script:
            return self.script.popleft()
        draw = NoiseKey((self.seed, body, self._sent[body]))
        self._sent[body] += 1
        return draw.child("which").choice(self.faults) if draw.uniform() < self.share else None

    async def _respond(self, writer: asyncio.StreamWriter, call: Call) -> bool:
        given = call.headers.get("authorization", "").removeprefix("Bearer ")
        if call.fault == "dropped":
            return False
        if call.fault == "401" or (self.key and given != self.key):
            return await _send(
                writer, 401, _error(f"Incorrect API key provided: {given}.", "invalid_api_key")
            )
        if call.fault == "404" or call.body["model"] != self.model:
            missing = _error(f"The model `{call.body['model']}` does not exist.", "model_not_found")
            return await _send(writer, 404, missing)
        if call.fault == "429":
            return await _send(writer, 429, _error("Slow down.", None), {"Retry-After": self.retry_after})
        if call.fault == "500":
            return await _send(writer, 500, "<html>Internal Server Error</html>")
        if call.fault == "not_json":
            return await _send(writer, 200, "<html>\n<body>Back soon</body></html>")
        if call.fault == "no_choices":
            return await _send(writer, 200, {"error": {"message": "upstream failed"}})
        letters = sum(len(message["content"]) for message in call.body["messages"])
        if letters > self.room:
            text = f"This model's maximum context length is {self.room} tokens. However, you sent {letters}."
            return await _send(writer, 400, _error(text, None))
        return await _send(writer, 200, self._completion(call.body), cut=call.fault == "cut_off")

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.answer(body)},
            "finish_reason": "stop",
            **{name: value for name, value in self.extra.items() if name != "answer"},
        }
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": self.model,
            "choices": [choice],
            **self.extra.get("answer", {}),
        }


def _error(message: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: Any,
    headers: dict[str, str] | None = None,
    cut: bool = False,
) -> bool:
    page = isinstance(body, str)
    content = (body if page else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {'text/html' if page else 'application/json'}"]
    lines += [f"Content-Length: {len(content)}", *(f"{n}: {v}" for n, v in (headers or {}).items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + content[: len(content) // (2 if cut else 1)])
    await writer.drain()
    return not cut
