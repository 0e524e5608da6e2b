"""Calibration in the tiny world: ``python -m benchmarks.calibration [--seeds 3] [--out FOLDER]``.

A scripted population stands for people, and the tiny model, trained on cooperative users, for a prompted
model, since that is how prompted models play users: they tell everything at once and agree (2510.06552,
2601.17087). It is then fitted on the population's dialogues, and on three kinds of dialogues that must not
bring it near: more of the cooperative ones, another population's, and the right ones with the users' turns
shuffled across dialogues. The exact divergence of each is compared with that of the prompted user. With
``--start tiny`` the prompted user is the shipped tiny model, whose training had varied users: its
divergence is small before any calibration. All figures are those of a toy.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported
from benchmarks.calibration.world import COOPERATIVE, OTHER, REFERENCE, HeldOut, dialogues, shuffled
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.files import write_whole
from dialogue_gym.rollout.evaluation import estimate
from dialogue_gym.simulators import CalibratedUser, PromptedUser, ScoringUserSimulator
from dialogue_gym.simulators.user_side import Condition
from dialogue_gym.tasks.base import Kind

POPULATIONS = {"cooperative": COOPERATIVE, "other population": OTHER, "shuffled": REFERENCE}
"""Dialogues that must not help."""
CONDITIONS: dict[str, Condition] = {"calibrated": "brief", "told the goal": "intent", "told nothing": "none"}
"""What the calibrated users are told."""


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
    first_seed: int = 0
    """Where to begin counting them."""
    controls: bool = True
    """Also fit without the brief, and on dialogues that must not help."""
    start: Literal["naive", "tiny"] = "naive"
    """The prompted user, where fits begin: the tiny model after cooperative dialogues, or as shipped."""
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(learning_rate=3e-4, epochs=15, embedding_noise=5.0, cpu=True)
    )
    """Of every fit; the model and the seed are set here."""
    out: Path = Path("runs/calibration")
    """Folder; finished fits found there are used again."""


def run(settings: Settings) -> dict[str, Any]:
    """All seeds; one line an arm while it goes."""
    results = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        held_out = HeldOut.of(_kind(settings), settings.held_out, 1000 + seed)
        prompted = _prompted(settings, seed)
        rows = {"prompted": _row(held_out, prompted)}
        for arm in (*CONDITIONS, *POPULATIONS) if settings.controls else ("calibrated",):
            rows[arm] = _row(held_out, _calibrated(settings, arm, seed))
            print(f"seed {seed} {arm:17} {_line(rows[arm], rows['prompted'])}", flush=True)
        results.append({"seed": seed, "attainable_f1": held_out.attainable_f1(), "arms": rows})
    return {"settings": {**asdict(settings), "out": settings.out.name}, "seeds": results}


def _kind(settings: Settings) -> Kind:
    if settings.env not in ("math", "document"):
        raise ValueError(f"env must be 'math' or 'document', got {settings.env!r}")
    return settings.env  # type: ignore[return-value]


def _prompted(settings: Settings, seed: int) -> ScoringUserSimulator:
    if settings.start == "tiny":
        return PromptedUser("tiny")
    return _fitted(settings, "naive", seed, "tiny", COOPERATIVE)


def _calibrated(settings: Settings, arm: str, seed: int) -> CalibratedUser:
    start = "tiny" if settings.start == "tiny" else str(_folder(settings, "naive", seed))
    return _fitted(settings, arm, seed, start, POPULATIONS.get(arm, REFERENCE))


def _fitted(
    settings: Settings, arm: str, seed: int, start: str, population: dict[str, Any]
) -> CalibratedUser:
    folder = _folder(settings, arm, seed)
    if not (folder / "manifest.json").exists():
        key = seed + 500 * (arm == "naive")  # other cooperative dialogues than the control's
        records = dialogues(_kind(settings), settings.dialogues, key, population)
        records = shuffled(records, seed) if arm == "shuffled" else records
        condition = CONDITIONS.get(arm, settings.fit.condition)
        fit(records, folder, replace(settings.fit, model=start, seed=seed, condition=condition))
    return CalibratedUser(folder)


def _folder(settings: Settings, arm: str, seed: int) -> Path:
    return settings.out / f"{settings.env}-{settings.start}-{arm.replace(' ', '-')}-{seed}"


def _row(held_out: HeldOut, user: ScoringUserSimulator) -> dict[str, Any]:
    log_probs = held_out.log_probs(user)
    row: dict[str, Any] = {"divergence": _estimate(held_out, held_out.divergence(log_probs))}
    if user.decides_stop_first:
        row["stop_f1"] = held_out.stop_f1(log_probs)
    if isinstance(user, CalibratedUser):
        row["cpu_seconds"] = user.manifest["metrics"]["cpu_seconds"]
    return row


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
    write_whole(settings.out / "result.json", json.dumps(result, indent=1) + "\n")
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
