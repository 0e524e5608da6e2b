"""A language model as the agent where only its text is known, as behind most servers."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.base import Completion, GenerationRequest, LanguageModel, Sampling
from dialogue_gym.language_models.cancelling import cancel
from dialogue_gym.rollout.base import PolicyReply, PolicyRequest


class TextPolicy:
    """Lets a language model without a chat codec answer; its trajectories hold no token ids.

    It can be played, evaluated and logged, but not trained.

    Args:
        language_model: who speaks.
        sampling: how to sample.
        system_prompt: put before the conversation; the environment does not see it.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        sampling: Sampling | None = None,
        system_prompt: str | None = None,
    ) -> None:
        self.language_model = language_model
        self.sampling = sampling or Sampling()
        self.system_prompt = system_prompt

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """One batched call of the language model."""
        system: list[Message] = (
            [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        )
        generation = [
            GenerationRequest(("policy", r.dialogue_id), [*system, *r.conversation], r.key) for r in requests
        ]
        return [_reply(completion) for completion in self.language_model.generate(generation, self.sampling)]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Drop the model's caches of these dialogues."""
        self.language_model.forget([("policy", dialogue_id) for dialogue_id in dialogue_ids])

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


def _reply(completion: Completion) -> PolicyReply:
    failed = completion.finish_reason in ("error", "overflow")
    return PolicyReply(
        completion.text,
        error=(completion.error or completion.finish_reason) if failed else None,
        overflow=completion.finish_reason == "overflow",
    )
