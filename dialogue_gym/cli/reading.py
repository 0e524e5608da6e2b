"""Logs as commands read them: what is left out is named."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dialogue_gym.logs import DialogueRecord, import_dialogues


def read_dialogues(
    files: Sequence[Path], *, strict: bool, languages: Literal["one", "any"] = "one"
) -> list[DialogueRecord]:
    """The dialogues of logs, or of files in any format; rows that are left out are named on standard error.

    Args:
        files: to read.
        strict: whether the first bad row is an error.
        languages: "one" leaves out users who write another language than most; "any" keeps them.

    Raises:
        OSError: a file is missing.
        ValueError: a file that cannot be read as a whole, or a bad row if ``strict``.
    """
    imported = import_dialogues(files, strict=strict, languages=languages)
    if imported.report.dropped:
        print(imported.report.table(), file=sys.stderr)
    return imported.records
