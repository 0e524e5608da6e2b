"""A rollout in which no dialogue has a reward ends the run."""

from collections.abc import Sequence
from typing import Any

import torch

from dialogue_agents.unscored import nothing_scored, reason
from dialogue_gym.rollout import Trajectory


def check_scored(trajectories: Sequence[Trajectory], rollout: int, accelerator: Any) -> None:
    """Look at the rewards of a rollout, those of all processes.

    Args:
        trajectories: all that this process has played for it, at least one.
        rollout: its number, from 0.
        accelerator: the trainer's; every process must call this.

    Raises:
        NothingScored: there is no reward, whoever failed; with the reason of the first dialogue.
    """
    mine = [sum(t.reward is not None for t in trajectories), len(trajectories)]
    scored, played = accelerator.gather(torch.tensor([mine], device=accelerator.device)).sum(0).tolist()
    if not scored:
        raise nothing_scored(f"{played} dialogues of rollout {rollout}", reason(trajectories[0].record))
