"""A language model plays the user, told how by a prompt."""

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import (
    Completion,
    GenerationRequest,
    LanguageModel,
    Sampling,
    load_language_model,
)
from dialogue_gym.registry import check_options, nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply, UserRequest, simulators
from dialogue_gym.simulators.personas import Persona, Population
from dialogue_gym.tasks.base import Brief, Kind

STOP_MARK = "[STOP]"
"""The model writes this when the user is done; what stands before it is the user's last message."""

_GREETING = "Hi, how can I help?"

_FULL: dict[Kind, str] = {
    "math": (
        "You are a person who chats with an assistant because you want help with a math problem. Stay "
        "that person: never act as the assistant, never solve the problem, never paste the problem whole.\n"
        "Write the way people type in a chat: short, casual, little effort. Begin vaguely and leave some "
        "of the numbers out; tell a number when the assistant asks for it. You do not know the answer. When "
        "you are content with the assistant's answer, or tired of waiting, say so and end the message with "
        f"{STOP_MARK}\n"
    ),
    "document": (
        "You are a person who chats with an assistant because you want a short text written. Stay that "
        "person: never act as the assistant, never write the text yourself.\n"
        "Write the way people type in a chat: short, casual, little effort. Begin vaguely and leave some "
        "of the facts out; tell a fact when the assistant asks for it, and say so when a draft lacks it or "
        "has it wrong. When you are content with the draft, or tired of waiting, say so and end the message "
        f"with {STOP_MARK}\n"
    ),
}
PromptStyle = Literal["full", "compact"]


class PromptedUser:
    """Any language model as the user, through a system prompt; roles are flipped in its history.

    What never changes comes first (rules, then the brief), so that prefix caches serve all turns. The
    persona is not put into the prompt: it made prompted users less like people (2603.11245).

    Args:
        language_model: who speaks; an object, or what ``load_language_model`` takes ("tiny", the toy that
            ships with the package, by default).
        prompt: "full" for instruction-tuned models; "compact", the brief alone, for models that were
            trained on it (the tiny one); None takes what the model names in ``user_prompt``, else "full".
        sampling: how to sample; a dict of ``Sampling``'s fields will do.

    Raises:
        ValueError: no such prompt or sampling option, or what should speak is no language model.
    """

    def __init__(
        self,
        language_model: LanguageModel | str = "tiny",
        prompt: PromptStyle | None = None,
        sampling: Sampling | dict[str, Any] | None = None,
    ) -> None:
        language_model = load_language_model(language_model)
        if not isinstance(language_model, LanguageModel):
            raise ValueError(
                f"language_model must be a LanguageModel or a name, got {type(language_model).__name__}"
            )
        if isinstance(sampling, dict):
            check_options(Sampling, sampling, "sampling")
        prompt = prompt or getattr(language_model, "user_prompt", "full")
        if prompt not in ("full", "compact"):
            raise ValueError(f"unknown prompt {prompt!r}: {nearest(str(prompt), ('full', 'compact'))}")
        self.language_model = language_model
        self.prompt: PromptStyle = prompt
        self.sampling = (
            Sampling(**sampling) if isinstance(sampling, dict) else sampling or Sampling(max_tokens=128)
        )

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One batched call of the language model."""
        generation = [
            # the user's cache must not be mistaken for that of a policy played by the same model
            GenerationRequest(("user", r.dialogue_id), user_view(r, self.prompt), r.key.child("user"))
            for r in requests
        ]
        return [_reply(completion) for completion in self.language_model.generate(generation, self.sampling)]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Let the language model drop its caches of these dialogues."""
        self.language_model.forget([("user", d) for d in dialogue_ids])

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """A default persona, for the log only; the prompt does not use it."""
        return Population().draw(key)

    def identity(self) -> dict[str, Any]:
        """Name, model, hash of the prompt's fixed text, sampling."""
        fixed = "".join(_FULL.values()) if self.prompt == "full" else "compact"
        return {
            "name": "prompted",
            "model": self.language_model.identity(),
            "prompt": self.prompt,
            "prompt_hash": hashlib.sha256((fixed + _GREETING + STOP_MARK).encode()).hexdigest()[:12],
            "temperature": self.sampling.temperature,
            "max_tokens": self.sampling.max_tokens,
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> "PromptedUser":
        """Copies of an environment share the simulator; a model is never copied."""
        return self


def user_view(request: UserRequest, prompt: PromptStyle) -> list[Message]:
    """The dialogue as the model that plays the user sees it: system prompt, greeting, roles flipped."""
    system = (
        brief_text(request.brief) if prompt == "compact" else _FULL[request.kind] + brief_text(request.brief)
    )
    view: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": _GREETING}]
    for message in request.conversation:
        view.append(
            {"role": "assistant" if message["role"] == "user" else "user", "content": message["content"]}
        )
    return view


def brief_text(brief: Brief) -> str:
    """What the user knows, in two lines."""
    facts = ". ".join(fact.text for fact in brief.facts)
    return f"What you want: {brief.goal}\nWhat you know: {facts}."


def _reply(completion: Completion) -> UserReply:
    if completion.finish_reason in ("error", "overflow"):
        error = completion.error or f"language model: {completion.finish_reason}"
        return UserReply("", error=error, overflow=completion.finish_reason == "overflow")
    text, mark, _ = completion.text.partition(STOP_MARK)
    metadata = {"tokens": len(completion.token_ids), "finish_reason": completion.finish_reason}
    return UserReply(text.strip(), stop=bool(mark), metadata=metadata)


simulators.register("prompted", PromptedUser)
