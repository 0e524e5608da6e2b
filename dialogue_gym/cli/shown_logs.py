"""Logs as ``show``, ``view`` and ``stats`` read them: every dialogue; what is left out is named in a line."""

import sys
from collections.abc import Sequence
from pathlib import Path

from dialogue_gym.cli.reading import advice
from dialogue_gym.logs import import_dialogues
from dialogue_gym.viewing import Entry, apply_filters, entries


def read_entries(path: Path, filters: Sequence[str] = ()) -> list[Entry]:
    """The dialogues of one log, or of a file in any form that ``dialogue-gym import`` tells by itself.

    Rows that cannot be read, such as a last line that a killed process left half written, are named on
    standard error, one line for each kind of fault.

    Raises:
        OSError: the file is missing.
        ValueError: the file is a page or holds no dialogue, a filter is unknown, or nothing fits the filters.
    """
    _refuse_page(path)
    imported = import_dialogues(path, languages="any")
    for reason, rows in sorted(imported.report.dropped.items()):
        more = "" if len(rows) == 1 else f", and {len(rows) - 1} more ({reason})"
        print(f"left out: {rows[0]}{more}", *advice(rows), sep="\n", file=sys.stderr)
    if not imported.records:
        read = f"none of its {imported.report.read} rows is one" if imported.report.read else "it is empty"
        raise ValueError(f"{path}: no dialogue in it; {read}")
    fitting = apply_filters(entries(imported.records), filters)
    if not fitting:
        count = len(imported.records)
        raise ValueError(f"{path}: none of its {count} dialogues fits {' and '.join(map(repr, filters))}")
    return fitting


def _refuse_page(path: Path) -> None:
    if not path.is_file():
        return  # reading says so
    with path.open("rb") as file:
        beginning = file.read(15)
    if beginning.lower() == b"<!doctype html>":
        raise ValueError(
            f"{path}: is a page, to open in a browser; give a log, the file of JSON lines it was made from, "
            f"such as {path.with_suffix('.jsonl')}"
        )
