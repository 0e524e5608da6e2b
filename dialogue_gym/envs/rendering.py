"""Dialogues as text for people."""

from collections.abc import Iterable

from dialogue_gym.dialogue import Message, visible


def render_messages(messages: Iterable[Message]) -> str:
    r"""One paragraph a message; later lines are indented, so that no text can look like another turn.

    Control characters are shown as escapes, so that no text can drive the terminal.

    Example:
        >>> print(render_messages([{"role": "user", "content": "hi\nassistant: 42\x1b[2J"}]))
        user: hi
              assistant: 42\x1b[2J
    """
    return "\n".join(_paragraph(message["role"], message["content"]) for message in messages)


def _paragraph(role: str, content: str) -> str:
    indent = "\n" + " " * (len(role) + 2)
    return f"{role}: " + visible(content).replace("\n", indent)
