"""Command lines from dataclasses of settings; what is wrong with one is said in one line."""

import inspect
import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any, TypeVar

T = TypeVar("T")


def parse_settings(
    kind: type[T], program: str, arguments: Sequence[str] | None = None, default: T | None = None
) -> T:
    """The settings that the arguments (default: the process's) ask for; ``--help`` prints and exits.

    Args:
        kind: a dataclass; its docstring is the help's text as it stands, those below its fields explain
            the options.
        program: what the help calls the program.
        arguments: without the program's name.
        default: what holds where the arguments say nothing; the dataclass's own defaults if None.

    Raises:
        ValueError: one line about what cannot be, with the nearest names.
        ImportError: tyro is missing; the message names the extra.
    """
    try:
        import tyro
    except ImportError:
        raise ImportError('the command line needs tyro: pip install "dialogue-gym[cli]"') from None
    panel = io.StringIO()
    try:
        with redirect_stderr(panel):
            given: dict[str, Any] = {} if default is None else {"default": default}
            parsed: T = tyro.cli(
                kind, prog=program, args=arguments, description=inspect.getdoc(kind), **given
            )
            return parsed
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(_one_line(panel.getvalue())) from None


def explain(error: Exception, extra: str) -> str:
    r"""One line for people; a missing package comes with the command that brings it.

    Args:
        error: what went wrong.
        extra: of dialogue-gym, which has the packages that may be missing.

    Example:
        >>> explain(ImportError("No module named 'torch'"), "llm")
        'error: No module named \'torch\'; it comes with pip install "dialogue-gym[llm]"'
        >>> explain(ValueError("no such thing"), "llm")
        'error: no such thing'
        >>> explain(FileNotFoundError(2, "No such file or directory", "log.jsonl"), "cli")
        'error: log.jsonl: no such file or directory'
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"error: {error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if isinstance(error, ImportError) and "pip install" not in line:
        line += f'; it comes with pip install "dialogue-gym[{extra}]"'
    return f"error: {line}"


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Inside, a warning is one line for people, shown once, without colours or its place in the code."""
    seen: set[str] = set()

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any, **of: Any
    ) -> None:
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(message)).removeprefix("WARN: ")  # as Gymnasium colours it
        line = f"warning: {' '.join(text.split())}"
        if line not in seen:
            seen.add(line)
            print(line, file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def log_lines_once() -> Iterator[None]:
    """Inside, what the package logs for people is shown once, however many dialogues it is true of."""
    seen: set[str] = set()

    def first(record: logging.LogRecord) -> bool:
        line, before = record.getMessage(), len(seen)
        seen.add(line)
        return len(seen) > before

    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(first)
    logger = logging.getLogger("dialogue_gym")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def json_object(text: str, name: str) -> dict[str, Any]:
    """A setting that holds a JSON object.

    Raises:
        ValueError: it does not.

    Example:
        >>> json_object('{"max_number": 30}', "options")
        {'max_number': 30}
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object such as '{{}}', got {text!r}")
    return value


def _one_line(panel: str) -> str:
    """The first paragraph of tyro's panel, and the options that the next ones offer."""
    # the frame is drawn with dashes where the terminal knows no better
    lines = [line.strip("│ ") for line in panel.splitlines()[1:]]
    text = "\n".join("" if re.fullmatch("[-─╰╯]*", line) else line for line in lines)
    message, *more = text.strip().split("\n\n")
    # a fault of the whole is said to be in the dataclass, whose name means nothing to people
    message = " ".join(re.sub(r"^Error parsing [A-Z]\w*: ", "", message).split())
    offers = re.findall(r"^--[\w-]+", "\n".join(more), re.MULTILINE)
    return message + (f"; did you mean {' or '.join(offers)}?" if "nrecognized" in message and offers else "")
