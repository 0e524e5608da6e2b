"""The user-side template: a dialogue in token ids as the model that plays a calibrated user reads it.

Training and inference both build their ids here, so that they cannot disagree. Roles are flipped: the
user's messages are what the model says. A mark before the first word says whether the user goes on or
leaves, so that the probability of leaving is read off the beginning of a message.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.registry import nearest
from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.prompted import GREETING, brief_text

Condition = Literal["brief", "intent", "none"]

GO_ON, LEAVE = ">", "#"
"""Marks for any model: one of the two begins each message."""

INSTRUCTION = (
    "You play a person who chats with an assistant. Write the person's next message as this person would "
    f"type it. Begin with {GO_ON} when the person goes on and with {LEAVE} when the person leaves.\n"
)


@dataclass(frozen=True, slots=True)
class UserSide:
    """How dialogues are shown to the model; part of a calibrated folder.

    Attributes:
        condition: what the model is told of the user: the whole "brief", the "intent" (the goal alone), or
            "none". The persona is never told.
        instruction: fixed text before it; "" for models that need none.
        go_on: the mark before a message after which the user stays; may be "", and then going on is whatever
            does not begin with the other mark.
        leave: the mark before a message with which the user leaves; begins with no space.
        agent_tokens: an agent's message of more tokens is shortened to this many, its beginning and its
            end in equal parts; 0 keeps all.
    """

    condition: Condition = "brief"
    instruction: str = INSTRUCTION
    go_on: str = GO_ON
    leave: str = LEAVE
    agent_tokens: int = 0

    def __post_init__(self) -> None:
        if self.condition not in get_args(Condition):
            raise ValueError(
                f"unknown condition {self.condition!r}: {nearest(str(self.condition), get_args(Condition))}"
            )
        if not _told_apart(self.go_on, self.leave):
            raise ValueError(f"the marks {self.go_on!r} and {self.leave!r} cannot be told apart")
        if self.agent_tokens < 0:
            raise ValueError(f"agent_tokens must be at least 0, got {self.agent_tokens}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)

    def context_ids(self, codec: ChatCodec, request: UserRequest) -> list[int]:
        """The ids up to where the user speaks."""
        heard: list[Message] = [
            {"role": "system", "content": self.instruction + self._told(request)},
            {"role": "user", "content": GREETING},
        ]
        messages = list(request.conversation)
        if messages and not messages[0]["content"]:  # an excerpt whose beginning nobody logged
            heard[1] = self._agent(codec, messages[1]["content"])
            messages = messages[2:]
        ids = codec.encode(heard)
        for message in messages:
            if message["role"] == "user":
                ids += self.reply_ids(codec, message["content"], stop=False)
            else:
                ids += codec.extend([self._agent(codec, message["content"])])
        return ids

    def _told(self, request: UserRequest) -> str:
        if self.condition == "brief":
            return brief_text(request.brief)
        return f"What you want: {request.brief.goal}" if self.condition == "intent" else ""

    def _agent(self, codec: ChatCodec, text: str) -> Message:
        ids = codec.content_ids(text) if self.agent_tokens else []
        if len(ids) > self.agent_tokens:
            end = self.agent_tokens // 2
            head, tail = ids[: self.agent_tokens - end], ids[len(ids) - end :]
            text = f"{codec.decode(head)} ... {codec.decode(tail)}"
        return {"role": "user", "content": text}

    def mark_ids(self, codec: ChatCodec, stop: bool) -> list[int]:
        """The ids of the mark that a message begins with."""
        mark = self.leave if stop else self.go_on
        return codec.content_ids(mark) if mark else []

    def reply_ids(self, codec: ChatCodec, text: str, stop: bool) -> list[int]:
        """The ids of a user's message as the model writes it, end-of-turn token included.

        ``read`` gives the message back, without spaces around it, and ``stop``, whatever the message is.
        """
        if not stop and not self.go_on and text.startswith(self.leave):
            text = f" {text}"  # these words are the user's, not the mark
        return [*self.mark_ids(codec, stop), *codec.content_ids(text), codec.end_of_turn_id]

    def read(self, text: str) -> tuple[str, bool]:
        """The message and whether the user leaves, from what the model wrote; without a mark it goes on.

        Example:
            >>> side = UserSide()
            >>> side.read("# thanks"), side.read("> 12"), side.read("12")
            (('thanks', True), ('12', False), ('12', False))
        """
        stop = text.startswith(self.leave)
        return text.removeprefix(self.leave if stop else self.go_on).strip(), stop


def _told_apart(go_on: str, leave: str) -> bool:
    """Whether no message with one mark can be read as one with the other."""
    if not leave or leave[0].isspace() or go_on[:1].isspace():
        return False
    return not go_on or not (go_on.startswith(leave) or leave.startswith(go_on))
