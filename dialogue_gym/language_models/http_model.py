"""A language model behind an OpenAI-compatible HTTP server: vLLM, llama.cpp, a paid service."""

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from dialogue_gym.dialogue import clean_text
from dialogue_gym.language_models.base import Completion, GenerationRequest, Sampling
from dialogue_gym.language_models.http_answers import (
    Failure,
    UnusableAnswerError,
    one_line,
    read_answer,
    refused,
)
from dialogue_gym.language_models.http_thread import LoopThread
from dialogue_gym.seeding import NoiseKey

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_LONGEST_BACKOFF = 16  # times the first wait
_NO_KEY = "no-key-given"  # what servers without keys are sent; the client insists on one
_SEEDS = 2**31  # some servers know no larger ones
_SHOWN = 300  # characters of what a server says


@dataclass(eq=False)
class HttpModel:
    """Chat completions over HTTP, many at once, asked for again when that may help.

    A row that fails for good has ``finish_reason`` "error" and one line about it; the others go on. The API
    key comes from the environment and appears in no error, identity, representation or pickle. Each row is
    sent a seed from its noise key; a server that honours seeds repeats itself. ``prompt_ids`` cannot be
    honoured and fail. The connections and their thread are opened by the first call and shared by all.

    Args:
        base_url: up to what stands before ``/chat/completions``: ``http://localhost:8000/v1``.
        model: the name that the server knows it by.
        concurrency: rows that are being answered at any time, waits before new attempts included.
        timeout_s: seconds that a connected server may be silent before the attempt is given up.
        deadline_s: seconds that one row may take, from its first attempt on.
        max_retries: attempts after the first: no connection, no answer in time, an unusable answer, HTTP
            408, 409, 425, 429 and 5xx. Anything else (a wrong key or model) fails at once.
        backoff_s: seconds before the second attempt, doubled before each further one, with up to half of it
            taken off at random. Where the server names a longer wait (``Retry-After``), that one.
        log_probs: whether to ask for log-probabilities. They are the server's: mostly untempered.
        token_ids: whether to ask for token ids (``return_token_ids``, vLLM). Other servers may refuse.
        seed: whether to send seeds; some servers refuse them.
        max_tokens_field: what the server calls ``Sampling.max_tokens``.
        extra_body: more fields for each request; ``None`` takes one out ({"top_p": None}).
        api_key_variable: the environment variable that holds the API key. Unless it is the default one, it
            must be set.

    Raises:
        ValueError: an address, name or number that cannot be; no key in the variable that was named.
        ImportError: the ``openai`` client is not installed.

    Example:
        >>> model = HttpModel("http://localhost:8000/v1", "Qwen/Qwen3-4B")
        >>> model.identity()
        {'engine': 'http', 'model': 'Qwen/Qwen3-4B', 'base_url': 'http://localhost:8000/v1', 'seed': True}
    """

    base_url: str
    model: str
    _: KW_ONLY
    concurrency: int = 32
    timeout_s: float = 60.0
    deadline_s: float = 180.0
    max_retries: int = 4
    backoff_s: float = 0.5
    log_probs: bool = False
    token_ids: bool = False
    seed: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: Mapping[str, Any] | None = None
    api_key_variable: str = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        self.base_url = _checked_url(self.base_url)
        self._check_settings()
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'language models over HTTP need openai: pip install "dialogue-gym[http]" ({error})'
            ) from error
        _api_key(self.api_key_variable)
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._end: Callable[[], object] | None = None

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        """One completion per request, in order; may be called from several threads."""
        if not requests:
            return []
        with self._lock:
            connection = self._open()
            answers = connection.thread.submit(self._answer_all(connection, requests, sampling))
        try:
            return answers.result()
        except concurrent.futures.CancelledError:
            error = f"{self}: closed before the answer came"
            return [Completion("", finish_reason="error", error=error) for _ in requests]
        except BaseException:  # above all KeyboardInterrupt: nothing goes on that nobody waits for
            answers.cancel()
            raise

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing: servers keep and drop their caches themselves."""

    def close(self) -> None:
        """Cancel what runs, close the connections, end the thread; a later call opens them again."""
        with self._lock:
            end, self._connection, self._end = self._end, None, None
        if end is not None:
            end()

    def cancel(self) -> None:
        """Calls that run return at once, with an error for each row; later calls open new connections."""
        self.close()

    def identity(self) -> dict[str, Any]:
        """JSON-able: engine, model, address, whether rows are seeded, and fields added to requests."""
        extra = {"extra_body": dict(self.extra_body)} if self.extra_body else {}
        return {
            "engine": "http",
            "model": self.model,
            "base_url": self.base_url,
            "seed": self.seed,
            **extra,
        }

    def __str__(self) -> str:
        return f"{self.model!r} at {self.base_url}"

    def __copy__(self) -> "HttpModel":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "HttpModel":
        """The model itself, so that copies of an environment share its connections and their bound."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_settings, ({f.name: getattr(self, f.name) for f in fields(self)},)

    def _open(self) -> "_Connection":
        """The connection; a new one at first, after ``close``, and in a forked process."""
        if self._connection is None or not self._connection.thread.alive:
            self._connection = _Connection(self)
            self._end = weakref.finalize(self, self._connection.thread.close)  # also at exit
        return self._connection

    def _check_settings(self) -> None:
        _require(isinstance(self.model, str) and self.model, f"model must be a name, got {self.model!r}")
        for name, least in (("concurrency", 1), ("max_retries", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            _require(whole and value >= least, f"{name} must be an int of at least {least}, got {value!r}")
        _require(
            self.extra_body is None or isinstance(self.extra_body, Mapping),
            f"extra_body must be a dict, got {self.extra_body!r}",
        )
        for name in ("timeout_s", "deadline_s", "backoff_s"):
            value = getattr(self, name)
            _require(isinstance(value, int | float) and value > 0, f"{name} must be positive, got {value!r}")
        known = ("max_tokens", "max_completion_tokens")
        _require(
            self.max_tokens_field in known,
            f"max_tokens_field must be one of {', '.join(known)}, got {self.max_tokens_field!r}",
        )

    async def _answer_all(
        self, connection: "_Connection", requests: Sequence[GenerationRequest], sampling: Sampling
    ) -> list[Completion]:
        return await asyncio.gather(*(self._answer(connection, r, sampling) for r in requests))

    async def _answer(
        self, connection: "_Connection", request: GenerationRequest, sampling: Sampling
    ) -> Completion:
        if request.prompt_ids is not None:
            error = f"{self}: chat servers take messages, not token ids (prompt_ids)"
            return Completion("", finish_reason="error", error=error)
        # held while a row waits for its next attempt, too: a server in trouble is asked less
        async with connection.slots:
            return await self._persist(connection.client, self._call(request, sampling), request.key)

    async def _persist(self, client: "AsyncOpenAI", call: dict[str, Any], key: NoiseKey) -> Completion:
        """Attempts until one succeeds, is hopeless, or there is no time or try left."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.deadline_s
        attempt = 0
        while True:
            outcome = await self._attempt(client, call, deadline)
            if isinstance(outcome, Completion):
                return outcome
            wait = self._wait(outcome, attempt, key)
            too_late = clock() + wait >= deadline
            if not outcome.transient or attempt == self.max_retries or too_late:
                return self._given_up(client.api_key, outcome, attempt + 1, too_late)
            await asyncio.sleep(wait)
            attempt += 1

    async def _attempt(
        self, client: "AsyncOpenAI", call: dict[str, Any], deadline: float
    ) -> Completion | Failure:
        import openai

        try:
            async with asyncio.timeout_at(deadline):
                answer = await client.chat.completions.with_raw_response.create(**call)
            return read_answer(answer.http_response.content)
        except openai.APIStatusError as error:
            return refused(error.status_code, error.response.headers, error.body, self.api_key_variable)
        except TimeoutError:
            return Failure(f"no answer within {self.deadline_s:g} s", "a longer deadline_s may help")
        except openai.APITimeoutError:
            return Failure(f"no answer within {self.timeout_s:g} s", "a longer timeout_s may help")
        except openai.APIConnectionError as error:
            cause = one_line(str(error.__cause__)) or type(error.__cause__).__name__
            return Failure(f"the connection failed: {cause}", "is a server running there?")
        except UnusableAnswerError as error:
            return Failure(f"the answer is no chat completion: {error}", "is base_url an OpenAI-style API?")

    def _wait(self, failure: Failure, attempt: int, key: NoiseKey) -> float:
        """Seconds before the next attempt; the jitter comes from the key, and no global stream is touched."""
        jitter = key.child("retry", attempt).uniform()
        backoff = self.backoff_s * min(2.0**attempt, _LONGEST_BACKOFF) * (1 - jitter / 2)
        return max(backoff, failure.wait_s)

    def _given_up(self, api_key: str, failure: Failure, attempts: int, too_late: bool) -> Completion:
        # servers quote the key that they refuse; it goes before the line is cut, so that no part stays
        problem = failure.problem.replace(api_key, "***")[:_SHOWN]
        if failure.transient:
            tries = "1 try" if attempts == 1 else f"{attempts} tries"
            late = f", the next would miss the deadline of {self.deadline_s:g} s" if too_late else ""
            problem = f"{problem} (given up after {tries}{late})"
        line = "; ".join(filter(None, [f"{self}: {problem}", failure.advice]))
        return Completion("", finish_reason="overflow" if failure.overflow else "error", error=line)

    def _call(self, request: GenerationRequest, sampling: Sampling) -> dict[str, Any]:
        """The arguments of the client's call."""
        fields: dict[str, Any] = {
            self.max_tokens_field: sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.key.child("tokens").seed() % _SEEDS if self.seed else None,
            "logprobs": self.log_probs or None,
            "return_token_ids": self.token_ids or None,
            **(self.extra_body or {}),
        }
        return {
            "model": self.model,
            "messages": [{"role": m["role"], "content": clean_text(m["content"])} for m in request.messages],
            "extra_body": {name: value for name, value in fields.items() if value is not None},
        }


class _Connection:
    """The client, its thread and the bound on what runs at once; knows nothing of the model that owns it."""

    def __init__(self, settings: HttpModel) -> None:
        import openai

        # The client's own retries neither repeat unusable answers nor say, when time is up, what went wrong.
        self.client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=_api_key(settings.api_key_variable),
            # None for connecting: cut short, anyio leaves sockets open; the deadline of the row bounds it
            timeout=openai.Timeout(settings.timeout_s, connect=None, pool=None),
            max_retries=0,
        )
        self.slots = asyncio.Semaphore(settings.concurrency)
        self.thread = LoopThread("http-language-model", at_end=self.client.close)


def _api_key(variable: str) -> str:
    """The API key in an environment variable; a stand-in where the default one is not set.

    Raises:
        ValueError: a variable that is not set, or holds what cannot be sent; the message does not show it.
    """
    key = os.environ.get(variable, "").strip()
    _require(
        key or variable == HttpModel.api_key_variable,
        f"the environment variable {variable} (api_key_variable) is not set; it should hold the API key",
    )
    _require(
        key.isascii() and key.isprintable() and " " not in key,
        f"the environment variable {variable} holds more than an API key: spaces, or letters beyond ASCII",
    )
    return key or _NO_KEY


def _checked_url(url: str) -> str:
    """The address without a slash at its end.

    Raises:
        ValueError: no web address, or one that holds a password or query, which are not shown.
    """
    good = "http://HOST:PORT/v1 or https://HOST/v1"
    _require(isinstance(url, str), f"base_url must be {good}, got {url!r}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"language model 'http': base_url must be {good}; {error}") from None
    _require(
        not (parts.username or parts.password or parts.query),
        f"base_url must be {good}, without a user name, password or query; keys come from the environment",
    )
    _require(
        parts.scheme in ("http", "https") and host and not parts.fragment and url.split() == [url],
        f"base_url must be {good}, got {url!r}",
    )
    return url.rstrip("/")


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise ValueError(f"language model 'http': {problem}")


def _from_settings(settings: dict[str, Any]) -> HttpModel:
    return HttpModel(**settings)
