"""Rank correlations of realism metrics with an exact divergence: ``python -m benchmarks.metric_validity``.

The scripted population stands for people. For each of a few dozen degraded users the divergence per turn
from the population is exact up to the sampling of dialogues: the mean, over held-out turns, of
log p_population(turn | history) - log q(turn | history). Every metric of realism is computed for the same
users on the same dialogues, and its rank correlation with that divergence says whether it can be believed.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from scipy.stats import spearmanr

from benchmarks.metric_validity.users import degraded_users
from dialogue_gym.calibration.realism import METRICS, Metric, NotAvailable
from dialogue_gym.calibration.realism.outcome import matched
from dialogue_gym.calibration.realism.resampling import Floats, Plan, make_plan
from dialogue_gym.calibration.realism.speech import Speaker, two_speakers
from dialogue_gym.calibration.realism.validity import KEPT
from dialogue_gym.files import write_whole
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import load_policy, make_vector_env, play
from dialogue_gym.simulators import ScriptedUser, UserSimulator
from dialogue_gym.tasks.base import Kind

KINDS: dict[str, Kind] = {"MathChat-v0": "math", "DocEditChat-v0": "document"}
DROPPED = 0.3
"""A metric is dropped under this correlation, kept from ``KEPT`` on, else demoted."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run depends on.

    Attributes:
        env: environment id.
        dialogues: held-out dialogues of the population.
        resamples: bootstrap resamples, of dialogues and of users together.
        splits: random halves of each distance.
        ask_rate: of the rules that play the agent: how often they ask while a fact is missing.
        seed: of everything.
    """

    env: str = "MathChat-v0"
    dialogues: int = 120
    resamples: int = 100
    splits: int = 8
    ask_rate: float = 0.7
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Validity:
    """How well a metric follows the divergence.

    Attributes:
        metric: its name.
        rho: Spearman's rank correlation over all users; None where the metric never changes.
        low: lower end of its 95 % interval.
        high: upper end.
        families: of the kinds of badness, in how many it rises with the divergence (rank correlation
            within the family, the population itself included, at least 0.9).
        verdict: "kept", "demoted" or "dropped".
    """

    metric: str
    rho: float | None
    low: float | None
    high: float | None
    families: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Of each user, with resamples of the dialogues; the figure itself comes first.

    Attributes:
        names: of the users.
        families: of the users; the population itself is the first one.
        divergence: (users, 1 + resamples), nats per turn.
        badness: by metric (users, 1 + resamples); higher is worse, NaN where not available.
    """

    names: list[str]
    families: list[str]
    divergence: Floats
    badness: dict[str, Floats]


def measure(settings: Settings) -> Measured:
    """Everything that is measured of every user."""
    kind = KINDS[settings.env]
    held_out = dialogues(settings, ScriptedUser(), settings.seed, settings.dialogues)
    others = dialogues(settings, ScriptedUser(), settings.seed + 1, settings.dialogues)
    users = degraded_users(kind, held_out, others)
    plan = make_plan(len(held_out), resamples=settings.resamples, splits=settings.splits, seed=settings.seed)
    exact = _nats(two_speakers(held_out, users[0])[1])
    divergences, badness = [], []
    for user in users:
        free = dialogues(settings, user, settings.seed, settings.dialogues, reply_seed=1)
        people, simulated, _ = two_speakers(held_out, user, seed=settings.seed)
        sides = {"turns": (people, simulated), "dialogues": matched(held_out, free)}
        gap = (_nats(simulated) - exact) * [1, 0]
        totals = plan.weights @ (gap + exact * [0, 1])
        divergences.append(totals[:, 0] / totals[:, 1])
        badness.append({m.name: _badness(m, *sides[m.of], plan) for m in METRICS})
        print(f"{user.name:24} {divergences[-1][0]:7.3f} nats per turn", flush=True)
    return Measured(
        [user.name for user in users],
        [user.family for user in users],
        np.array(divergences),
        {metric.name: np.array([row[metric.name] for row in badness]) for metric in METRICS},
    )


def dialogues(
    settings: Settings, user: UserSimulator, seed: int, count: int, reply_seed: int = 0
) -> list[DialogueRecord]:
    """What a user says to the rules, on tasks that follow from the seed."""
    kind = KINDS[settings.env]
    tasks = [1_000_000 * seed + i for i in range(count)]
    with closing(make_vector_env(settings.env, min(64, count), simulator=user, split="test")) as env:
        policy = load_policy("rule", kind, ask_rate=settings.ask_rate)
        trajectories = play(env, policy, tasks, [t + 500_000 * reply_seed for t in tasks], policy_seed=seed)
    return [trajectory.record for trajectory in trajectories]


