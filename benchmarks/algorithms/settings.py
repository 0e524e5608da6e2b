"""Settings of the comparison, and its presets."""

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.algorithms.registry import ALGORITHMS, find
from benchmarks.sim_to_real.settings import KINDS
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.registry import nearest

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "learner": {
            "groups": 8,
            "learning_rate": 4e-4,
            "updates_per_rollout": 2,
            "cpu": True,
            "report_to": "none",
            "save_steps": 10,
        },
        # as many updates as their defaults make of a log three times as long
        "options": {"drift": {"epochs": 3}, "sft": {"epochs": 3}},
    },
}
"""By name, settings that differ from the defaults."""


@dataclass
class AlgorithmSettings:
    r"""Algorithms on the same tasks, with the same users, under the same bounds, judged alike.

    Examples:
      Everything, ten seeds (hours on two cores); the same command goes on after a stop:
        python -m benchmarks.algorithms --out runs/algorithms
      One environment, three algorithms, two seeds:
        python -m benchmarks.algorithms --envs MathChat-v0 --algorithms sft drift linucb --seeds 2
      Your own beside two of ours (docs/algorithms.md):
        python -m benchmarks.algorithms --algorithms sft linucb --algorithm-file my_algorithm.py
    """

    preset: str = "tiny"
    """Where settings begin; the only one is "tiny", on the shipped model, a toy."""
    envs: tuple[str, ...] = tuple(KINDS)
    """Environment ids."""
    algorithms: tuple[str, ...] = tuple(ALGORITHMS)
    """Which of ours."""
    algorithm_file: tuple[Path, ...] = ()
    """Python files with an algorithm each, to add to these."""
    seeds: int = 10
    """Runs of each algorithm in each environment; each seed has a reference population of its own."""
    first_seed: int = 0
    """Where to begin counting them."""
    user_calls: int = 6000
    """Messages of users that training may cost, or the log that it learns from."""
    policy_tokens: int = 150_000
    """Tokens with loss that training may cost, each counted at every pass."""
    policy: str = "tiny"
    """The base policy: "tiny", or a folder or hub name that transformers can load."""
    max_turns: int = 6
    """Turn limit, in training and evaluation."""
    max_tokens: int = 48
    """Tokens per message."""
    eval_dialogues: int = 200
    """Held-out dialogues with the reference that judge each run."""
    learner: str = "{}"
    """Settings that learners of language models share, as a JSON object such as '{"groups": 4}'; added to
    the preset's."""
    options: str = "{}"
    """Settings of single algorithms, as a JSON object such as '{"drift": {"beta": 0.05}}'; added to the
    preset's."""
    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Processes, one for each core."""
    out: Path = Path("runs/algorithms")
    """Folder of stages and the report; finished stages found there are used again."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        if self.preset not in PRESETS:
            raise ValueError(f"unknown preset {self.preset!r}: {nearest(self.preset, PRESETS)}")
        for env in self.envs:
            if env not in KINDS:
                raise ValueError(f"unknown environment {env!r}: {nearest(env, KINDS)}")
        counts = (
            "seeds",
            "user_calls",
            "policy_tokens",
            "max_turns",
            "max_tokens",
            "eval_dialogues",
            "workers",
        )
        for name in (*counts, "first_seed"):
            if getattr(self, name) < (least := int(name in counts)):
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.envs or not self.names:
            raise ValueError("envs and algorithms must each name at least one")
        self._check_options()

    def _check_options(self) -> None:
        """So that a slip shows at once and not after hours."""
        for name, options in json_object(self.options, "options").items():
            if name not in self.names:
                raise ValueError(f"options: no algorithm {name!r} in this run: {nearest(name, self.names)}")
            if not isinstance(options, dict):
                raise ValueError(f"options: those of {name!r} must be a JSON object, got {options!r}")
        for name in self.names:
            find(name, self.files).check(name, self.options_of(name))
        known = [f.name for f in fields(GRPOSettings)]
        for name in self.shared:
            if name not in known:
                raise ValueError(f"learner: unknown setting {name!r}: {nearest(name, known)}")

    @property
    def files(self) -> dict[str, Path]:
        """Algorithm files by the names of their algorithms."""
        return {path.stem: path for path in self.algorithm_file}

    @property
    def names(self) -> list[str]:
        """All algorithms of this run."""
        return [*self.algorithms, *self.files]

    @property
    def shared(self) -> dict[str, Any]:
        """Settings that learners of language models share."""
        return {**PRESETS[self.preset]["learner"], **json_object(self.learner, "learner")}

    @property
    def cache(self) -> Path:
        """Folder of the stages' folders."""
        return self.out.absolute() / "stages"

    def options_of(self, name: str) -> dict[str, Any]:
        """Settings of one algorithm, over those of the preset."""
        preset, given = PRESETS[self.preset]["options"], json_object(self.options, "options")
        return {**preset.get(name, {}), **given.get(name, {})}
