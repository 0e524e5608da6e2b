"""Calibration in the tiny world: ``python -m benchmarks.calibration [--seeds 3] [--out FOLDER]``.

A scripted population stands for people. The tiny model is fitted on its dialogues, and on three kinds of
dialogues that must not bring it near: a cooperative population's, another population's, and the same ones
with the users' turns shuffled across dialogues. The exact divergence of each is compared with that of the
prompted user, the tiny model as it is. All figures are those of a toy.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported
from benchmarks.calibration.world import COOPERATIVE, REFERENCE, HeldOut, dialogues, shuffled
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout.evaluation import estimate
from dialogue_gym.simulators import CalibratedUser, PromptedUser
from dialogue_gym.tasks.base import Kind

ARMS = ("calibrated", "cooperative", "other population", "shuffled")


@dataclass
class Settings:
    """Calibration in the tiny world: exact divergence of calibrated users and of controls."""

    env: str = "math"
    """Kind of dialogues: "math" or "document"."""
    dialogues: int = 500
    """Logged dialogues to fit on."""
    held_out: int = 200
    """Fresh dialogues to judge by."""
    seeds: int = 3
    """Repetitions: other dialogues, another fit, other dialogues to judge by."""
    controls: bool = True
    """Also fit on dialogues that must not help."""
    learning_rate: float = 5e-4
    """Of the fit."""
    out: Path = Path("runs/calibration")
    """Folder; finished fits found there are used again."""


def run(settings: Settings) -> dict[str, Any]:
    """All seeds; one line an arm while it goes."""
    results = []
    for seed in range(settings.seeds):
        held_out = HeldOut.of(_kind(settings), settings.held_out, 1000 + seed)
        prompted = held_out.log_probs(PromptedUser("tiny"))
        rows = {"prompted": {"divergence": _estimate(held_out, held_out.divergence(prompted))}}
        for arm in ARMS if settings.controls else ARMS[:1]:
            rows[arm] = _arm(settings, arm, seed, held_out)
            print(f"seed {seed} {arm:17} {_line(rows[arm], rows['prompted'])}", flush=True)
        results.append({"seed": seed, "attainable_f1": held_out.attainable_f1(), "arms": rows})
    return {"settings": {**asdict(settings), "out": settings.out.name}, "seeds": results}


def _kind(settings: Settings) -> Kind:
    if settings.env not in ("math", "document"):
        raise ValueError(f"env must be 'math' or 'document', got {settings.env!r}")
    return settings.env  # type: ignore[return-value]


def _records(settings: Settings, arm: str, seed: int) -> list[DialogueRecord]:
    population = {"cooperative": COOPERATIVE, "other population": None}.get(arm, REFERENCE)
    records = dialogues(_kind(settings), settings.dialogues, seed, population)
    return shuffled(records, seed) if arm == "shuffled" else records


def _arm(settings: Settings, arm: str, seed: int, held_out: HeldOut) -> dict[str, Any]:
    folder = settings.out / f"{settings.env}-{arm.replace(' ', '-')}-{seed}"
    if not (folder / "manifest.json").exists():
        fit(
            _records(settings, arm, seed),
            folder,
            FitSettings(learning_rate=settings.learning_rate, seed=seed, cpu=True),
        )
    user = CalibratedUser(folder)
    log_probs = held_out.log_probs(user)
    return {
        "divergence": _estimate(held_out, held_out.divergence(log_probs)),
        "stop_f1": held_out.stop_f1(log_probs),
        "cpu_seconds": user.manifest["metrics"]["cpu_seconds"],
    }


def _estimate(held_out: HeldOut, values: np.ndarray) -> dict[str, float]:
    """Nats per turn: the mean over all turns, with an interval from resampled dialogues."""
    count = np.bincount(held_out.dialogue)
    share = np.bincount(held_out.dialogue, values) / count.mean()
    found = estimate(share.tolist())
    assert found is not None
    return {"mean": found.mean, "low": found.low, "high": found.high, "median": float(np.median(values))}


def _line(row: dict[str, Any], prompted: dict[str, Any]) -> str:
    d, ratio = row["divergence"], row["divergence"]["mean"] / prompted["divergence"]["mean"]
    return (
        f"{d['mean']:.2f} [{d['low']:.2f}, {d['high']:.2f}] nats a turn, {ratio:.2f} of the prompted user's, "
        f"stop F1 {row['stop_f1']:.2f}, {row['cpu_seconds']:.0f} CPU s"
    )


def report(result: dict[str, Any]) -> str:
    """A table for people."""
    lines = ["divergence from the population, nats a turn [95 % interval over dialogues]"]
    for part in result["seeds"]:
        low, high = part["attainable_f1"]
        prompted = part["arms"]["prompted"]
        d = prompted["divergence"]
        lines.append(f"seed {part['seed']}: attainable stop F1 {low:.2f} to {high:.2f}")
        lines.append(f"  {'prompted':17} {d['mean']:.2f} [{d['low']:.2f}, {d['high']:.2f}]")
        lines += [
            f"  {arm:17} {_line(row, prompted)}" for arm, row in part["arms"].items() if arm != "prompted"
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    try:
        settings = parse_settings(Settings, "python -m benchmarks.calibration", arguments)
        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "calibration"), file=sys.stderr)
        return 2
    (settings.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
