"""Dialogues without a reward: some cost their own part of an update, all of a rollout end the run."""

from collections.abc import Sequence
from typing import Any

import torch

from dialogue_gym.rollout import Trajectory

LOOK_AHEAD_FAILURE = "look_ahead_failure"
"""Where a record's ``extra`` says why none of its continuations was scored."""


class NothingScored(ValueError):
    """No dialogue of a rollout has a reward, so that an update would learn nothing from it."""


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
        raise NothingScored(
            f"none of the {played} dialogues of rollout {rollout} has a reward, the first because "
            f"of {reason(trajectories[0])}"
        )


def reason(trajectory: Trajectory) -> str:
    """Why a dialogue has no reward, for people."""
    record = trajectory.record
    failure = record.extra.get("failure") or record.extra.get(LOOK_AHEAD_FAILURE)
    if record.reward is None:
        return f"{record.end_reason}: {failure}" if failure else f"{record.end_reason}"
    return f"its continuations: {failure}" if failure else "the turn reward, which has none for it"
