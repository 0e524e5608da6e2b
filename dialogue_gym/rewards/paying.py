"""Where rewards go: into trajectories, and into logs."""

from collections.abc import Sequence
from dataclasses import replace

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rewards.base import TurnReward, ask
from dialogue_gym.rollout import Trajectory


def pay(trajectories: Sequence[Trajectory], reward: TurnReward) -> None:
    """Give trajectories these rewards in place of the environment's, in place; records stay as they are.

    ``rewards`` has those of the turns that were played, ``reward`` their sum. Where there is none both are as
    of an unscored dialogue: zeros, and None.
    """
    for trajectory, values in zip(trajectories, ask(reward, [t.record for t in trajectories]), strict=True):
        played = len(trajectory.rewards)
        if values is None or trajectory.reward is None:
            trajectory.rewards, trajectory.reward = [0.0] * played, None
        else:  # a dialogue that began in the middle has earlier replies, which nobody played
            trajectory.rewards = values[len(values) - played :]
            trajectory.reward = sum(trajectory.rewards) if played else trajectory.reward


def annotate(records: Sequence[DialogueRecord], reward: TurnReward) -> list[DialogueRecord]:
    """Copies of dialogues with their rewards in ``extra``, for learners that read a log.

    ``extra["turn_rewards"]`` has one number for each reply, or None where there is no reward; the policy's
    view shows it as ``PolicyRecord.turn_rewards``. ``extra["turn_reward"]`` says what made them.

    Example:
        >>> append(out, annotate(list(read_log(log)), Progress("tiny")))  # doctest: +SKIP
    """
    made_by = reward.identity()
    return [
        replace(record, extra={**record.extra, "turn_rewards": values, "turn_reward": made_by})
        for record, values in zip(records, ask(reward, records), strict=True)
    ]
