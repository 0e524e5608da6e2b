"""What all users played by a language model share: one batched call, sampling, caches, likelihoods."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from dialogue_gym.language_models import (
    Completion,
    GenerationRequest,
    LanguageModel,
    Sampling,
    load_language_model,
)
from dialogue_gym.language_models.cancelling import cancel
from dialogue_gym.registry import check_options
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply, UserRequest
from dialogue_gym.simulators.personas import Persona, Population
from dialogue_gym.tasks.base import Kind

_SCORED_TOGETHER = 32  # rows of one forward pass of ``score``


class LanguageModelUser:
    """A user whose words are sampled from a language model; subclasses say what it reads and how it stops.

    Args:
        language_model: who speaks; an object, or what ``load_language_model`` takes.
        sampling: how to sample; a dict of ``Sampling``'s fields will do.

    Raises:
        ValueError: no such sampling option, or what should speak is no language model.
    """

    decides_stop_first = False

    def __init__(
        self,
        language_model: LanguageModel | str | Mapping[str, Any],
        sampling: Sampling | dict[str, Any] | None,
    ) -> None:
        language_model = load_language_model(language_model)
        if not isinstance(language_model, LanguageModel):
            raise ValueError(
                f"language_model must be a LanguageModel or a name, got {type(language_model).__name__}"
            )
        if isinstance(sampling, dict):
            check_options(Sampling, sampling, "sampling")
        self.language_model = language_model
        self.sampling = (
            Sampling(**sampling) if isinstance(sampling, dict) else sampling or Sampling(max_tokens=128)
        )

    def generation_request(self, request: UserRequest) -> GenerationRequest:
        """What the language model is asked."""
        raise NotImplementedError

    def read(self, text: str) -> tuple[str, bool]:
        """The user's message and whether the user stops, from what the model wrote."""
        raise NotImplementedError

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One batched call of the language model."""
        generation = [self.generation_request(request) for request in requests]
        return [
            self._reply(completion) for completion in self.language_model.generate(generation, self.sampling)
        ]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Let the language model drop its caches of these dialogues."""
        self.language_model.forget([("user", d) for d in dialogue_ids])

    def cancel(self) -> None:
        """Cut short the language model's calls, where it can."""
        cancel(self.language_model)

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """A default persona, for the log only; the model is not told of it."""
        return Population().draw(key)

    def sampling_identity(self) -> dict[str, Any]:
        """JSON-able: how replies are sampled."""
        return {"temperature": self.sampling.temperature, "max_tokens": self.sampling.max_tokens}

    def score(
        self, requests: Sequence[UserRequest], texts: Sequence[str | Sequence[int]]
    ) -> list[list[float]]:
        """Natural-log probability of each token of what the model would have to write, and of its end.

        Raises:
            NotImplementedError: the language model cannot score (servers mostly cannot).
        """
        model = self.scoring_model()
        generation = [self.generation_request(request) for request in requests]
        scores: list[list[float]] = []
        for i in range(0, len(texts), _SCORED_TOGETHER):
            part = slice(i, i + _SCORED_TOGETHER)
            scores += model.score(generation[part], texts[part])
        return scores

    def scoring_model(self) -> Any:
        """The language model, which has ``score`` and ``codec``.

        Raises:
            NotImplementedError: the language model cannot score (servers mostly cannot).
        """
        model: Any = self.language_model
        if not (hasattr(model, "score") and hasattr(model, "codec")):
            able = "a local model can, or a server with a tokenizer"
            raise NotImplementedError(f"{type(model).__name__} cannot score given texts; {able}")
        return model

    def __deepcopy__(self, memo: dict[int, Any]) -> "LanguageModelUser":
        """Copies of an environment share the simulator; a model is never copied."""
        return self

    def _reply(self, completion: Completion) -> UserReply:
        if completion.finish_reason in ("error", "overflow"):
            error = completion.error or f"language model: {completion.finish_reason}"
            full = completion.finish_reason == "overflow"
            return UserReply("", error=error, timed_out=completion.timed_out, overflow=full)
        text, stop = self.read(completion.text)
        metadata = {"tokens": len(completion.token_ids), "finish_reason": completion.finish_reason}
        return UserReply(text, stop, metadata)