def _nats(speaker: Speaker) -> Floats:
    """(dialogues, 2): nats of the logged turns under a speaker, and the number of turns."""
    return np.array(
        [
            [-sum(t.log_prob.total for t in d.turns if t.log_prob is not None), len(d.turns)]
            for d in speaker.dialogues
        ]
    )


def _badness(metric: Metric, people: Any, simulated: Any, plan: Plan) -> Floats:
    """(1 + resamples,): the metric turned so that higher is worse; NaN where it is not available."""
    try:
        figures = metric.measure(simulated, people, plan)
    except NotAvailable:
        return np.full(len(plan.weights), np.nan)
    if metric.better == "equal":
        figures = np.abs(np.log(figures))
    means: Floats = np.nanmean(figures, axis=1) * (-1.0 if metric.better == "higher" else 1.0)
    return means


def validities(measured: Measured, seed: int = 0) -> list[Validity]:
    """Every metric's rank correlation, the most valid first.

    Each resample of the dialogues is joined with a resample of the users, so that the interval covers both.
    """
    users, resamples = measured.divergence.shape
    drawn = np.random.default_rng(seed).integers(0, users, (resamples, users))
    drawn[0] = np.arange(users)
    result = []
    for name, badness in measured.badness.items():
        rhos = np.array(
            [_spearman(measured.divergence[rows, k], badness[rows, k]) for k, rows in enumerate(drawn)]
        )
        known = rhos[1:][np.isfinite(rhos[1:])]
        low, high = np.percentile(known, (2.5, 97.5)) if len(known) else (None, None)
        rho = float(rhos[0]) if np.isfinite(rhos[0]) else None
        result.append(Validity(name, rho, low, high, _families(measured, badness[:, 0]), _verdict(rho)))
    return sorted(result, key=lambda v: -2.0 if v.rho is None else v.rho, reverse=True)


def _spearman(divergence: Floats, badness: Floats) -> float:
    known = np.isfinite(badness)
    if known.sum() < 3 or np.ptp(badness[known]) == 0 or np.ptp(divergence[known]) == 0:
        return np.nan
    return float(spearmanr(divergence[known], badness[known]).statistic)


def _families(measured: Measured, badness: Floats) -> int:
    first, *families = dict.fromkeys(measured.families)
    rows = [[i for i, f in enumerate(measured.families) if f in (first, family)] for family in families]
    return sum(_spearman(measured.divergence[r, 0], badness[r]) >= 0.9 for r in rows)


def _verdict(rho: float | None) -> str:
    if rho is None or rho < DROPPED:
        return "dropped"
    return "kept" if rho >= KEPT else "demoted"


def table(rows: Sequence[Validity], families: int) -> str:
    """The verdicts as Markdown."""
    lines = [f"| metric | rank correlation [95 %] | families of {families} | verdict |", "|---|---|---|---|"]
    for row in rows:
        rho = "never changes" if row.rho is None else f"{row.rho:.2f} [{row.low:.2f}, {row.high:.2f}]"
        lines.append(f"| {row.metric} | {rho} | {row.families} | {row.verdict} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print both tables, write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metric_validity", description=__doc__)
    for name, default in asdict(Settings()).items():
        choices = [*KINDS] if name == "env" else None
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default, choices=choices
        )
    parser.add_argument("--out", type=Path, default=Path("runs/metric_validity"))
    options = vars(parser.parse_args(arguments))
    out: Path = options.pop("out")
    settings, begin = Settings(**options), time.process_time()
    measured = measure(settings)
    rows = validities(measured, settings.seed)
    print(table(rows, len(set(measured.families)) - 1))
    report = {
        "settings": asdict(settings),
        "cpu_seconds": round(time.process_time() - begin, 1),
        "metrics": [asdict(row) for row in rows],
        "users": [
            {
                "name": name,
                "divergence": divergence[0],
                "interval": np.percentile(divergence[1:], (2.5, 97.5)).tolist(),
                "badness": {m: None if np.isnan(b[i, 0]) else b[i, 0] for m, b in measured.badness.items()},
            }
            for i, (name, divergence) in enumerate(zip(measured.names, measured.divergence, strict=True))
        ],
    }
    path = out / f"{settings.env}-{settings.seed}.json"
    write_whole(path, json.dumps(report, indent=1) + "\n")
    print(f"{path}  ({report['cpu_seconds']} CPU seconds)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
