"""Outcomes of dialogues that ran freely: how long they were, and how often the agent succeeded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dialogue_gym.calibration.realism.measures import (
    Metric,
    NotAvailable,
    earth_movers,
    histogram,
    ratio,
    weighted,
)
from dialogue_gym.calibration.realism.resampling import Floats, Plan
from dialogue_gym.logs import DialogueRecord

BINS = 5
MOST_TURNS = 50
Records = Sequence[DialogueRecord]


@dataclass(frozen=True, slots=True)
class FreeDialogues:
    """Dialogues by one user population with the same policy on the same tasks.

    Attributes:
        records: as many on both sides; the i-th of both are on one task where tasks could be matched.
    """

    records: tuple[DialogueRecord, ...]


def matched(people: Records, simulated: Records) -> tuple[FreeDialogues, FreeDialogues]:
    """Both logs in one order, by task where both name it, cut to the shorter one.

    Raises:
        ValueError: one of them is empty.
    """
    if not people or not simulated:
        raise ValueError(
            f"{len(people)} dialogues of the log and {len(simulated)} of the simulator; both are needed"
        )
    waiting: dict[tuple[object, ...], list[DialogueRecord]] = {}
    for record in simulated:
        waiting.setdefault(_task(record), []).append(record)
    pairs = [(r, waiting[_task(r)].pop(0)) for r in people if waiting.get(_task(r))]
    if 2 * len(pairs) < min(len(people), len(simulated)):
        pairs = list(zip(people, simulated, strict=False))
    return FreeDialogues(tuple(p for p, _ in pairs)), FreeDialogues(tuple(s for _, s in pairs))


def _task(record: DialogueRecord) -> tuple[object, ...]:
    return record.env_id, (record.task or {}).get("id"), record.task_seed


def turn_count(record: DialogueRecord) -> int | None:
    """Agent messages of a dialogue that is seen whole and was not cut off."""
    whole = not record.extra.get("censored") and record.end_reason in ("user_stop", "turn_limit")
    return sum(m["role"] == "assistant" for m in record.messages) if whole else None


def success(record: DialogueRecord) -> float | None:
    """The scorer's accuracy, else its share of facts, else the reward, 0 to 1; None when unscored."""
    for value in (record.metrics.get("accuracy"), record.metrics.get("facts"), record.reward):
        if value is not None:
            return min(max(float(value), 0.0), 1.0)
    return None


def difficulty(record: DialogueRecord) -> int | None:
    """The task's number of steps, else its number of facts; None when neither is known."""
    task = record.task or {}
    return task.get("level") or len(task.get("brief", {}).get("facts", ())) or None


def _turn_counts(a: FreeDialogues, b: FreeDialogues, plan: Plan) -> Floats:
    tables = []
    for side in (a, b):
        counts = [turn_count(r) for r in side.records]
        tables.append(np.array([histogram([] if c is None else [c], MOST_TURNS + 1) for c in counts]))
        if not tables[-1].any():
            raise NotAvailable("no dialogue is seen whole")
    one, other = map(weighted, tables)
    return plan.halves(lambda w, v: earth_movers(one(w), other(v)))


def _by_difficulty(a: FreeDialogues, b: FreeDialogues, plan: Plan) -> Floats:
    levels = sorted(level for r in (*a.records, *b.records) if (level := difficulty(r)))
    if not levels:
        raise NotAvailable("the log's tasks name no steps and no facts")
    edges = np.unique(np.quantile(levels, np.arange(1, BINS) / BINS))
    one, other = (weighted(_successes(side, edges)) for side in (a, b))
    return plan.halves(lambda w, v: calibration_error(one(w), other(v)))


def _successes(side: FreeDialogues, edges: Floats) -> Floats:
    """(dialogues, 2, bins): success, and 1, in the bin of the task's difficulty."""
    table = np.zeros((len(side.records), 2, len(edges) + 1))
    for row, record in zip(table, side.records, strict=True):
        value, level = success(record), difficulty(record)
        if value is not None and level is not None:
            row[:, int(np.searchsorted(edges, level, side="left"))] = value, 1.0
    if not table.any():
        raise NotAvailable("no dialogue was scored")
    return table


def calibration_error(a: Floats, b: Floats) -> Floats:
    """(K, 2, bins) each: absolute difference of success rates, weighted by B's dialogues in each bin.

    Example:
        >>> a, b = np.array([[[1.0, 2], [2, 2]]]), np.array([[[2.0, 2], [2, 2]]])
        >>> calibration_error(a, b)
        array([0.25])
    """
    gap = np.abs(ratio(a[:, 0], a[:, 1]) - ratio(b[:, 0], b[:, 1]))
    mass = b[:, 1] * np.isfinite(gap)
    return ratio((np.nan_to_num(gap) * mass).sum(axis=1), mass.sum(axis=1))


METRICS = (
    Metric(
        "turns_per_dialogue", "flow", "lower", "turns", "dialogues",
        "Wasserstein-1 distance of agent messages per dialogue", _turn_counts,
    ),
    Metric(
        "outcome_calibration", "outcome", "lower", "success", "dialogues",
        "User-Sim Index (2603.11245): expected calibration error of success by difficulty, up to 5 bins",
        _by_difficulty, (0.0, 1.0),
    ),
)  # fmt: skip
