"""The realism reward in the tiny world: ``python -m benchmarks.realism_reward [--seeds 3] [--out FOLDER]``.

A scripted population stands for people. The tiny model is fitted on its dialogues, then improved by the
realism reward; fresh discriminators, diversity and the exact divergence judge both users on dialogues that
neither has seen. All figures are those of a toy.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported
from benchmarks.calibration.world import REFERENCE, HeldOut, dialogues
from dialogue_gym.calibration.discriminator import (
    Exchange,
    NgramDiscriminator,
    held_out_logits,
    weighted_auc,
)
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.calibration.realism.resampling import make_plan
from dialogue_gym.calibration.realism_reward import RewardSettings, improve
from dialogue_gym.calibration.words import ngrams, words
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.files import write_whole
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import CalibratedUser
from dialogue_gym.simulators.calibrated_folder import MANIFEST, read_manifest


@dataclass
class Settings:
    """The realism reward in the tiny world, before and after."""

    dialogues: int = 500
    """Logged dialogues to fit on and to improve on."""
    held_out: int = 400
    """Fresh dialogues to judge by."""
    draws: int = 4
    """Replies of each user to each turn that judges, each draw with its own discriminators."""
    seeds: int = 3
    """Repetitions: other dialogues, another fit, other dialogues to judge by."""
    fit: FitSettings = field(default_factory=lambda: FitSettings(cpu=True))
    """Of the fit; its seed is replaced."""
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(cpu=True))
    """Of the realism reward; its seed is replaced."""
    out: Path = Path("runs/realism_reward")
    """Folder; finished users found there are used again."""


def run(settings: Settings) -> dict[str, Any]:
    """All seeds; a few lines each while it goes."""
    results = []
    for seed in range(settings.seeds):
        results.append(_seed(settings, seed))
        print(f"seed {seed}\n{_lines(results[-1])}", flush=True)
    return {"settings": {**asdict(settings), "out": settings.out.name}, "seeds": results}


def _seed(settings: Settings, seed: int) -> dict[str, Any]:
    records = dialogues("math", settings.dialogues, seed, REFERENCE)
    start, better = settings.out / f"fit-{seed}", settings.out / f"improved-{seed}"
    if not (start / MANIFEST).exists():
        fit(records, start, replace(settings.fit, seed=seed))
    if not (better / MANIFEST).exists():
        print(improve(start, records, better, replace(settings.reward, seed=seed)).summary(), flush=True)
    judged = Judged(HeldOut.of("math", settings.held_out, 2000 + seed), settings.draws, seed)
    return {
        "seed": seed,
        "metrics": read_manifest(better)["metrics"],
        "figures": judged.compare(CalibratedUser(start), CalibratedUser(better)),
    }


class Judged:
    """Two users on the same fresh dialogues, with intervals over resampled dialogues.

    Args:
        held_out: the dialogues.
        draws: replies of each user in each context.
        seed: of replies and resamples.
    """

    def __init__(self, held_out: HeldOut, draws: int, seed: int) -> None:
        self.held_out, self.draws, self.seed = held_out, draws, seed
        self.weights = make_plan(int(held_out.dialogue.max()) + 1, resamples=200, seed=seed).weights

    def compare(self, before: CalibratedUser, after: CalibratedUser) -> dict[str, dict[str, Any]]:
        """Each figure before and after and the paired difference: mean, and 95 % interval."""
        figures = [self._figures(user) for user in (before, after)]
        people = self._diversity([[(turn.request, turn.reply) for turn in self.held_out.turns]])
        return {
            name: {
                "before": _interval(figures[0][name]),
                "after": _interval(figures[1][name]),
                "difference": _interval(figures[1][name] - figures[0][name]),
                "people": _interval(people[name]) if name in people else None,
            }
            for name in figures[0]
        }

    def _figures(self, user: CalibratedUser) -> dict[str, NDArray[Any]]:
        """Each figure for each row of weights."""
        said = [self._replies(user, draw) for draw in range(self.draws)]
        divergence = self.held_out.divergence(self.held_out.log_probs(user))
        drawn = self.weights[:, self.held_out.dialogue]
        return {
            "fresh AUC": np.mean([self._auc(part) for part in said], axis=0),
            "divergence": (drawn * divergence).sum(axis=1) / drawn.sum(axis=1),
            **self._diversity(said),
        }

    def _diversity(self, said: Sequence[list[Exchange]]) -> dict[str, NDArray[Any]]:
        """Means over draws, for each row of weights."""
        openings = [[exchange for exchange in part if not exchange[0].conversation] for part in said]
        return {
            "distinct-2": np.mean([self._distinct(part, self.held_out.dialogue) for part in said], axis=0),
            "openings' distinct-2": np.mean(
                [self._distinct(part, np.arange(len(part))) for part in openings], axis=0
            ),
        }

    def _replies(self, user: CalibratedUser, draw: int) -> list[Exchange]:
        key = NoiseKey(("judged", self.seed, draw))
        asked = [
            replace(turn.request, key=key.child(i), dialogue_id=("judged", draw, i))
            for i, turn in enumerate(self.held_out.turns)
        ]
        parts = [user.reply(asked[i : i + 64]) for i in range(0, len(asked), 64)]
        user.forget([request.dialogue_id for request in asked])
        return list(zip(asked, [reply for part in parts for reply in part], strict=True))

    def _auc(self, said: list[Exchange]) -> NDArray[Any]:
        discriminator = NgramDiscriminator()
        people = [(turn.request, turn.reply) for turn in self.held_out.turns]
        groups = np.tile(self.held_out.dialogue, 2)
        labels = np.repeat([1, 0], len(people))
        logits = held_out_logits(discriminator, discriminator.features(people + said), labels, groups)
        return weighted_auc(logits, labels, self.weights[:, groups])

    def _distinct(self, said: list[Exchange], dialogue: NDArray[Any]) -> NDArray[Any]:
        """Distinct-2 of the dialogues that each row of weights drew at least once."""
        grams = [ngrams(words(reply.text), 2) for _, reply in said]
        values = []
        for row in self.weights > 0:
            drawn = [gram for part, place in zip(grams, dialogue, strict=True) if row[place] for gram in part]
            values.append(len(set(drawn)) / len(drawn))
        return np.array(values)


def _interval(values: NDArray[Any]) -> dict[str, float]:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def _lines(result: dict[str, Any]) -> str:
    lines = []
    for name, figure in result["figures"].items():
        before, after, change = (figure[part] for part in ("before", "after", "difference"))
        lines.append(
            f"  {name:21} {before['value']:.3f} -> {after['value']:.3f}, "
            f"difference {change['value']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]"
            + (f", people {figure['people']['value']:.3f}" if figure["people"] else "")
        )
    return "\n".join([*lines, f"  {result['metrics']['cpu_seconds']:.0f} CPU s for the reward"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    try:
        settings = parse_settings(Settings, "python -m benchmarks.realism_reward", arguments)
        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "calibration"), file=sys.stderr)
        return 2
    write_whole(settings.out / "result.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
