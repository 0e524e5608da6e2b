"""The figures of a comparison whose stages are done."""

from typing import Any

import numpy as np

from benchmarks.algorithms.plan import numbers, stage
from benchmarks.algorithms.registry import find
from benchmarks.algorithms.settings import AlgorithmSettings
from benchmarks.algorithms.statistics import (
    Floats,
    interquartile_mean,
    interval,
    probability_of_improvement,
)

FEW_SEEDS = 5


def collect(settings: AlgorithmSettings) -> dict[str, Any]:
    """Everything that is reported; JSON-able.

    Returns:
        "algorithms" by name, see ``_algorithm``; "better", by pairs of names of one group, the probability
        that a run of the first is better than one of the second, "p", with its interval.
    """
    runs = {name: _runs(settings, name) for name in settings.names}
    scores = {name: _scores(settings, found) for name, found in runs.items()}
    groups = {name: find(name, settings.files).group for name in settings.names}
    better: dict[str, dict[str, Any]] = {}
    for first in settings.names:
        for second in settings.names:
            if first != second and groups[first] == groups[second]:
                pair = [scores[first], scores[second]]
                low, high = interval(probability_of_improvement, pair, (first, second))
                p = probability_of_improvement(*pair)
                better.setdefault(first, {})[second] = {"p": p, "low": low, "high": high}
    return {
        "algorithms": {
            name: {"group": groups[name], **_algorithm(settings, runs[name], scores[name])}
            for name in settings.names
        },
        "better": better,
    }


Runs = dict[str, list[dict[str, Any]]]


def _runs(settings: AlgorithmSettings, name: str) -> Runs:
    """What the stages of an algorithm found, by environment, in the order of the seeds."""
    return {
        env: [stage(settings, env, seed, name).result(settings.cache) for seed in numbers(settings)]
        for env in settings.envs
    }


def _scores(settings: AlgorithmSettings, runs: Runs) -> Floats:
    """Mean rewards, (seeds, environments)."""
    columns = [
        [run["evaluation"]["estimates"]["reward"]["mean"] for run in runs[env]] for env in settings.envs
    ]
    return np.array(columns, dtype=np.float64).T


def _algorithm(settings: AlgorithmSettings, runs: Runs, scores: Floats) -> dict[str, Any]:
    """One algorithm.

    Returns:
        "all", over all environments, and "by_env": each the interquartile mean of rewards, "iqm", with "low"
        and "high", the mean and "by_seed"; "cost" by environment: means over seeds of "user_calls",
        "policy_tokens", "wall_seconds" and "cpu_seconds".
    """
    return {
        "all": _summary(scores),
        "by_env": {env: _summary(scores[:, [i]]) for i, env in enumerate(settings.envs)},
        "cost": {env: _cost(runs[env]) for env in settings.envs},
    }


def _summary(scores: Floats) -> dict[str, Any]:
    low, high = interval(interquartile_mean, [scores], ("iqm",))
    return {
        "iqm": interquartile_mean(scores),
        "low": low,
        "high": high,
        "mean": float(scores.mean()),
        "by_seed": scores.mean(axis=1).tolist(),
    }


def _cost(runs: list[dict[str, Any]]) -> dict[str, float]:
    spent = {
        name: float(np.mean([run["spent"][name] for run in runs])) for name in ("user_calls", "policy_tokens")
    }
    seconds = {name: float(np.mean([run[name] for run in runs])) for name in ("wall_seconds", "cpu_seconds")}
    return {**spent, **seconds}
