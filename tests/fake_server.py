"""An OpenAI-compatible server in the process of the tests, which fails in every way that real ones do."""

import asyncio
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from dialogue_gym.seeding import NoiseKey
from tests.fake_server_engine import Engine, KeyedEngine, prompt_log_probs, sample

Fault = Literal[
    "401",
    "404",
    "429",
    "500",
    "not_json",  # a page in place of JSON
    "no_choices",  # JSON, but no completion
    "truncated",  # half of the JSON, in an answer that is whole for HTTP
    "cut_off",  # half of the answer, then the connection closes
    "junk",  # bytes that are neither text nor JSON
    "endless",  # junk until the client leaves
    "slow",  # the answer comes too late
    "dropped",  # the connection closes without an answer
]
TRANSIENT: tuple[Fault, ...] = (
    "429",
    "500",
    "not_json",
    "no_choices",
    "truncated",
    "cut_off",
    "junk",
    "slow",
    "dropped",
)
TINY = str(files("dialogue_gym.language_models") / "tiny")
TINY_TOKENS = KeyedEngine(1000, 1)
"""Token ids that the tokenizer of the tiny model knows, its end of a turn among them."""
_COMPLETIONS = ("chat/completions", "completions")


@dataclass
class Call:
    """A request, and what became of it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    fault: Fault | None = None


def echo_seed(body: dict[str, Any]) -> str:
    return f"I heard {body['messages'][-1]['content']!r} (seed {body.get('seed')})"


class FakeServer:
    """Answers on a free port of this machine until the ``with`` block ends.

    It knows /v1/chat/completions and, as vLLM has them, /v1/completions on token ids, /v1/models,
    /v1/load_lora_adapter and /v1/unload_lora_adapter.

    Args:
        answer: the assistant's text for the body of a chat completion.
        engine: what completions on token ids are sampled from.
        max_context: tokens that a context and its completion may have together.
        processed: whether log-probabilities are of the tempered distribution.
        script: faults of the first completions, None where a call succeeds.
        scripts: the same for other paths: {"models": ["500"]}.
        faults: drawn from for later completions.
        share: of later completions that fail. Whether one fails depends on the seed, its body and how often
            that was sent before, so that it is the same in any order.
        seed: of those draws.
        key: the API key to insist on. A wrong one is quoted in the refusal, as careless servers do.
        model: the one model that is served.
        room: letters that a conversation may have.
        latency_s: before each answer.
        slow_s: before a "slow" one.
        retry_after: the header of a 429.
        port: to listen on; a free one if 0.
        extra: fields of a choice (such as logprobs), and of the answer under "answer".

    Attributes:
        calls: requests for completions.
        others: requests for anything else.
        adapters: the folders of loaded adapters, by name.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str] = echo_seed,
        *,
        engine: Engine | None = None,
        max_context: int = 4096,
        processed: bool = True,
        script: Iterable[Fault | None] = (),
        scripts: Mapping[str, Iterable[Fault | None]] | None = None,
        faults: Sequence[Fault] = TRANSIENT,
        share: float = 0.0,
        seed: int = 0,
        key: str | None = None,
        model: str = "m",
        room: int = 100_000,
        latency_s: float = 0.0,
        slow_s: float = 60.0,
        retry_after: str = "0.05",
        port: int = 0,
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
        self.engine, self.max_context, self.processed = engine, max_context, processed
        self.scripts = {path: deque(faults) for path, faults in (scripts or {}).items()}
        self.port, self.extra = port, extra or {}
        self.adapters: dict[str, str] = {}
        self.calls: list[Call] = []
        self.others: list[Call] = []
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

    def await_call(self) -> None:
        """Wait until the first completion is asked for."""
        while not self.calls:
            time.sleep(0.01)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=512)
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
        path = head[0].split()[1].removeprefix("/v1/")
        call = Call(path, headers, json.loads(body or "{}"), self._loop.time())
        call.fault = self._fault(path, body.decode())
        (self.calls if path in _COMPLETIONS else self.others).append(call)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.slow_s if call.fault == "slow" else self.latency_s)
            return await self._respond(writer, call)
        finally:
            self.at_once -= 1

    def _fault(self, path: str, body: str) -> Fault | None:
        script = self.script if path in _COMPLETIONS else self.scripts.get(path)
        if script or path not in _COMPLETIONS:
            return script.popleft() if script else None
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
        if call.fault == "404":
            return await _send(writer, 404, {"detail": "Not Found"})
        if call.fault == "429":
            return await _send(writer, 429, _error("Slow down.", None), {"Retry-After": self.retry_after})
        if call.fault == "500":
            return await _send(writer, 500, "<html>Internal Server Error</html>")
        if call.fault == "not_json":
            return await _send(writer, 200, "<html>\n<body>Back soon</body></html>")
        if call.fault == "no_choices":
            return await _send(writer, 200, {"error": {"message": "upstream failed"}})
        if call.fault in ("junk", "endless"):
            return await _send_junk(writer, for_ever=call.fault == "endless")
        status, answer = self._answer(call)
        if call.fault == "truncated":
            text = json.dumps(answer)
            return await _send(writer, status, text[: len(text) // 2])
        return await _send(writer, status, answer, cut=call.fault == "cut_off")

    def _answer(self, call: Call) -> tuple[int, Any]:
        """The status and body of an answer without a fault."""
        answers = {
            "chat/completions": self._chat,
            "completions": self._completions,
            "models": self._models,
            "load_lora_adapter": self._load,
            "unload_lora_adapter": self._unload,
        }
        if call.path not in answers:
            return 404, {"detail": "Not Found"}
        known = call.body.get("model", self.model) in (self.model, *self.adapters)
        if not known:
            return 404, _error(f"The model `{call.body['model']}` does not exist.", "model_not_found")
        return answers[call.path](call.body)

    def _chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        letters = sum(len(message["content"]) for message in body["messages"])
        if letters > self.room:
            text = f"This model's maximum context length is {self.room} tokens. However, you sent {letters}."
            return 400, _error(text, None)
        choice = {"message": {"role": "assistant", "content": self.answer(body)}, "finish_reason": "stop"}
        return 200, self._completion("chat.completion", choice)

    def _completions(self, body: dict[str, Any]) -> tuple[int, Any]:
        assert self.engine is not None, "this server was given no engine"
        ids, adapter = body["prompt"], self.adapters.get(body["model"])
        if len(ids) + body["max_tokens"] > self.max_context:
            return 400, _error(  # vLLM 0.32, word for word
                f"This model's maximum context length is {self.max_context} tokens. However, your prompt "
                f"contains {len(ids)} input tokens, which exceeds this limit even without any output tokens. "
                "Please reduce the length of the input prompt.",
                400,
            )
        sampled, log_probs = sample(self.engine, body, adapter, self.processed)
        ended = sampled[-1] in (body.get("stop_token_ids") or ())
        choice: dict[str, Any] = {"text": "?", "finish_reason": "stop" if ended else "length"}
        if body.get("logprobs") is not None:
            choice["logprobs"] = {"tokens": ["?"] * len(sampled), "token_logprobs": log_probs}
        if body.get("return_token_ids"):
            choice |= {"token_ids": sampled, "prompt_token_ids": ids}
        if body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = prompt_log_probs(self.engine, ids, adapter)
        return 200, self._completion("text_completion", choice)

    def _completion(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        more = {name: value for name, value in self.extra.items() if name != "answer"}
        choices = [{"index": 0, **choice, **more}]
        answer = {"id": "cmpl-1", "object": kind, "model": self.model, "choices": choices}
        return answer | self.extra.get("answer", {})

    def _models(self, body: dict[str, Any]) -> tuple[int, Any]:
        cards = [{"id": self.model, "object": "model", "max_model_len": self.max_context}]
        cards += [{"id": name, "object": "model", "parent": self.model} for name in self.adapters]
        return 200, {"object": "list", "data": cards}

    def _load(self, body: dict[str, Any]) -> tuple[int, Any]:
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            return 400, _error(f"The lora adapter '{name}' has already been loaded.", 400)
        if not Path(path).is_dir():
            return 404, _error(f"Loading lora {name} failed: No adapter found for {path}", 404)
        self.adapters[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _unload(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["lora_name"]
        if name not in self.adapters:
            return 404, _error(f"The lora adapter '{name}' cannot be found.", 404)
        del self.adapters[name]
        return 200, f"Success: LoRA adapter '{name}' removed successfully."


def _error(message: str, code: str | int | None) -> dict[str, Any]:
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


async def _send_junk(writer: asyncio.StreamWriter, for_ever: bool) -> bool:
    """A stream without a length, of bytes that mean nothing; an endless one ends with the client."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = bytes(range(256)) * (4096 if for_ever else 1)
    while True:
        writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        await writer.drain()
        if not for_ever:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True


def token_server(**settings: Any) -> FakeServer:
    """A server of token ids, for the tokenizer of the tiny model."""
    return FakeServer(**{"engine": TINY_TOKENS, **settings})
