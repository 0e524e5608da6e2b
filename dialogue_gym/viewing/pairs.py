"""Dialogues of two logs on the same tasks."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.viewing.entries import Entry


@dataclass(frozen=True, slots=True)
class Pair:
    """A dialogue of each log on one task, or one without a partner; at least one is there."""

    first: Entry | None
    second: Entry | None


def pair_up(first: Sequence[Entry], second: Sequence[Entry]) -> list[Pair]:
    """Match the dialogues of two logs, the first log's order first; those without a partner come too.

    Dialogues are on the same task where environment, task seed and task id agree; of what is left, where
    environment and task id do; and, without tasks, where both come from the same row of a data set (its
    own id) with the same intent. Where several fit, those with the same reply seed are taken first, then
    those that come first.
    """
    partner: dict[int, Entry] = {}
    left = list(second)
    for key in (_same_draw, _same_task):
        left = _match([e for e in first if e.number not in partner], left, key, partner)
    pairs = [Pair(entry, partner.get(entry.number)) for entry in first]
    return pairs + [Pair(None, entry) for entry in left]


def _match(
    first: Sequence[Entry],
    second: Sequence[Entry],
    key: Callable[[DialogueRecord], Hashable],
    partner: dict[int, Entry],
) -> list[Entry]:
    """Fill in partners for entries of ``first``; returns those of ``second`` that are left."""
    waiting: dict[Hashable, list[Entry]] = {}
    for entry in second:
        if (found := key(entry.record)) is not None:
            waiting.setdefault(found, []).append(entry)
    for exact in (True, False):
        for entry in first:
            found = None if entry.number in partner else key(entry.record)
            candidates = waiting.get(found, []) if found is not None else []
            seed = entry.record.reply_seed
            fits = (c for c in candidates if not exact or c.record.reply_seed == seed)
            if (chosen := next(fits, None)) is not None:
                candidates.remove(chosen)
                partner[entry.number] = chosen
    taken = {id(entry) for entry in partner.values()}
    return [entry for entry in second if id(entry) not in taken]


def _same_draw(record: DialogueRecord) -> Hashable:
    task = _same_task(record)
    return None if record.task is None or task is None else (record.task_seed, task)


def _same_task(record: DialogueRecord) -> Hashable:
    if record.task is not None:
        name = record.task.get("id")
        return (record.env_id, str(name)) if name is not None else None
    source = record.extra.get("source")
    row = source.get("id") if isinstance(source, dict) else None
    return None if row is None else (record.env_id, str(row), str(record.extra.get("intent", "")))
