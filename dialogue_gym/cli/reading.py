"""Logs as commands read them: what is left out is named, and what can be done about it."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dialogue_gym.logs import DialogueRecord, import_dialogues, repair_log
from dialogue_gym.simulators.user_turns import by_people

_LINE_START = b'{"schema_version":'
"""How a line that a kill left half written begins."""

_OPTION_OF_IMPORT = re.compile(r"--(?:env|format)\b")


def read_dialogues(
    files: Sequence[Path],
    *,
    strict: bool,
    languages: Literal["one", "any"] = "one",
    only_people: bool = False,
) -> list[DialogueRecord]:
    """The dialogues of logs, or of files in any format; rows that are left out are named on standard error.

    Args:
        files: to read.
        strict: whether the first bad row is an error.
        languages: "one" leaves out users who write another language than most; "any" keeps them.
        only_people: whether dialogues whose user was a simulation are left out.

    Raises:
        OSError: a file is missing.
        ValueError: a file that cannot be read as a whole, or a bad row if ``strict``.
    """
    try:
        imported = import_dialogues(files, strict=strict, languages=languages)
    except ValueError as error:
        raise ValueError("; ".join([str(error), *advice([str(error)])])) from None
    if imported.report.dropped or imported.report.empty:
        rows = [row for rows in imported.report.dropped.values() for row in rows]
        print(imported.report.table(), *advice(rows), sep="\n", file=sys.stderr)
    return [record for record in imported.records if not only_people or by_people(record)]


def mend_log(path: Path) -> int:
    """Remove what a kill left of a log's last line; returns the number of bytes removed.

    Raises:
        ValueError: the last line is not the beginning of a dialogue; the file stays as it is.
    """
    half = path.read_bytes().rpartition(b"\n")[2]
    if not half.startswith(_LINE_START[: len(half)]):  # somebody's text, of which nothing may be lost
        raise ValueError(f"{path}: is no log; choose another --out")
    return repair_log(path)


def advice(messages: Sequence[str]) -> list[str]:
    """What to do where messages name options that only the import has; nothing else."""
    named = sorted({option for text in messages for option in _OPTION_OF_IMPORT.findall(text)})
    return [
        f"{option} is an option of dialogue-gym import FILE --out LOG: give the log that it writes"
        for option in named
    ]
