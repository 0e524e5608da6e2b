"""A language model plays the user, told how by a prompt."""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models import GenerationRequest, LanguageModel, Sampling
from dialogue_gym.registry import nearest
from dialogue_gym.simulators.base import ReplyLogProb, UserReply, UserRequest, simulators
from dialogue_gym.simulators.language_model_user import LanguageModelUser
from dialogue_gym.tasks.base import Brief, Kind

STOP_MARK = "[STOP]"
"""The model writes this when the user is done; what stands before it is the user's last message."""

GREETING = "Hi, how can I help?"
"""What the agent says before the first message, in the view of the model that plays the user."""

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


class PromptedUser(LanguageModelUser):
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
        super().__init__(language_model, sampling)
        prompt = prompt or getattr(self.language_model, "user_prompt", "full")
        if prompt not in ("full", "compact"):
            raise ValueError(f"unknown prompt {prompt!r}: {nearest(str(prompt), ('full', 'compact'))}")
        self.prompt: PromptStyle = prompt

    def generation_request(self, request: UserRequest) -> GenerationRequest:
        """The flipped dialogue under the prompt."""
        # the user's cache must not be mistaken for that of a policy played by the same model
        return GenerationRequest(
            ("user", request.dialogue_id), user_view(request, self.prompt), request.key.child("user")
        )

    def read(self, text: str) -> tuple[str, bool]:
        """What stands before the stop mark, and whether there is one."""
        said, mark, _ = text.partition(STOP_MARK)
        return said.strip(), bool(mark)

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        """The text's log-probability, and given it that of the stop mark or of an end without one."""
        codec = self.scoring_model().codec
        texts = [codec.content_ids(reply.text) for reply in replies]
        # apart from the text, so that the mark cannot change how the text is cut into tokens
        ends = [
            codec.content_ids(f" {STOP_MARK}" if reply.text else STOP_MARK) if reply.stop else []
            for reply in replies
        ]
        written = [[*text, *end, codec.end_of_turn_id] for text, end in zip(texts, ends, strict=True)]
        return [
            ReplyLogProb(stop=sum(score[len(text) :]), text=sum(score[: len(text)]))
            for score, text in zip(self.score(requests, written), texts, strict=True)
        ]

    def identity(self) -> dict[str, Any]:
        """Name, model, hash of the prompt's fixed text, sampling."""
        fixed = "".join(_FULL.values()) if self.prompt == "full" else "compact"
        return {
            "name": "prompted",
            "model": self.language_model.identity(),
            "prompt": self.prompt,
            "prompt_hash": hashlib.sha256((fixed + GREETING + STOP_MARK).encode()).hexdigest()[:12],
            **self.sampling_identity(),
        }


def user_view(request: UserRequest, prompt: PromptStyle) -> list[Message]:
    """The dialogue as the model that plays the user sees it: system prompt, greeting, roles flipped."""
    system = (
        brief_text(request.brief) if prompt == "compact" else _FULL[request.kind] + brief_text(request.brief)
    )
    view: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": GREETING}]
    for message in request.conversation:
        view.append(
            {"role": "assistant" if message["role"] == "user" else "user", "content": message["content"]}
        )
    return view


def brief_text(brief: Brief) -> str:
    """What the user wants and, in a second line where there are facts, knows."""
    wish = f"What you want: {brief.goal}"
    return f"{wish}\nWhat you know: {'. '.join(f.text for f in brief.facts)}." if brief.facts else wish


simulators.register("prompted", PromptedUser)
