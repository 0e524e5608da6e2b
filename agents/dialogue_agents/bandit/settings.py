"""Everything that can be set in a run of the bandit."""

from dataclasses import dataclass
from pathlib import Path

from dialogue_agents.settings import CommonSettings, check_at_least
from dialogue_agents.turn_rewards import reward_spec
from dialogue_gym.cli.arguments import json_object
from dialogue_gym.registry import nearest

ALGORITHMS = {"linucb": 1.0, "thompson": 0.3}
"""By name, and how much each tries out where it is not told."""
_AT_LEAST = {
    **dict.fromkeys(("dialogues", "batch_size", "max_tokens"), 1),
    **dict.fromkeys(("exploration", "temperature"), 0),
}


@dataclass(kw_only=True)
class BanditSettings(CommonSettings):
    """Learn which of a few ways to lead a dialogue suits its opening; nothing else is learned."""

    algorithm: str = "linucb"
    """"linucb" (Li et al. 2010, arXiv 1003.0146) or "thompson" (Agrawal and Goyal 2013, arXiv 1209.3352)."""
    policy: str = "acts"
    """Who answers, and is not trained: "acts", worded by a program that knows the procedural tasks; "rule";
    or a language model ("tiny", "http://HOST:PORT/v1#MODEL")."""
    arms: str = "{}"
    """What there is to choose from, as a JSON object: by name, a system prompt for a language model, how
    many questions "acts" asks before it answers, or a rate of asking for "rule"; {} for ours."""
    exploration: float | None = None
    """How much is tried out: LinUCB's alpha (1 if None), or Thompson sampling's v (0.3 if None)."""
    reward: str | None = None
    """What is learned from in place of the score: a turn reward, or a JSON object of its name and options;
    a dialogue counts with the sum. None: the score, which figures show in any case."""
    dialogues: int = 1500
    """Training dialogues."""
    batch_size: int = 32
    """Dialogues played together; the bandit learns between batches."""
    max_tokens: int = 64
    """Tokens per message; only language models."""
    temperature: float = 1.0
    """Sampling temperature; only language models."""
    out: Path = Path("runs/bandit")
    """Folder for what was learned, settings, figures and the evaluation."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {self.algorithm!r}: {nearest(self.algorithm, ALGORITHMS)}")
        super().__post_init__()
        json_object(self.arms, "arms")
        check_at_least(self, _AT_LEAST)
        if self.reward is not None:
            reward_spec(self.reward)

    @property
    def explored(self) -> float:
        """``exploration``, or what stands for None."""
        return ALGORITHMS[self.algorithm] if self.exploration is None else self.exploration
