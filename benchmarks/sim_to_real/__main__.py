"""The study in one command: ``python -m benchmarks.sim_to_real [--preset tiny] [--seeds 3] [--out FOLDER]``.

Policies are trained on logs, against a naive user, a calibrated one, one calibrated twice, and the reference
itself, and judged by the reference. Everything is a toy unless another preset says otherwise.
"""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.sim_to_real.analysis import contrasts, resampled, scores
from benchmarks.sim_to_real.arms import Judged, SeedOfStudy
from benchmarks.sim_to_real.report import terminal, to_html
from benchmarks.sim_to_real.settings import StudySettings, read_preset
from benchmarks.sim_to_real.stages import LOG, Stage, run_stages
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.logs import read_log
from dialogue_gym.rollout import show


def run(settings: StudySettings) -> dict[str, Any]:
    """Do what is not done yet and say what came of it."""
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    arms = [SeedOfStudy(settings, seed).arms() for seed in seeds]
    wanted = [stage for by_arm in arms for judged in by_arm.values() for stage in _stages(judged)]
    cache = settings.out / "stages"
    cache.mkdir(parents=True, exist_ok=True)
    run_stages(wanted, cache, settings.workers, _Display())
    result = {"settings": settings.to_dict(), **collect(settings, arms)}
    (settings.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    page = to_html(result, transcripts(settings, arms[0]))
    (settings.out / "report.html").write_text(page, encoding="utf-8")
    return result


def transcripts(settings: StudySettings, arms: dict[str, Judged]) -> dict[str, str]:
    """For each arm the dialogue of the first seed's task that separates the arms most."""
    logs = {
        arm: list(read_log(arms[arm].reference.folder(settings.out / "stages") / LOG))
        for arm in settings.arms
    }
    by_task = zip(*logs.values(), strict=True)
    spread = [np.std([record.reward or 0.0 for record in records]) for records in by_task]
    return {arm: show(records[int(np.argmax(spread))]) for arm, records in logs.items()}


def _stages(judged: Judged) -> list[Stage]:
    return [stage for stage in (judged.reference, judged.own) if stage is not None]


class _Display:
    """A line for each finished stage, with the time left at this pace."""

    def __init__(self) -> None:
        self.started, self.first = time.monotonic(), -1

    def __call__(self, title: str, done: int, total: int) -> None:
        self.first = done - 1 if self.first < 0 else self.first
        pace = (time.monotonic() - self.started) / (done - self.first)
        print(f"[{done}/{total}] {title}; about {pace * (total - done) / 60:.0f} min left", flush=True)


def collect(settings: StudySettings, arms: Sequence[dict[str, Judged]]) -> dict[str, Any]:
    """Figures of finished stages."""
    cache = settings.out / "stages"
    found: dict[str, Any] = {}
    for arm in settings.arms:
        judged = [by_arm[arm] for by_arm in arms]
        reference = [_result(j.reference, cache) for j in judged]
        own = [_result(j.own, cache) for j in judged if j.own]
        found[arm] = {
            "reference": _summary([scores(r) for r in reference], arm),
            "own": _summary([scores(r) for r in own], arm) if own else None,
            "ask_rate": _mean([r["estimates"]["ask_rate"]["mean"] for r in reference]),
            "turns": _mean([r["estimates"]["turns"]["mean"] for r in reference]),
            "budget": [_result(j.train, cache)["budget"] for j in judged if j.train],
            "curves": [_result(j.train, cache)["curve"] for j in judged if j.train],
        }
    by_arm = {arm: [scores(_result(a[arm].reference, cache)) for a in arms] for arm in settings.arms}
    return {"arms": found, "contrasts": [vars(c) for c in contrasts(by_arm)]}


def _result(stage: Stage, cache: Any) -> dict[str, Any]:
    result = stage.result(cache)
    assert result is not None, stage.title
    return result


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _summary(by_seed: Sequence[Any], arm: str) -> dict[str, Any]:
    means = [float(part[part == part].mean()) for part in by_seed]
    boot = sorted(resampled(by_seed, ("score", arm)))
    return {"mean": _mean(means), "low": boot[49], "high": boot[1949], "by_seed": means}


def _preset(arguments: Sequence[str]) -> StudySettings:
    """Where the other arguments begin; it must be known before they are read."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--preset", default=StudySettings.preset)
    name = reader.parse_known_args(arguments)[0].preset
    return StudySettings(preset=name, **read_preset(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        settings = parse_settings(StudySettings, "python -m benchmarks.sim_to_real", given, _preset(given))
        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "agents"), file=sys.stderr)
        return 2
    print(terminal(result))
    print(f"{settings.out / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
