"""Everything that can be set in a run of Stable-Baselines3."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dialogue_agents.turn_rewards import reward_spec
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.registry import nearest
from dialogue_gym.tasks.base import check_split

ALGORITHMS = ("ppo", "a2c", "dqn")
_AT_LEAST = {
    **dict.fromkeys(("steps", "num_envs", "max_turns", "save_steps"), 1),
    **dict.fromkeys(("seed", "eval_dialogues"), 0),
}


@dataclass(kw_only=True)
class SB3Settings:
    """PPO, A2C or DQN of Stable-Baselines3: the policy chooses among dialogue acts."""

    algorithm: str = "ppo"
    """"ppo", "a2c" or "dqn"."""
    env: str = "MathChat-v0"
    """Environment id."""
    simulator: str = "scripted"
    """Who plays the user: a registered name."""
    language_model: str | None = None
    """Language model of the user ("tiny", "transformers:PATH"); None where the simulator needs none."""
    env_kwargs: str = "{}"
    """More keywords for the environment, as a JSON object."""
    acts_model: str | None = None
    """Frozen language model that words the acts; None: templates do, which know the procedural tasks only."""
    out: Path = Path("runs/sb3")
    """Folder for the policy, settings, figures and the evaluation."""
    seed: int = 0
    """Seeds tasks, users, exploration and the network."""
    reward: str | None = None
    """What is trained on in place of the score: a turn reward, "progress" or "look_ahead", or a JSON object
    ({"name": "progress", "language_model": "tiny"}). None: the score, which figures show in any case."""
    steps: int = 6000
    """Acts to learn from, over all rows. May be raised on resume."""
    num_envs: int = 8
    """Dialogues at once; their users are called together."""
    max_turns: int = 12
    """Turn limit (evaluation uses the same)."""
    algorithm_kwargs: str = "{}"
    """Keywords for the algorithm's class, as a JSON object, such as '{"learning_rate": 0.001}'."""
    save_steps: int = 2000
    """A checkpoint every so many acts; the last one is kept."""
    eval_dialogues: int = 300
    """Dialogues before and after training, logged to ``before.jsonl`` and ``after.jsonl``; 0 for none."""
    eval_simulator: str = "scripted"
    """Who plays the user in them: the reference user, whoever the policy was trained with."""
    eval_split: str = "test"
    """Split of these dialogues: "train", "validation" or "test"."""
    resume: bool = False
    """Go on from the last checkpoint in ``out``; the other settings must be those of that run."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {self.algorithm!r}: {nearest(self.algorithm, ALGORITHMS)}")
        for name in ("env_kwargs", "algorithm_kwargs"):
            json_object(getattr(self, name), name)
        for name, least in _AT_LEAST.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.reward is not None:
            reward_spec(self.reward)
        check_split(self.eval_split)

    def described(self) -> dict[str, Any]:
        """What a run writes down of its settings, and what one that goes on must have in common with it."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return data
