"""Conformance checks for parts that people write themselves; use them in your own tests."""

from dialogue_gym.testing.common import ODD_TEXTS
from dialogue_gym.testing.envs import check_env
from dialogue_gym.testing.language_models import check_language_model
from dialogue_gym.testing.scorers import check_scorer
from dialogue_gym.testing.task_sources import check_task_source
from dialogue_gym.testing.turn_rewards import check_turn_reward
from dialogue_gym.testing.users import check_user_simulator

__all__ = [
    "ODD_TEXTS",
    "check_env",
    "check_language_model",
    "check_scorer",
    "check_task_source",
    "check_turn_reward",
    "check_user_simulator",
]
