"""Everything that can be set in a run of Stable-Baselines3."""

from dataclasses import dataclass
from pathlib import Path

from dialogue_agents.settings import CommonSettings, check_at_least
from dialogue_agents.turn_rewards import reward_spec
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.registry import nearest

ALGORITHMS = ("ppo", "a2c", "dqn")


@dataclass(kw_only=True)
class SB3Settings(CommonSettings):
    """PPO, A2C or DQN of Stable-Baselines3: the policy chooses among dialogue acts."""

    algorithm: str = "ppo"
    """"ppo", "a2c" or "dqn"."""
    acts_model: str | None = None
    """Frozen language model that words the acts; None: templates do, which know the procedural tasks only."""
    out: Path = Path("runs/sb3")
    """Folder for the policy, settings, figures and the evaluation."""
    reward: str | None = None
    """What is trained on in place of the score: a turn reward, "progress" or "look_ahead", or a JSON object
    ({"name": "progress", "language_model": "tiny"}). None: the score, which figures show in any case."""
    steps: int = 6000
    """Acts to learn from, over all rows. May be raised on resume."""
    num_envs: int = 8
    """Dialogues at once; their users are called together."""
    algorithm_kwargs: str = "{}"
    """Keywords for the algorithm's class, as a JSON object, such as '{"learning_rate": 0.001}'."""
    save_steps: int = 2000
    """A checkpoint every so many acts; the last one is kept."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {self.algorithm!r}: {nearest(self.algorithm, ALGORITHMS)}")
        super().__post_init__()
        json_object(self.algorithm_kwargs, "algorithm_kwargs")
        check_at_least(self, {"steps": 1, "num_envs": 1, "save_steps": 1})
        if self.reward is not None:
            reward_spec(self.reward)
