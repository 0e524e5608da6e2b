"""The realism reward in the tiny world: ``python -m benchmarks.realism_reward [--seeds 3] [--out FOLDER]``.

A scripted population stands for people. The tiny model is fitted on its dialogues, then improved by the
realism reward; fresh discriminators, diversity and the exact divergence judge both users on dialogues that
neither has seen. All figures are those of a toy.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported
from benchmarks.calibration.world import REFERENCE, HeldOut, dialogues
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.calibration.realism import measure_realism
from dialogue_gym.calibration.realism_reward import RewardSettings, improve, judge
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout.evaluation import estimate
from dialogue_gym.simulators import CalibratedUser

FIGURES = ("classifier_auc", "first_turn_distinct_1", "first_turn_distinct_2", "mattr", "vocabulary")


@dataclass
class Settings:
    """The realism reward in the tiny world, before and after."""

    dialogues: int = 300
    """Logged dialogues to fit on and to improve on."""
    held_out: int = 200
    """Fresh dialogues to judge by."""
    seeds: int = 3
    """Repetitions: other dialogues, another fit, other dialogues to judge by."""
    epochs: float = 6
    """Of the fit."""
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(cpu=True))
    """Of the realism reward; its seed is replaced."""
    out: Path = Path("runs/realism_reward")
    """Folder; finished fits found there are used again, an improved user is made anew elsewhere."""


def run(settings: Settings) -> dict[str, Any]:
    """All seeds; a few lines each while it goes."""
    results = []
    for seed in range(settings.seeds):
        results.append(_seed(settings, seed))
        print(f"seed {seed}\n{_lines(results[-1])}", flush=True)
    shown = {**asdict(settings), "out": settings.out.name}
    return {"settings": shown, "seeds": results}


def _seed(settings: Settings, seed: int) -> dict[str, Any]:
    records = dialogues("math", settings.dialogues, seed, REFERENCE)
    start, better = settings.out / f"fit-{seed}", settings.out / f"improved-{seed}"
    if not (start / "manifest.json").exists():
        fit(records, start, FitSettings(learning_rate=5e-4, epochs=settings.epochs, seed=seed, cpu=True))
    began = time.process_time()
    improved = improve(start, records, better, RewardSettings(**{**asdict(settings.reward), "seed": seed}))
    seconds = time.process_time() - began
    print(improved.summary(), flush=True)
    fresh = dialogues("math", settings.held_out, 2000 + seed, REFERENCE)
    held_out = HeldOut.of("math", settings.held_out, 2000 + seed)
    return {
        "seed": seed,
        "cpu_seconds": seconds,
        "metrics": improved.manifest["metrics"],
        "before": _figures(CalibratedUser(start), fresh, held_out, seed),
        "after": _figures(CalibratedUser(better), fresh, held_out, seed),
    }


def _figures(
    user: CalibratedUser, fresh: Sequence[DialogueRecord], held_out: HeldOut, seed: int
) -> dict[str, Any]:
    realism = measure_realism(fresh, user, seed=1000 + seed)
    figures: dict[str, Any] = {}
    for name in FIGURES:
        found = realism[name].simulator
        figures[name] = found.to_dict() if found else None
    values = held_out.divergence(held_out.log_probs(user))
    count = np.bincount(held_out.dialogue)
    found_divergence = estimate((np.bincount(held_out.dialogue, values) / count.mean()).tolist())
    assert found_divergence is not None
    figures["divergence"] = {
        "value": found_divergence.mean,
        "low": found_divergence.low,
        "high": found_divergence.high,
    }
    figures["judge"] = asdict(judge(user, fresh, 1000 + seed)[0])
    return figures


def _lines(result: dict[str, Any]) -> str:
    lines = []
    for name in (*FIGURES, "divergence"):
        shown = []
        for when in ("before", "after"):
            f = result[when][name]
            shown.append(f"{f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}]" if f else "not available")
        lines.append(f"  {name:22} {shown[0]} -> {shown[1]}")
    judged = [f"{result[when]['judge']['auc']:.3f}" for when in ("before", "after")]
    lines.append(f"  {'n-gram AUC':22} {judged[0]} -> {judged[1]}")
    return "\n".join([*lines, f"  {result['cpu_seconds']:.0f} CPU s for the reward"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    try:
        settings = parse_settings(Settings, "python -m benchmarks.realism_reward", arguments)
        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "calibration"), file=sys.stderr)
        return 2
    (settings.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
