"""``dialogue-gym import``: dialogues of others brought into the log format."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional  # noqa: TID253 - opened only by those who ask for this command

from dialogue_gym.files import write_whole
from dialogue_gym.logs import import_dialogues, write_log
from dialogue_gym.logs.lines import MAX_LINE


@dataclass
class ImportSettings:
    r"""Bring dialogues (JSON Lines, JSON arrays, Parquet, saved data sets) into the log format.

    Every row is accounted for: kept, folded into a dialogue kept from another row, or dropped with the
    reason and its line. What the files do not say of themselves is asked for and never guessed.

    Examples:
      People's dialogues in a form that is told from its fields, such as SimulatorArena's:
        dialogue-gym import simulatorarena_math.json --out runs/people.jsonl
      Chat messages, whole dialogues by people, with an account of every row that was dropped:
        dialogue-gym import chats.jsonl --env MathChat-v0 --user people --whole \
          --out runs/people.jsonl --report runs/import.json
    """

    files: Positional[tuple[Path, ...]]
    """Files or folders to read."""

    out: Path
    """The log to write; its folder is made when it does not exist."""

    format: Literal[
        "auto", "dialogue_gym", "collabllm", "messages", "simulatorarena", "bridge", "mathdial"
    ] = "auto"
    """Format of the rows; auto tells it from their fields."""

    env: Literal["MathChat-v0", "DocEditChat-v0"] | None = None
    """Environment of rows that name none (chat messages)."""

    user: str = "unknown"
    """Who spoke as the user in chat messages; "people" only where people did."""

    whole: bool = False
    """Chat messages are whole dialogues that the user left after the last message."""

    strict: bool = False
    """Fail at the first bad row instead of leaving it out."""

    any_language: bool = False
    """Keep dialogues in another language than most."""

    max_line: int = MAX_LINE
    """Bytes that one row may have."""

    report: Path | None = None
    """Write the whole account, every dropped row included, as JSON."""

    overwrite: bool = False
    """Replace the log if it exists."""


def run(settings: ImportSettings) -> int:
    """Import, write the log and print the account; 1 where no dialogue was kept and no log written.

    Raises:
        OSError: a file is missing, or the log exists already.
        ValueError: a bad setting, or a bad row under ``strict``.
    """
    if not settings.files:
        raise ValueError("no files to import")
    if settings.out.exists() and not settings.overwrite:
        raise FileExistsError(f"{settings.out} exists; --overwrite replaces it")
    imported = import_dialogues(
        settings.files,
        format=settings.format,
        env_id=settings.env,
        strict=settings.strict,
        languages="any" if settings.any_language else "one",
        user=settings.user,
        whole=settings.whole,
        max_line=settings.max_line,
    )
    if settings.report is not None:
        write_whole(settings.report, json.dumps(imported.report.to_dict(), indent=2) + "\n")
    print(imported.report.table())
    if not imported.records:
        print("no dialogue was kept, no log written")
        return 1
    write_log(settings.out, imported.records, overwrite=settings.overwrite)
    print(f"{settings.out}: {len(imported.records)} dialogues")
    return 0
