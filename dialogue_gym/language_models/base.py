"""The protocol of language models: conversations or token ids in, completions with log-probabilities out."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from dialogue_gym.dialogue import Conversation
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.registry import Registry
from dialogue_gym.seeding import NoiseKey

FinishReason = Literal["stop", "length", "overflow", "error"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample one assistant message.

    Attributes:
        max_tokens: at most this many new tokens, the end-of-turn token included.
        temperature: 0 is greedy; log-probabilities are those of the tempered distribution
            (of the untempered one when greedy).
        top_p: nucleus; below 1, log-probabilities are those of the renormalised nucleus.
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Ask for the next assistant message of one dialogue.

    Attributes:
        dialogue_id: a model may keep its key-value cache under it until ``forget``; a lost cache is
            rebuilt, and the completion does not depend on it.
        messages: the conversation, an optional system message first, ending with a user message.
        key: the noise for this completion; equal keys and prompts give equal tokens.
        prompt_ids: when given, exactly these token ids are the context and ``messages`` is only a view.
    """

    dialogue_id: Hashable
    messages: Conversation
    key: NoiseKey
    prompt_ids: Sequence[int] | None = None


@dataclass(slots=True)
class Completion:
    """One sampled assistant message.

    Attributes:
        text: decoded, special tokens left out.
        token_ids: what was sampled, the end-of-turn token included when it was sampled.
        log_probs: natural log, one for each token id; from servers that give log-probabilities and no
            ids, one for each token that they sampled.
        prompt_ids: the context that the tokens were conditioned on.
        finish_reason: "stop" (end of turn), "length", "overflow" (the context is full; nothing
            sampled) or "error".
        error: one line, when ``finish_reason`` is "error" or "overflow".
        timed_out: whether the error is an answer that did not come in time.
    """

    text: str
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    prompt_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    error: str | None = None
    timed_out: bool = False


@runtime_checkable
class LanguageModel(Protocol):
    """Text generation behind one batched interface, whatever engine runs it."""

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        """One completion per request, in order; each depends on its own request alone."""
        ...

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """These dialogues are over; drop what was cached for them."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-able: engine, model, precision."""
        ...


class AdapterModel(LanguageModel, Protocol):
    """An engine that a learner can train against: token ids in and out, LoRA adapters changed while it runs.

    Its completions carry ``token_ids``, one log-probability for each, and the ``prompt_ids`` that they were
    conditioned on; requests with ``prompt_ids`` are answered on exactly these ids.
    """

    @property
    def codec(self) -> ChatCodec:
        """The chat codec of its tokenizer."""
        ...

    @property
    def max_context(self) -> int:
        """Tokens that a context and its completion may have together.

        Raises:
            LanguageModelError: an engine that cannot be reached or does not say.
        """
        ...

    def score(
        self, requests: Sequence[GenerationRequest], token_ids: Sequence[Sequence[int]], /
    ) -> list[list[float]]:
        """Natural log-probabilities of given replies at temperature 1, under the weights used now.

        Args:
            requests: the contexts; keys are not used.
            token_ids: one reply for each, taken as it is.

        Returns:
            For each request one log-probability per token of its reply.

        Raises:
            ValueError: a malformed conversation, or one that is longer than the context.
            LanguageModelError: the engine failed; one line says why.
        """
        ...

    def load_adapter(self, path: str | Path) -> None:
        """Use this LoRA adapter, a folder that PEFT saved, from now on; drop the one before.

        Raises:
            LanguageModelError: the engine refuses it; what was used before stays in use.
        """
        ...


class LanguageModelError(RuntimeError):
    """An engine failed at a call that has no row to put the error into; one line says where and why."""


language_models: Registry[LanguageModel] = Registry(
    "language model", forms="'http://HOST:PORT/v1#MODEL', 'transformers:PATH', 'vllm:PATH'"
)
