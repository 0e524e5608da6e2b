"""Can the study say no? ``python -m benchmarks.sim_to_real.null [--runs 20]``.

A world where all users coincide: training users are the reference population itself (preset ``null``), so
that the naive and the calibrated arm are repetitions of one another. Each run is a study of five seeds of its
own; counted is how often it claims a difference. All other options are those of the study.
"""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.sim_to_real.analysis import DECLARED, ENOUGH_SEEDS, contrasts, scores
from benchmarks.sim_to_real.arms import REFERENCE
from benchmarks.sim_to_real.command import do_stages, origin, run_command, settings_from, to_json
from benchmarks.sim_to_real.plan import Study
from benchmarks.sim_to_real.settings import StudySettings
from dialogue_gym.files import write_whole


def run(settings: StudySettings, runs: int, command: str) -> dict[str, Any]:
    """Count false claims over runs, each of ``settings.seeds`` seeds; writes ``null.json``.

    Returns:
        "runs", each contrast; "claims", how many runs show a difference (both intervals exclude zero), and
        the same by each interval alone; "share" of claims with its exact 95 % interval.

    Raises:
        StageError: a stage could not be done; what is done stays.
    """
    do_stages(Study(replace(settings, seeds=runs * settings.seeds)).wanted(), settings)
    found = []
    for first in range(0, runs * settings.seeds, settings.seeds):
        study = Study(replace(settings, first_seed=settings.first_seed + first))
        by_arm = {
            arm: [
                scores(study.result(seed.judging(arm, study.chosen(seed, arm), REFERENCE)))
                for seed in study.seeds
            ]
            for arm in settings.arms
        }
        found.append(next(c for c in contrasts(by_arm) if c.declared))
    by_t = sum(c.p is not None and c.p < 0.05 for c in found)
    by_bootstrap = sum(c.low > 0 or c.high < 0 for c in found)
    claims = sum(c.shown for c in found)
    result = {
        "runs": [
            {"difference": c.difference, "t": [c.t_low, c.t_high], "bootstrap": [c.low, c.high]}
            for c in found
        ],
        "claims": {"both intervals": claims, "t alone": by_t, "bootstrap alone": by_bootstrap},
        "share": _share(claims, runs),
        **origin(command, settings),
    }
    write_whole(settings.out / "null.json", to_json(result))
    return result


def _share(count: int, total: int) -> dict[str, float]:
    """With Clopper and Pearson's interval."""
    from scipy import stats

    interval = stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    return {"mean": count / total, "low": float(interval.low), "high": float(interval.high)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    program = "python -m benchmarks.sim_to_real.null"
    reader = argparse.ArgumentParser(prog=program, add_help=False, allow_abbrev=False)
    reader.add_argument("--runs", type=int, default=20)

    def body(given: list[str], command: str) -> None:
        own, others = reader.parse_known_args(given)
        settings = settings_from(["--preset", "null", *others], program)
        _check(settings, own.runs)
        result = run(settings, own.runs, command)
        for name, count in result["claims"].items():
            print(f"false claims by {name}: {count} of {own.runs}")
        share = "share {mean:.2f} [{low:.2f}, {high:.2f}]".format(**result["share"])
        print(f"{share}; {settings.out / 'null.json'}")

    return run_command(program, arguments, body)


def _check(settings: StudySettings, runs: int) -> None:
    """Is it a null world, and may it claim anything?"""
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")
    if settings.strength or settings.user != "scripted" or not set(DECLARED) <= set(settings.arms):
        raise ValueError(f"a null world has strength 0, scripted users, and arms {' and '.join(DECLARED)}")
    if settings.seeds < ENOUGH_SEEDS:
        raise ValueError(f"seeds of a run must be at least {ENOUGH_SEEDS}: with fewer nothing is claimed")


if __name__ == "__main__":
    sys.exit(main())
