"""Logs that are played again: reading them, their tasks, and where their dialogues start."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dialogue_gym.logs import DialogueRecord, read_log
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Kind, Task, check_split, task_from_dict, task_sources

Log = str | Path | Sequence[DialogueRecord]
"""A log file, or its records."""


def read_records(log: Log) -> tuple[str, list[DialogueRecord]]:
    """What messages call the log, and its dialogues.

    Raises:
        FileNotFoundError: no such log.
        ValueError: a bad line, or this is no log at all.
    """
    if isinstance(log, str | Path):
        return Path(log).name, list(read_log(log))
    records: list[Any] = list(log) if isinstance(log, Sequence) else [log]
    for record in records:
        if not isinstance(record, DialogueRecord):
            raise ValueError(f"log must be a file or DialogueRecords, got {type(record).__name__}")
    return "records", records


def can_be_replayed(record: DialogueRecord) -> bool:
    """Whether there is a task to tell the dialogue by, and a first message of its user."""
    begins = "beginning" not in record.extra.get("censored", ())
    return record.task is not None and begins and bool(record.messages)


def fingerprint(records: Iterable[DialogueRecord]) -> str:
    """A hash of all that is logged."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(asdict(record), sort_keys=True).encode())
    return digest.hexdigest()[:12]


def seed_of(key: NoiseKey) -> int:
    """The dialogue's seed, with which environments begin the key of all its noise; -1 without one."""
    first = key.path[0] if key.path else -1
    return first if isinstance(first, int) else -1


def replay_starts(log: Log) -> list[dict[str, Any]]:
    """For each dialogue of a log that can be replayed, what ``reset(options={"dialogue": ...})`` takes.

    Each has the logged task, persona and seeds, and no messages: the user opens. Where dialogues of one
    task and seed were opened in different words, the logged opening is there.

    Raises:
        FileNotFoundError: no such log.
        ValueError: a bad line.
    """
    records = [record for record in read_records(log)[1] if can_be_replayed(record)]
    openings: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        openings[_same(record)].add(record.messages[0]["content"])
    return [_start(record, given=len(openings[_same(record)]) > 1) for record in records]


def _same(record: DialogueRecord) -> str:
    return json.dumps([record.task, record.task_seed], sort_keys=True)


def _start(record: DialogueRecord, given: bool) -> dict[str, Any]:
    count = 1 if given and len(record.messages) > 1 else 0
    return {
        "task": record.task,
        "persona": record.persona,
        "task_seed": record.task_seed,
        "reply_seed": record.reply_seed,
        "messages": record.messages[:count],
        "turns_metadata": record.turns_metadata[:count],
    }


class LoggedTasks:
    """The tasks of a log: that of a logged task seed, and for other seeds any of the split.

    Args:
        log: a log file, or records.
        kind: "math" or "document"; tasks of the other kind are passed over.

    Raises:
        FileNotFoundError: no such log.
        ValueError: a bad line, or no task of the kind.
    """

    def __init__(self, log: Log, kind: Kind) -> None:
        self.kind: Kind = kind
        self.name, records = read_records(log)
        self._by_seed: dict[tuple[str, int], Task] = {}
        found: dict[str, dict[Task, None]] = defaultdict(dict)  # in the order of the log, each once
        for record in filter(can_be_replayed, records):
            task = task_from_dict(record.task or {})
            if task.kind == kind:
                self._by_seed.setdefault((task.split, record.task_seed), task)
                found[task.split][task] = None
        self._tasks = {split: [*tasks] for split, tasks in found.items()}
        if not self._tasks:
            raise ValueError(f"{self.name}: has no dialogue with a {kind} task")
        self._digest = fingerprint(records)

    def draw(self, split: str, key: NoiseKey) -> Task:
        """The logged task of this seed; else one of the split's.

        Raises:
            ValueError: the log has no task of the split.
        """
        check_split(split)
        if split not in self._tasks:
            raise ValueError(f"{self.name}: has no task of split {split!r}, only of {sorted(self._tasks)}")
        return self._by_seed.get((split, seed_of(key))) or key.choice(self._tasks[split])

    def identity(self) -> dict[str, object]:
        """Name, and the log's name and hash."""
        return {"name": "log", "log": self.name, "sha256": self._digest}


def _math_tasks(log: Log) -> LoggedTasks:
    return LoggedTasks(log, "math")


def _document_tasks(log: Log) -> LoggedTasks:
    return LoggedTasks(log, "document")


task_sources["math"].register("log", _math_tasks)
task_sources["document"].register("log", _document_tasks)
