"""Everything that can be set in a run of supervised fine-tuning."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dialogue_agents.imitation.settings import ImitationSettings


@dataclass(kw_only=True)
class SFTSettings(ImitationSettings):
    """Imitate the best of the logged dialogues, all of them alike, and none of the others.

    The user is needed to make the log and in the evaluation, never in training. Defaults are those of the
    page beside this file.
    """

    share: float = 0.25
    """How many of the dialogues are the best, by reward; at least one of those compared."""
    best_of: Literal["prompt", "log"] = "prompt"
    """Compared are the dialogues of each "prompt", or all of the "log"."""
    out: Path = Path("runs/sft")
    """Folder for checkpoints, metrics, settings and the evaluation."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}")
