"""A language model behind an OpenAI-compatible HTTP server: vLLM, llama.cpp, a paid service."""

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from dialogue_gym.language_models import http_adapters
from dialogue_gym.language_models.base import Completion, GenerationRequest, LanguageModelError, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.http_adapters import Adapter
from dialogue_gym.language_models.http_answers import Failure
from dialogue_gym.language_models.http_calls import Connection, Patience
from dialogue_gym.language_models.http_rows import Rows, context_ids, failed
from dialogue_gym.language_models.http_settings import (
    api_key,
    check_positive,
    check_whole,
    checked_urls,
    require,
)
from dialogue_gym.language_models.http_tokens import tokenizer_codec
from dialogue_gym.language_models.shown import shown

T = TypeVar("T")


@dataclass(eq=False)
class HttpModel:
    """Completions over HTTP, many at once, asked for again when that may help.

    A row that fails for good has ``finish_reason`` "error" and one line about it; the others go on. The API
    key comes from the environment and appears in no error, identity, representation or pickle. Each row is
    sent a seed from its noise key; a server that honours seeds repeats itself. The connections and their
    thread are opened by the first call and shared by all.

    Without a tokenizer it asks for chat completions; ``prompt_ids`` cannot be honoured and fail. With one it
    works on token ids, over ``/completions`` as vLLM has it, and is an ``AdapterModel``: it has a ``codec``,
    ``score``, ``load_adapter`` and ``max_context``, and can be the policy of a learner.

    Args:
        base_url: up to what stands before ``/chat/completions``: ``http://localhost:8000/v1``; or several
            such, in a list or with commas between them, of servers of the same model. A request goes to the
            one with the fewest in flight; a dialogue stays with its server while that answers; retries go to
            another; one that refuses connections is left alone for a while.
        model: the name that the servers know it by.
        tokenizer: folder or hub name of the model's tokenizer, to work on token ids.
        concurrency: rows that are being answered at any time, waits before new attempts included.
        timeout_s: seconds that a connected server may be silent before the attempt is given up.
        deadline_s: seconds that one row may take, from its first attempt on.
        max_retries: attempts after the first: no connection, no answer in time, an unusable answer, HTTP
            408, 409, 425, 429 and 5xx. Anything else (a wrong key or model) fails at once. Where no server
            has ever taken a connection and one row has given up, the others try once.
        backoff_s: seconds before the second attempt, doubled before each further one, with up to half of it
            taken off at random. Where the server names a longer wait (``Retry-After``), that one, unless
            another server can be asked.
        log_probs: whether to ask for log-probabilities. They are the server's: mostly untempered. With a
            tokenizer they always come, and vLLM must be started with ``--logprobs-mode processed_logprobs``
            for those of the tempered distribution.
        token_ids: whether to ask for token ids (``return_token_ids``, vLLM). Other servers may refuse.
            With a tokenizer they always come.
        seed: whether to send seeds; some servers refuse them.
        max_tokens_field: what the server calls ``Sampling.max_tokens`` in chat completions.
        extra_body: more fields for each request; ``None`` takes one out ({"top_p": None}).
            Its texts may be keys and are not shown either; logs tell them apart by a short hash.
        api_key_variable: the environment variable that holds the API key. Unless it is the default one, it
            must be set.

    Raises:
        ValueError: an address, name or number that cannot be; no key in the variable that was named; a
            tokenizer without a chat template, or whose template rewrites history.
        FileNotFoundError: no tokenizer there.
        ImportError: the HTTP client, or for a tokenizer transformers, is not installed.

    Example:
        >>> model = HttpModel("http://localhost:8000/v1", "Qwen/Qwen3-4B")
        >>> model.identity()
        {'engine': 'http', 'model': 'Qwen/Qwen3-4B', 'base_url': 'http://localhost:8000/v1', 'seed': True}
    """

    base_url: str | Sequence[str]
    model: str
    _: KW_ONLY
    tokenizer: str | None = None
    concurrency: int = 32
    timeout_s: float = 60.0
    deadline_s: float = 180.0
    max_retries: int = 4
    backoff_s: float = 0.5
    log_probs: bool = False
    token_ids: bool = False
    seed: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)
    api_key_variable: str = "OPENAI_API_KEY"
    codec: ChatCodec = field(init=False, repr=False)  # only there with a tokenizer

    def __post_init__(self) -> None:
        self._urls = checked_urls(self.base_url)
        self.base_url = self._urls[0] if len(self._urls) == 1 else list(self._urls)
        self._check_settings()
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'language models over HTTP need openai: pip install "dialogue-gym[http]" ({error})'
            ) from error
        self._key()
        if self.tokenizer is not None:
            self.codec = tokenizer_codec(self.tokenizer)
        self._rows = Rows(
            self.model,
            None if self.tokenizer is None else self.codec,
            self.seed,
            self.log_probs,
            self.token_ids,
            self.max_tokens_field,
            self.extra_body or {},
        )
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._end: Callable[[], object] | None = None

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        """One completion per request, in order; may be called from several threads."""
        if not requests:
            return []
        rows = [(request, self._rows.prompt(request), sampling) for request in requests]
        try:
            return self._run(lambda server: _gathered(self._rows.answer(server, *row) for row in rows))
        except concurrent.futures.CancelledError:
            return [failed(f"{self}: closed before the answer came") for _ in requests]

    def score(
        self, requests: Sequence[GenerationRequest], texts: Sequence[str | Sequence[int]]
    ) -> list[list[float]]:
        """Log-probabilities of given replies, at temperature 1; see ``TransformersModel.score``.

        Raises:
            ValueError: there is no tokenizer, a conversation is malformed or longer than the context.
            LanguageModelError: the server failed.
        """
        rows = self._to_score(requests, texts)
        return _scores(self._call(lambda server: _gathered(self._rows.score(server, *row) for row in rows)))

    def score_everywhere(
        self, requests: Sequence[GenerationRequest], texts: Sequence[str | Sequence[int]]
    ) -> list[list[list[float]]]:
        """``score`` by each server, in the order of ``base_url``, to see that all have the same weights.

        Raises:
            ValueError: as in ``score``.
            LanguageModelError: one of the servers failed.
        """
        rows = self._to_score(requests, texts)

        def job(server: Connection) -> Coroutine[Any, Any, list[list[list[float] | Failure]]]:
            return _gathered(
                _gathered([self._rows.score(server, *row, only=endpoint) for row in rows])
                for endpoint in server.endpoints.all
            )

        return [_scores(outcomes) for outcomes in self._call(job)]

    def load_adapter(self, path: str | Path) -> None:
        """Load a LoRA adapter on every server under a fresh name, use it from now on, drop the one before.

        A server that is started anew later is given it again when it is next asked.

        Args:
            path: a folder that PEFT saved, where the servers can read it under the same path.

        Raises:
            LanguageModelError: a server refuses it, or none is there; what was used before stays in use.
        """
        new = Adapter.fresh(path)
        problem = self._call(lambda connection: http_adapters.load(connection, new))
        if problem is not None:
            raise LanguageModelError(problem)
        old, self._rows.adapter = self._rows.adapter, new
        if old is not None:
            self._call(lambda connection: http_adapters.unload(connection, old))

    @property
    def restored(self) -> int:
        """How often a server that was started anew was given the adapter again, over the model's life."""
        return self._rows.restored

    @property
    def max_context(self) -> int:
        """Tokens that context and reply may have together: one less than the server's ``max_model_len``.

        vLLM scores no text without room for another token.

        Raises:
            LanguageModelError: there is no answer, or the server does not say.
        """
        limit = _or_raise(self._call(self._rows.max_context))
        if limit is None:
            raise LanguageModelError(f"{self}: its list of models gives no max_model_len (vLLM's does)")
        return limit

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """These dialogues no longer stay with their servers, which keep and drop caches themselves."""
        connection = self._connection
        if connection is not None:
            connection.endpoints.forget(dialogue_ids)

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
        """JSON-able: engine, model, addresses, whether rows are seeded; codec, adapter and added fields."""
        return {
            "engine": "http",
            "model": self.model,
            "base_url": self.base_url,
            "seed": self.seed,
            **({"codec": self.codec.identity()} if self.tokenizer else {}),
            **({"adapter": self._rows.adapter.path} if self._rows.adapter else {}),
            **({"extra_body": shown(self.extra_body)} if self.extra_body else {}),
        }

    def __str__(self) -> str:
        return f"{self.model!r} at {', '.join(self._urls)}"

    def __copy__(self) -> "HttpModel":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "HttpModel":
        """The model itself, so that copies of an environment share its connections and their bound."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return _from_settings, (settings, self._rows.adapter)

    def _run(self, job: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Do a job in the thread of the connection and wait for it.

        Raises:
            CancelledError: ``close`` was called meanwhile.
        """
        with self._lock:
            connection = self._open()
            answer = connection.thread.submit(job(connection))
        try:
            return answer.result()
        except BaseException:  # above all KeyboardInterrupt: nothing goes on that nobody waits for
            answer.cancel()
            raise

    def _call(self, job: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Do a job that has no rows to put errors into."""
        try:
            return self._run(job)
        except concurrent.futures.CancelledError:
            raise LanguageModelError(f"{self}: closed before the answer came") from None

    def _open(self) -> Connection:
        """The connection; a new one at first, after ``close``, and in a forked process."""
        if self._connection is None or not self._connection.thread.alive:
            patience = Patience(self.timeout_s, self.deadline_s, self.max_retries, self.backoff_s)
            self._connection = Connection(
                self.model, self._urls, patience, self.concurrency, self._key(), self.api_key_variable
            )
            self._end = weakref.finalize(self, self._connection.thread.close)  # also at exit
        return self._connection

    def _key(self) -> str | None:
        return api_key(self.api_key_variable, HttpModel.api_key_variable)

    def _check_settings(self) -> None:
        require(isinstance(self.model, str) and self.model, f"model must be a name, got {self.model!r}")
        check_whole("concurrency", self.concurrency, 1)
        check_whole("max_retries", self.max_retries, 0)
        require(
            self.extra_body is None or isinstance(self.extra_body, Mapping),
            f"extra_body must be a dict, got a {type(self.extra_body).__name__}",
        )
        for name in ("timeout_s", "deadline_s", "backoff_s"):
            check_positive(name, getattr(self, name))
        known = ("max_tokens", "max_completion_tokens")
        require(
            self.max_tokens_field in known,
            f"max_tokens_field must be one of {', '.join(known)}, got {self.max_tokens_field!r}",
        )

    def _to_score(
        self, requests: Sequence[GenerationRequest], texts: Sequence[str | Sequence[int]]
    ) -> list[tuple[list[int], list[int]]]:
        """Contexts and replies in token ids."""
        if len(requests) != len(texts):
            raise ValueError(f"{len(requests)} requests but {len(texts)} texts")
        require(self.tokenizer is not None, "score works on token ids: give tokenizer=FOLDER")
        return [
            (context_ids(self.codec, request), self.codec.reply_ids(text))
            for request, text in zip(requests, texts, strict=True)
        ]


async def _gathered(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    return await asyncio.gather(*coroutines)


def _scores(outcomes: Sequence[list[float] | Failure]) -> list[list[float]]:
    for outcome in outcomes:
        if isinstance(outcome, Failure) and outcome.overflow:
            raise ValueError(outcome.problem)
    return [_or_raise(outcome) for outcome in outcomes]


def _or_raise(outcome: T | Failure) -> T:
    if isinstance(outcome, Failure):
        raise LanguageModelError(outcome.problem)
    return outcome


def _from_settings(settings: dict[str, Any], adapter: Adapter | None) -> HttpModel:
    model = HttpModel(**settings)
    model._rows.adapter = adapter
    return model
