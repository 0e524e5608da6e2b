"""Rewards in place of the environment's: look-ahead, progress, the outcome split among turns.

One protocol, ``TurnReward``, for all kinds of learners: ``pay`` puts rewards into trajectories, ``PayByTurn``
(here for single environments, in ``rewards.vector`` for vector environments) into steps, ``annotate`` into
logs. The reported score, ``record.reward`` and ``info["metrics"]``, stays what it is.
"""

from dialogue_gym.rewards import vector
from dialogue_gym.rewards.base import (
    CurrentPolicy,
    Training,
    TurnReward,
    build_turn_reward,
    totals,
    turn_rewards,
)
from dialogue_gym.rewards.implicit import ImplicitTurnReward
from dialogue_gym.rewards.look_ahead import LookAhead, continuations, mean_score
from dialogue_gym.rewards.paid import PayByTurn
from dialogue_gym.rewards.paying import annotate, pay
from dialogue_gym.rewards.progress import Progress

__all__ = [
    "CurrentPolicy",
    "ImplicitTurnReward",
    "LookAhead",
    "PayByTurn",
    "Progress",
    "Training",
    "TurnReward",
    "annotate",
    "build_turn_reward",
    "continuations",
    "mean_score",
    "pay",
    "totals",
    "turn_rewards",
    "vector",
]
