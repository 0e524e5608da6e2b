"""What a scripted user has said so far, read from the conversation alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dialogue_gym.dialogue import Conversation, Transcript
from dialogue_gym.simulators.style import MARKS
from dialogue_gym.tasks.base import Brief, Fact


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The facts of a brief by what the user has said of them.

    Attributes:
        told: their values stand in a user message.
        slipped: only a slip stands there: said wrongly and not yet corrected.
        held: not said yet.
    """

    told: tuple[Fact, ...]
    slipped: tuple[Fact, ...]
    held: tuple[Fact, ...]


@lru_cache(maxsize=4096)
def whole(value: str) -> re.Pattern[str]:
    """A pattern for ``value`` as whole words, in any case, with or without the marks that ``write`` drops."""
    kept_and_dropped = re.split(f"({MARKS.pattern})", value)
    pieces = (f"(?:{re.escape(p)})?" if i % 2 else re.escape(p) for i, p in enumerate(kept_and_dropped))
    return re.compile(rf"(?<!\w){''.join(pieces)}(?!\w)", re.IGNORECASE)


def says(text: str, value: str) -> bool:
    """Whether ``value`` stands in ``text`` as whole words; case does not matter.

    Example:
        >>> says("it's 7 marbles", "7"), says("it's 17 marbles", "7")
        (True, False)
        >>> says("it costs $5 but no more", "$5, but no more")
        True
    """
    return bool(value) and bool(whole(value).search(text))


def disclosure(brief: Brief, conversation: Conversation) -> Disclosure:
    """Sort the facts of ``brief`` by what the user's messages say."""
    text = "\n".join(texts(conversation, "user"))
    told: list[Fact] = []
    slipped: list[Fact] = []
    held: list[Fact] = []
    for fact in brief.facts:
        group = told if says(text, fact.value) else slipped if says(text, fact.slip) else held
        group.append(fact)
    return Disclosure(tuple(told), tuple(slipped), tuple(held))


def texts(conversation: Conversation, role: str) -> Sequence[str]:
    """The messages of one side."""
    if isinstance(conversation, Transcript):
        return conversation.contents("user" if role == "user" else "assistant")
    return [m["content"] for m in conversation if m["role"] == role]
