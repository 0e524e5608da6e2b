"""Rows of a batch, turned into questions to servers, and their answers into completions."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from dialogue_gym.dialogue import clean_text
from dialogue_gym.language_models import http_adapters, http_tokens
from dialogue_gym.language_models.base import Completion, GenerationRequest, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.http_adapters import Adapter
from dialogue_gym.language_models.http_answers import Failure, read_answer
from dialogue_gym.language_models.http_calls import Connection, Question
from dialogue_gym.language_models.http_endpoints import Endpoint
from dialogue_gym.seeding import NoiseKey

T = TypeVar("T")
Body = Callable[[], Mapping[str, Any]]

_SEEDS = 2**31  # some servers know no larger ones
_ASIDE = NoiseKey(("aside",))  # of the jitter in waits of questions that belong to no row


@dataclass(slots=True)
class Rows:
    """What is asked for a row; see ``HttpModel`` for the settings.

    Attributes:
        model: the name that the servers know.
        codec: of the model's tokenizer; None to ask for chat completions.
        adapter: what is asked for in the model's place.
        restored: how often a server that had lost the adapter was given it again.
    """

    model: str
    codec: ChatCodec | None
    seed: bool
    log_probs: bool
    token_ids: bool
    max_tokens_field: str
    extra_body: Mapping[str, Any]
    adapter: Adapter | None = None
    restored: int = 0

    def prompt(self, request: GenerationRequest) -> list[int] | Completion:
        """The token ids to send (none without a codec), or why there can be no answer."""
        if self.codec is not None:
            try:
                return context_ids(self.codec, request)
            except ValueError as error:
                return failed(str(error))
        if request.prompt_ids is not None:
            return failed(f"{self.model!r} takes messages, not token ids (prompt_ids): give tokenizer=FOLDER")
        return []

    async def answer(
        self,
        connection: Connection,
        request: GenerationRequest,
        prompt: list[int] | Completion,
        sampling: Sampling,
    ) -> Completion:
        """The completion of one row, or an error in its place."""
        if isinstance(prompt, Completion):
            return prompt
        # held while a row waits for its next attempt, too: a server in trouble is asked less
        async with connection.slots:
            deadline = connection.deadline()
            question = await self._question(connection, request, prompt, sampling, deadline)
            if isinstance(question, Failure):
                outcome: Completion | Failure = question
            else:
                outcome = await self._ask(connection, question, request.key, deadline, request.dialogue_id)
        if isinstance(outcome, Failure):
            reason: Literal["error", "overflow"] = "overflow" if outcome.overflow else "error"
            return failed(outcome.problem, prompt, reason, outcome.timed_out)
        return outcome

    async def score(
        self, connection: Connection, prompt: list[int], reply: list[int], only: Endpoint | None = None
    ) -> list[float] | Failure:
        """Log-probabilities of a reply's tokens, by any server or by this one."""
        body = self._body(http_tokens.scoring_fields([*prompt, *reply]))
        read = partial(http_tokens.read_scores, reply=reply)
        async with connection.slots:
            question = Question("completions", read, body, "completion")
            return await self._ask(connection, question, _ASIDE, connection.deadline(), only=only)

    async def _ask(
        self,
        connection: Connection,
        question: Question[T],
        key: NoiseKey,
        deadline: float,
        dialogue_id: Hashable = None,
        only: Endpoint | None = None,
    ) -> T | Failure:
        """Ask; a server that does not know the adapter, as after a new start, is given it and asked again."""
        outcome = await connection.ask(question, key, dialogue_id, only, deadline)
        for _ in connection.endpoints.all:
            adapter = self.adapter
            if adapter is None or not isinstance(outcome, Failure) or not outcome.missing:
                break
            lost = await http_adapters.restore(connection, adapter, outcome.url, deadline)
            if lost is not None:
                return lost
            self.restored += 1
            outcome = await connection.ask(question, key, dialogue_id, only, deadline)
        return outcome

    async def max_context(
        self, connection: Connection, deadline: float | None = None
    ) -> int | Failure | None:
        """Tokens of context and reply together, by what the server says; None where it does not."""
        read = partial(http_tokens.read_max_context, model=self.model)
        return await connection.ask_once(Question("models", read, of="list of models"), _ASIDE, deadline)

    async def _question(
        self,
        connection: Connection,
        request: GenerationRequest,
        prompt: list[int],
        sampling: Sampling,
        deadline: float,
    ) -> Question[Completion] | Failure:
        """What to ask for a row, or why there is no use in asking."""
        seed = {"seed": request.key.child("tokens").seed() % _SEEDS if self.seed else None}
        if self.codec is None:
            fields = self._chat_fields(request, sampling)
            return Question("chat/completions", read_answer, self._body(fields | seed))
        limit = await self.max_context(connection, deadline)
        if isinstance(limit, Failure):
            if limit.transient:
                return limit
            limit = None  # a server without a list of models; it says itself what it cannot do
        if limit is not None and len(prompt) >= limit:
            problem = f"the context has {len(prompt)} tokens; with a reply at most {limit} fit"
            return Failure(problem, transient=False, overflow=True)
        if sampling.temperature not in (0.0, 1.0) or sampling.top_p < 1.0:
            raw = await self._gives_raw_log_probs(connection, deadline)
            if isinstance(raw, Failure):
                return raw
        fields = http_tokens.sampling_fields(prompt, sampling, self.codec.end_of_turn_id, limit)
        read = partial(http_tokens.read_reply, prompt=prompt, codec=self.codec)
        return Question("completions", read, self._body(fields | seed), "completion")

    async def _gives_raw_log_probs(self, connection: Connection, deadline: float) -> Failure | None:
        """A failure where the server's log-probabilities are not of the tempered distribution."""
        assert self.codec is not None
        fields = {"model": self.model, **http_tokens.mode_fields(self.codec)}
        read = partial(http_tokens.read_mode, codec=self.codec)
        question = Question("completions", read, lambda: fields, "completion")
        outcome = await connection.ask_once(question, _ASIDE, deadline)
        return outcome if isinstance(outcome, Failure) else None

    def _chat_fields(self, request: GenerationRequest, sampling: Sampling) -> dict[str, Any]:
        return {
            "messages": [{"role": m["role"], "content": clean_text(m["content"])} for m in request.messages],
            self.max_tokens_field: sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "logprobs": self.log_probs or None,
            "return_token_ids": self.token_ids or None,
        }

    def _body(self, fields: Mapping[str, Any]) -> Body:
        """What is sent; the model's name is looked up at each attempt, as an adapter may have come since."""
        chosen = {name: value for name, value in {**fields, **self.extra_body}.items() if value is not None}
        return lambda: {"model": self.adapter.name if self.adapter else self.model, **chosen}


def context_ids(codec: ChatCodec, request: GenerationRequest) -> list[int]:
    """The token ids of a context.

    Raises:
        ValueError: a malformed conversation, or no ids.
    """
    ids = codec.encode(request.messages) if request.prompt_ids is None else list(request.prompt_ids)
    if not ids:
        raise ValueError("the context is empty")
    return ids


def failed(
    error: str,
    prompt: Sequence[int] = (),
    reason: Literal["error", "overflow"] = "error",
    timed_out: bool = False,
) -> Completion:
    """A completion that has none."""
    return Completion("", prompt_ids=list(prompt), finish_reason=reason, error=error, timed_out=timed_out)
