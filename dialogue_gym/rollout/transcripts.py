"""Transcripts for terminals."""

import textwrap
from collections.abc import Sequence

from dialogue_gym.logs import DialogueRecord, PolicyRecord

_PROMPTS = {"user": "user> ", "assistant": "agent> ", "system": "system> "}


def show(record: DialogueRecord | PolicyRecord, width: int = 80, notes: Sequence[Sequence[str]] = ()) -> str:
    r"""A dialogue as lines of at most ``width`` columns, and how it ended.

    Later lines of a message are indented, so that no text can look like another turn, and characters
    that could drive the terminal are shown as escapes.

    Args:
        record: either view.
        width: at least 20.
        notes: for each message what to say of it, on lines of their own beneath it; may be shorter.

    Example:
        >>> messages = [
        ...     {"role": "user", "content": "hi\nagent> 42"},
        ...     {"role": "assistant", "content": "\x1b[2J"},
        ... ]
        >>> print(show(PolicyRecord("MathChat-v0", messages, "turn_limit", 0.0)))
        user> hi
              agent> 42
        agent> \x1b[2J
        (turn_limit, reward 0.000)
    """
    lines: list[str] = []
    for i, message in enumerate(record.messages):
        lines.append(paragraph(_PROMPTS[message["role"]], message["content"], width))
        # nearer to the margin than any line of a message
        lines += [paragraph("   ^ ", note, width) for note in (notes[i] if i < len(notes) else ())]
    reward = "unscored" if record.reward is None else f"reward {record.reward:.3f}"
    return "\n".join([*lines, f"({record.end_reason or 'not over'}, {reward})"])


def paragraph(prompt: str, content: str, width: int) -> str:
    """A prompt and a text beside it, in lines of at most ``width`` columns; made safe as in ``show``."""
    visible = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in content)
    indent = " " * len(prompt)
    lines: list[str] = []
    for line in visible.split("\n"):
        lines += textwrap.wrap(line, max(width, 20) - len(prompt)) or [""]
    return prompt + ("\n" + indent).join(lines)
