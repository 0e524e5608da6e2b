"""A language model as the agent; token ids go in and out, and a transcript is never re-tokenised."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dialogue_gym.dialogue import Conversation, Message
from dialogue_gym.language_models.base import Completion, GenerationRequest, LanguageModel, Sampling
from dialogue_gym.language_models.cancelling import cancel
from dialogue_gym.rollout.base import PolicyReply, PolicyRequest


class Codec(Protocol):
    """What is needed of a ``ChatCodec``."""

    end_of_turn_id: int

    def encode(self, messages: Conversation) -> list[int]:
        """Ids of a whole conversation, up to where the assistant begins to speak."""
        ...

    def extend(self, messages: Conversation) -> list[int]:
        """Ids between an assistant's end-of-turn token and the next place where it begins to speak."""
        ...


class CodedLanguageModel(LanguageModel, Protocol):
    """A language model that works on token ids of a known chat codec."""

    @property
    def codec(self) -> Codec:
        """The codec of its tokenizer."""
        ...


@dataclass(slots=True)
class _Context:
    """One living dialogue: every token so far, and how many of its messages they hold."""

    ids: list[int] = field(default_factory=list)
    messages: int = 0


class LanguageModelPolicy:
    """Lets a language model answer; keeps each dialogue's token ids from turn to turn.

    May be called from several threads where the language model may: dialogues share nothing but it.

    Args:
        language_model: who speaks; must have a ``codec``.
        sampling: how to sample.
        system_prompt: put before the conversation; the environment does not see it.
    """

    def __init__(
        self,
        language_model: CodedLanguageModel,
        sampling: Sampling | None = None,
        system_prompt: str | None = None,
    ) -> None:
        self.language_model = language_model
        self.sampling = sampling or Sampling()
        self.system_prompt = system_prompt
        self._contexts: dict[Hashable, _Context] = {}

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """One batched call of the language model."""
        added = [self._listen(request) for request in requests]
        generation = [
            GenerationRequest(
                ("policy", r.dialogue_id), r.conversation, r.key, self._contexts[r.dialogue_id].ids + new
            )
            for r, new in zip(requests, added, strict=True)
        ]
        completions = self.language_model.generate(generation, self.sampling)
        return [self._speak(*item) for item in zip(requests, added, completions, strict=True)]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Drop the token ids of these dialogues, and the model's caches of them."""
        gone = list(dialogue_ids)
        for dialogue_id in gone:
            self._contexts.pop(dialogue_id, None)
        self.language_model.forget([("policy", dialogue_id) for dialogue_id in gone])

    def cancel(self) -> None:
        """Cut short the language model's calls, where it can."""
        cancel(self.language_model)

    def identity(self) -> dict[str, Any]:
        """Model, sampling and system prompt."""
        return {
            "name": "language_model",
            "model": self.language_model.identity(),
            "temperature": self.sampling.temperature,
            "max_tokens": self.sampling.max_tokens,
            "system_prompt": self.system_prompt,
        }

    def _listen(self, request: PolicyRequest) -> list[int]:
        """The ids that the messages since the last call add to the context."""
        codec, conversation = self.language_model.codec, request.conversation
        context = self._contexts.setdefault(request.dialogue_id, _Context())
        if not context.ids:
            system: list[Message] = (
                [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
            )
            return codec.encode([*system, *conversation])
        # the agent's own message, at context.messages, is in the ids as it was sampled
        new = codec.extend(conversation[context.messages + 1 :])
        return new if context.ids[-1] == codec.end_of_turn_id else [codec.end_of_turn_id, *new]

    def _speak(self, request: PolicyRequest, added: list[int], completion: Completion) -> PolicyReply:
        context = self._contexts[request.dialogue_id]
        context.ids = context.ids + added + completion.token_ids
        context.messages = len(request.conversation)
        failed = completion.finish_reason in ("error", "overflow")
        return PolicyReply(
            completion.text,
            added,
            completion.token_ids,
            completion.log_probs,
            error=(completion.error or completion.finish_reason) if failed else None,
            overflow=completion.finish_reason == "overflow",
        )
