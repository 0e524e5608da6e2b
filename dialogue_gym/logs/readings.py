"""What all readers of others' rows share: options, what a row becomes, and checks of its fields."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dialogue_gym.dialogue import Message
from dialogue_gym.logs.records import DialogueRecord
from dialogue_gym.logs.sources import BadRow, Row

MATH, DOCUMENT = "MathChat-v0", "DocEditChat-v0"
ENVIRONMENTS = (MATH, DOCUMENT)
IDS = ("id", "conv_id", "conversation_id", "dialogue_id", "prompt_id")


@dataclass(frozen=True, slots=True)
class Options:
    """What rows do not say of themselves.

    Attributes:
        env_id: the environment of rows that name none.
        user: who spoke as the user in chat ``messages`` rows.
        whole: whether chat ``messages`` rows are whole dialogues, which the user left after the last message.
    """

    env_id: str | None = None
    user: str = "unknown"
    whole: bool = False


@dataclass(slots=True)
class Read:
    """A row as a record.

    Attributes:
        record: the dialogue.
        id: the row's own id, None when it has none.
        group: the conversation of which this row may be only a part; None when it is whole.
        score: which of a conversation's rows is best.
    """

    record: DialogueRecord
    id: str | None = None
    group: str | None = None
    score: float | None = None


def merge_runs(messages: Iterable[tuple[str, str]]) -> tuple[list[Message], bool]:
    r"""Alternating messages, the user first, from any sequence of (role, text).

    Texts of one side in a row are joined by line breaks, empty ones left out.

    Returns:
        The messages, and whether the user's opening is among them: where the assistant speaks first, or
        the opening has no text, the first message is empty and stands for what nobody logged.

    Example:
        >>> merge_runs([("assistant", "Hi!"), ("assistant", "Ready?"), ("user", "yes")])
        ([{'role': 'user', 'content': ''}, {'role': 'assistant', 'content': 'Hi!\nReady?'},
          {'role': 'user', 'content': 'yes'}], False)
    """
    merged: list[Message] = []
    for role, text in messages:
        if role not in ("user", "assistant"):
            raise ValueError(f"role {role!r} should be 'user' or 'assistant'")
        if not merged and role == "assistant":
            merged.append({"role": "user", "content": ""})
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] = "\n".join(filter(None, (merged[-1]["content"], text)))
        else:
            merged.append({"role": "user" if role == "user" else "assistant", "content": text})
    return merged, bool(merged) and bool(merged[0]["content"].strip())


def made(
    row: Row,
    said: list[tuple[str, str]],
    *,
    env_id: str,
    user: dict[str, Any],
    policy: dict[str, Any] | None = None,
    ended: str | None = None,
    censored: Iterable[str] = (),
    used: Iterable[str],
) -> DialogueRecord:
    """A record of what was said, with where it comes from and what else the row has."""
    messages, begins = merge_runs(said)
    unseen = {*censored} | (set() if begins else {"beginning"}) | (set() if ended else {"end"})
    data = row.data or {}
    identity = next((data[name] for name in (*IDS, "c_id", "qid", "problem_id") if name in data), None)
    extra: dict[str, Any] = {
        "source": {"file": row.path.name, "row": row.number, "id": identity},
        "censored": sorted(unseen),
        "fields": {name: value for name, value in data.items() if name not in {*used}},
    }
    split = data.get("split", row.split)
    return DialogueRecord(
        env_id, split if isinstance(split, str) else "", None, None, 0, 0, user, policy or {}, messages,
        [{} for _ in messages[::2]], ended, None, {}, extra,
    )  # fmt: skip


def listed(value: Any, field: str) -> list[Any]:
    """The value of a field that holds a list.

    Raises:
        BadRow: it does not.
    """
    if not isinstance(value, list):
        raise BadRow("wrong fields", f"field {field!r} is {value!r:.60}, should be a list")
    return value


def text_of(value: Any, field: str) -> str:
    """The value of a field that holds a text, also as a list of text parts.

    Raises:
        BadRow: it does not.
    """
    if isinstance(value, list) and all(isinstance(p, dict) and p.get("type") == "text" for p in value):
        value = "".join(part["text"] for part in value if isinstance(part.get("text"), str))
    if not isinstance(value, str):
        raise BadRow("wrong fields", f"field {field!r} is {value!r:.60}, should be a text")
    return value
