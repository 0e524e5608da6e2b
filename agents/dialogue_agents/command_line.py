"""Command lines from dataclasses of settings; what is wrong with one is said in one line."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import TypeVar

import tyro

T = TypeVar("T")


def parse_settings(kind: type[T], program: str, arguments: Sequence[str] | None = None) -> T:
    """The settings that the arguments (default: the process's) ask for; ``--help`` prints and exits.

    Raises:
        ValueError: one line about what cannot be, with the nearest names.
    """
    panel = io.StringIO()
    try:
        with redirect_stderr(panel):
            return tyro.cli(kind, prog=program, args=arguments)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(_one_line(panel.getvalue())) from None


def explain(error: Exception) -> str:
    """One line for people; a missing package comes with the command that brings it."""
    if isinstance(error, ImportError):
        return f'error: {error}; the learners need pip install "dialogue-gym[agents]"'
    return f"error: {error}"


def _one_line(panel: str) -> str:
    """The first paragraph of tyro's panel, and the options that a second one offers."""
    lines = [line.strip("│ ") for line in panel.splitlines()[1:]]
    paragraphs = re.split(r"\n[─╰][─╯]*", "\n".join(lines))
    message = " ".join(re.sub(r"^Error parsing GRPOSettings: ", "", paragraphs[0]).split())
    offers = re.findall(r"^--[\w-]+", paragraphs[1], re.MULTILINE) if len(paragraphs) > 1 else []
    return message + (f"; did you mean {' or '.join(offers)}?" if "nrecognized" in message and offers else "")
