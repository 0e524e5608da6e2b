"""Messages, transcripts and the ways a dialogue ends; plain data that every other room shares."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Literal, TypedDict, overload

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One message in the chat format that every model API takes."""

    role: Role
    content: str


Conversation = Sequence[Message]
"""What a policy or a user simulator reads: messages in order, the user's first."""


class EndReason(StrEnum):
    """Why a dialogue is over.

    ``USER_STOP`` and ``TURN_LIMIT`` end the task itself: the dialogue is scored and Gymnasium's
    ``terminated`` is set. The others cut it off: it is *not* scored and ``truncated`` is set.
    """

    USER_STOP = "user_stop"
    TURN_LIMIT = "turn_limit"
    SIMULATOR_FAILURE = "simulator_failure"
    SIMULATOR_TIMEOUT = "simulator_timeout"
    CONTEXT_OVERFLOW = "context_overflow"
    POLICY_FAILURE = "policy_failure"
    ABORTED = "aborted"

    @property
    def scored(self) -> bool:
        """Whether a dialogue that ended this way gets a score."""
        return self in (EndReason.USER_STOP, EndReason.TURN_LIMIT)


_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    r"""Replace lone surrogates by U+FFFD, so that every string can be encoded, logged and tokenised.

    Example:
        >>> clean_text("caf\u00e9 \ud800!")
        'café �!'
    """
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def visible(text: str) -> str:
    r"""Show control characters as escapes, so that no text can drive the terminal; line breaks stay.

    Example:
        >>> print(visible("hi\x1b[2J"))
        hi\x1b[2J
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class Transcript(Sequence[Message]):
    """An append-only list of messages; roles alternate and the user speaks first.

    Reading an item makes a fresh ``dict``, so nothing that is handed out can change the transcript.
    ``view()`` is a constant-time snapshot: later additions do not show in it.

    Raises:
        ValueError: when a message would break the alternation of roles.

    Example:
        >>> transcript = Transcript()
        >>> transcript.add("user", "hi")
        >>> before = transcript.view()
        >>> transcript.add("assistant", "hello")
        >>> len(before), transcript.messages()[-1]
        (1, {'role': 'assistant', 'content': 'hello'})
    """

    __slots__ = ("_contents", "_length")

    def __init__(self, messages: Conversation = ()) -> None:
        self._contents: list[str] = []
        self._length: int | None = None
        for message in messages:
            self.add(message["role"], message["content"])

    def add(self, role: str, content: str) -> None:
        """Append one message; lone surrogates in it become U+FFFD."""
        if self._length is not None:
            raise TypeError("a view of a transcript cannot be extended")
        expected = "assistant" if len(self._contents) % 2 else "user"
        if role != expected:
            raise ValueError(
                f"message {len(self._contents)} has role {role!r}; roles alternate, the user first, "
                f"so it should be {expected!r}"
            )
        self._contents.append(clean_text(content))

    def view(self) -> "Transcript":
        """A snapshot that shares the storage and never grows; O(1)."""
        snapshot = Transcript.__new__(Transcript)
        snapshot._contents = self._contents
        snapshot._length = len(self)
        return snapshot

    def messages(self, start: int = 0) -> tuple[Message, ...]:
        """Fresh message dicts from index ``start`` on."""
        contents, end = self._contents, self._length
        users: list[Message] = [{"role": "user", "content": c} for c in contents[start + start % 2 : end : 2]]
        if len(self) - start == 1 and users:  # the hot case: one new message
            return (users[0],)
        agents: list[Message] = [
            {"role": "assistant", "content": c} for c in contents[start + 1 - start % 2 : end : 2]
        ]
        both = users + agents  # one side after the other is faster than a choice for each message
        both[start % 2 :: 2], both[1 - start % 2 :: 2] = users, agents
        return tuple(both)

    def contents(self, role: Literal["user", "assistant"]) -> list[str]:
        """The texts of one side, in order."""
        return self._contents[role == "assistant" : len(self) : 2]

    @property
    def turns(self) -> int:
        """Assistant messages so far (a turn is one of them and the reply to it)."""
        return (len(self._contents) if self._length is None else self._length) // 2

    def __len__(self) -> int:
        return len(self._contents) if self._length is None else self._length

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        position = index if index >= 0 else len(self) + index
        if not 0 <= position < len(self):
            raise IndexError(f"message {index} of a transcript of {len(self)}")
        return {
            "role": "assistant" if position % 2 else "user",
            "content": self._contents[position],
        }

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages())

    def __repr__(self) -> str:
        return f"Transcript({len(self)} messages)"
