"""``dialogue-gym show``: dialogues of a log in the terminal."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional  # noqa: TID253 - opened only by those who ask for this command

from dialogue_gym.cli.shown_logs import read_entries
from dialogue_gym.rollout.transcripts import paragraph, show
from dialogue_gym.viewing import Entry
from dialogue_gym.viewing.entries import name_of
from dialogue_gym.viewing.flags import task_of


@dataclass
class ShowSettings:
    r"""Show dialogues of a log in the terminal, with the task, the persona, the score and what strikes.

    Lines that begin with ^ are flags: leak (the user hands over the answer, the target or the whole brief),
    role break, repeated, empty; and what the user tells for the first time.

    Filters are FIELD OP VALUE, in quotes for the shell; several must all fit. Fields: end, score, turns,
    simulator, policy, env, split, task, seed, flag, text, persona.FIELD, metrics.NAME. Ops: = != < <= > >=
    and ~ (contains). "none" is what is missing: score=none are the unscored ones.

    Examples:
      The first five:
        dialogue-gym show runs/dialogues.jsonl
      Failures of impatient users:
        dialogue-gym show runs/dialogues.jsonl --n 20 --filter "score<0.5" "persona.patience<8"
      Dialogue 17; where people speak of fractions, in a file of others:
        dialogue-gym show runs/dialogues.jsonl --number 17
        dialogue-gym show simulatorarena_math.json --filter "text~fraction"
    """

    log: Positional[Path]
    """A log, or a file in any form that `dialogue-gym import` tells by itself."""
    n: int = 5
    """Show at most this many; 0 shows all."""
    filter: tuple[str, ...] = ()
    """Show those that fit, see above."""
    number: tuple[int, ...] = ()
    """Show these alone, by their place in the log, from 1."""
    width: int = 0
    """Columns; 0 takes the terminal's, at most 100."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name, least in (("n", 0), ("width", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


def run(settings: ShowSettings) -> int:
    """Print dialogues, and how many more there are.

    Raises:
        OSError: the log is missing.
        ValueError: no dialogue in it, none that fits, or a filter or number that cannot be.
    """
    found = read_entries(settings.log, settings.filter)
    if settings.number:
        found = _numbered(settings, found)
    shown = found if settings.n == 0 or settings.number else found[: settings.n]
    width = settings.width or min(shutil.get_terminal_size().columns, 100)
    for entry in shown:
        print(*_lines(entry, width), "", sep="\n")
    if len(shown) < len(found):
        print(f"{len(found) - len(shown)} more; --n 0 shows all, dialogue-gym view makes a page of them")
    return 0


def _numbered(settings: ShowSettings, found: list[Entry]) -> list[Entry]:
    by_number = {entry.number: entry for entry in found}
    for number in settings.number:
        if number not in by_number:
            among = "among those that fit" if settings.filter else f"in it; it has {len(found)}"
            raise ValueError(f"{settings.log}: no dialogue {number} {among}")
    return [by_number[number] for number in settings.number]


def _lines(entry: Entry, width: int) -> Iterator[str]:
    """One dialogue: what it is about, what was said, what came of it."""
    record = entry.record
    head = f"{record.env_id} {record.split}".strip()
    who = f"user {name_of(record.simulator)}, agent {name_of(record.policy)}"
    yield paragraph(f"{entry.number}. ", f"{head}; {who}; task seed {(entry.seeds or '-')[0]}", width)
    for name, text in _about(entry):
        yield paragraph(f"   {name:10}", text, width)
    yield show(record, width, _notes(entry))
    if record.metrics:
        yield paragraph("   ", _pairs(record.metrics), width)


def _about(entry: Entry) -> Iterator[tuple[str, str]]:
    record, task = entry.record, task_of(entry.record)
    if task is not None:
        yield "task", f"{task.brief.text} ({task.id})"
        if task.reference.answer:
            yield "answer", task.reference.answer
        if task.reference.text:
            yield "target", task.reference.text
    elif record.extra.get("intent"):
        yield "intent", str(record.extra["intent"])
    if record.persona:
        yield "persona", _pairs(record.persona)
    if record.extra.get("censored"):
        yield "not seen", " and ".join(map(str, record.extra["censored"]))
    if record.extra.get("failure"):
        yield "failure", str(record.extra["failure"])


def _notes(entry: Entry) -> list[list[str]]:
    return [
        [*(f"{flag.name}: {flag.why}" for flag in flags), *([f"tells {', '.join(told)}"] if told else [])]
        for flags, told in zip(entry.flags, entry.told, strict=True)
    ]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
