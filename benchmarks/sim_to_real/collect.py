"""The figures of a finished study, from what its stages found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.sim_to_real.analysis import (
    Floats,
    contrasts,
    ranks,
    scores,
    summary,
    verdict,
)
from benchmarks.sim_to_real.arms import REFERENCE, SeedOfStudy
from benchmarks.sim_to_real.plan import Study
from benchmarks.sim_to_real.stages import in_order

BEHAVIOUR = ("turns", "words_per_agent_turn", "words_per_user_turn", "ask_rate")


def collect(study: Study) -> dict[str, Any]:
    """Everything that is reported; JSON-able.

    Returns:
        "arms", see ``_arm``; "contrasts" with "verdict" on the declared one; "ranks", by training user, of
        policies under it and under the reference; "divergence" by training user and policy, see
        ``_divergences``; "realism" by training user and metric; "policies", the scores behind the ranks.
    """
    policies = _policies(study)
    by_arm = {arm: [_counted(study, seed, arm) for seed in study.seeds] for arm in study.settings.arms}
    found = contrasts(by_arm)
    return {
        "arms": {arm: _arm(study, arm, rewards) for arm, rewards in by_arm.items()},
        "contrasts": [asdict(c) for c in found],
        "verdict": verdict(found, study.settings.seeds, study.settings.where),
        "ranks": {user: ranks(policies, user) for user in study.users},
        "divergence": {user: _divergences(study, user) for user in study.measured},
        "realism": {user: _realism(study, user) for user in study.compared},
        "where": study.settings.where,
        "policies": policies,
    }


def _counted(study: Study, seed: SeedOfStudy, arm: str) -> Floats:
    """Rewards under the reference of the policy that counts."""
    return scores(study.result(seed.judging(arm, study.chosen(seed, arm), REFERENCE)))


def _arm(study: Study, arm: str, rewards: Sequence[Floats]) -> dict[str, Any]:
    """One arm.

    Returns:
        "reference", its score with interval and seeds; "user", who trained it; "own", the score under that
        user; "gap", own minus reference on the same tasks, and "absolute_gap", the mean size over seeds
        (both None without such a user); "chosen", which policy counts for how many seeds; behaviour with
        the reference; "budget", means over seeds; "curves" of training.
    """
    judged = [(seed, study.chosen(seed, arm)) for seed in study.seeds]
    user = study.seeds[0].trained_with(arm)
    results = [study.result(seed.judging(arm, c, REFERENCE)) for seed, c in judged]
    return {
        "reference": summary(rewards, ("score", arm)),
        "user": user,
        **_gaps(study, arm, user, rewards),
        "chosen": dict(Counter(str(c) for _, c in judged)),
        **{name: _estimate(results, name) for name in BEHAVIOUR},
        "unscored": float(np.mean([np.isnan(scores(result)).mean() for result in results])),
        **_training(study, arm),
    }


def _gaps(study: Study, arm: str, user: str | None, rewards: Sequence[Floats]) -> dict[str, Any]:
    """Score under the training user minus under the reference, of the same policy on the same tasks."""
    if user is None or user == REFERENCE or user not in study.users:
        return {"own": None, "gap": None, "absolute_gap": None}
    own = [scores(study.result(seed.judging(arm, study.chosen(seed, arm), user))) for seed in study.seeds]
    gaps = [a - b[: len(a)] for a, b in zip(own, rewards, strict=True)]
    gap = summary(gaps, ("gap", arm))
    return {
        "own": summary(own, ("own", arm)),
        "gap": gap,
        "absolute_gap": float(np.mean(np.abs(gap["by_seed"]))),
    }


def _training(study: Study, arm: str) -> dict[str, Any]:
    if arm == "base":
        return {"budget": None, "curves": []}
    results = [study.result(seed.training(arm)) for seed in study.seeds]
    spent = [
        {**result["budget"], **_spent(study, seed, arm)}
        for seed, result in zip(study.seeds, results, strict=True)
    ]
    return {"budget": _means(spent), "curves": [result["curve"] for result in results]}


def _spent(study: Study, seed: SeedOfStudy, arm: str) -> dict[str, float]:
    """Time of a training, and what it stands on: logs, fits and trainings before it.

    Returns:
        "wall_seconds" and "cpu_seconds" of the training; "cpu_seconds_before", of all stages that it needs;
        "logged_dialogues", how many of them the reference took part in.
    """
    stage = seed.training(arm)
    before = [other for other in in_order([stage]) if other.key != stage.key]
    reference = seed.reference.settings
    logs = [s.settings for s in before if s.kind == "log"]
    with_reference = [log for log in logs if all(log.get(k) == v for k, v in reference.items())]
    return {
        **{f"{name}_seconds": seconds for name, seconds in stage.seconds(study.cache).items()},
        "cpu_seconds_before": sum(s.seconds(study.cache)["cpu"] for s in before),
        "logged_dialogues": sum(log["dialogues"] for log in with_reference),
    }


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _estimate(results: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any] | None:
    """Mean over seeds of a measure; None where a seed does not know it."""
    found = [result["estimates"].get(name) for result in results]
    if any(estimate is None for estimate in found):
        return None
    by_seed = [estimate["mean"] for estimate in found if estimate]
    return {"mean": float(np.mean(by_seed)), "by_seed": by_seed}


def _policies(study: Study) -> list[dict[str, Any]]:
    """Each policy of each seed with its mean score under each user."""
    found = []
    for seed in study.seeds:
        for arm, c in study.policies():
            under = {u: _mean(study.result(seed.judging(arm, c, u))) for u in (REFERENCE, *study.users)}
            found.append({"seed": seed.seed, "arm": arm, "checkpoint": c, "scores": under})
    return found


def _mean(evaluation: Mapping[str, Any]) -> float:
    return float(np.nanmean(scores(evaluation)))


def _divergences(study: Study, user: str) -> list[dict[str, Any]]:
    """Of a training user from the reference, with the base policy and with each that it trained.

    Returns:
        For each policy "checkpoint" (0: base), "per_turn", the mean over turns and seeds with "by_seed", and
        standard "error" over seeds (None for one), and "turns": the same by turn, with the number of turns.
    """
    found = []
    for c in (0, *study.checkpoints(user)):
        results = [study.result(seed.divergence(user, c)) for seed in study.seeds]
        by_seed = [result["per_turn"] for result in results]
        found.append(
            {
                "checkpoint": c,
                "per_turn": float(np.mean(by_seed)),
                "error": _error(by_seed),
                "by_seed": by_seed,
                "turns": _by_turn([result["turns"] for result in results]),
            }
        )
    return found


def _by_turn(curves: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Turns that every seed's dialogues have."""
    rows = []
    for parts in zip(*curves, strict=False):
        means = [part["mean"] for part in parts]
        count = int(sum(part["n"] for part in parts))
        rows.append({"mean": float(np.mean(means)), "error": _error(means), "n": count})
    return rows


def _error(values: Sequence[float]) -> float | None:
    """Standard error of a mean over seeds; None for one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _realism(study: Study, user: str) -> list[dict[str, Any]]:
    """The realism metrics that count, means over seeds, beside people against people.

    Returns:
        For each metric its name, unit, which way is better, "simulator" and "people" (None where a seed has
        no figure), and "within", the share of seeds in which the user is within people's spread.
    """
    tables = [study.result(seed.realism(user))["figures"] for seed in study.seeds]
    return [_metric(figures) for figures in zip(*tables, strict=True) if figures[0]["counts"]]


def _metric(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sides = {side: [f[side]["value"] for f in figures if f[side]] for side in ("simulator", "people")}
    verdicts = [f["verdict"] for f in figures if f["verdict"]]
    return {
        **{name: figures[0][name] for name in ("metric", "unit", "better")},
        **{side: float(np.mean(v)) if len(v) == len(figures) else None for side, v in sides.items()},
        "within": verdicts.count("within") / len(verdicts) if verdicts else None,
    }
