"""Everything that can be set in a run of DRIFT."""

from dataclasses import dataclass
from pathlib import Path

from dialogue_agents.imitation.settings import ImitationSettings


@dataclass(kw_only=True)
class DriftSettings(ImitationSettings):
    """Imitate the better ones of several logged dialogues of each prompt.

    The user is needed to make the log and in the evaluation, never in training. Defaults are those of the
    page beside this file.
    """

    beta: float = 0.1
    """Temperature of the weights: exp(return / beta) over its mean among a prompt's dialogues."""
    gamma: float = 1.0
    """Discount of the reward for each turn before the one that earned it. The paper has 0.9, and a user who
    only says "wrong"; here a question comes before a good answer, and a discount teaches not to ask it."""
    repeat_penalty: float = 0.5
    """What a return loses where all replies say the same; in proportion to the share of repeated ones."""
    out: Path = Path("runs/drift")
    """Folder for checkpoints, metrics, settings and the evaluation."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        if not self.repeat_penalty >= 0:
            raise ValueError(f"repeat_penalty must be at least 0, got {self.repeat_penalty}")
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, got {self.beta}")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must be above 0 and at most 1, got {self.gamma}")
