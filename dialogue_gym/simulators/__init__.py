"""User simulators: the user's side of the dialogue."""

from dialogue_gym.simulators.base import (
    ReplyLogProb,
    ScoringUserSimulator,
    UserReply,
    UserRequest,
    UserSimulator,
    simulators,
)
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.human import HumanUser
from dialogue_gym.simulators.personas import Persona, Population
from dialogue_gym.simulators.prompted import PromptedUser
from dialogue_gym.simulators.replay import ReplayUser
from dialogue_gym.simulators.replay_log import LoggedTasks, replay_starts
from dialogue_gym.simulators.scripted import ScriptedUser

__all__ = [
    "CalibratedUser",
    "HumanUser",
    "LoggedTasks",
    "Persona",
    "Population",
    "PromptedUser",
    "ReplayUser",
    "ReplyLogProb",
    "ScoringUserSimulator",
    "ScriptedUser",
    "UserReply",
    "UserRequest",
    "UserSimulator",
    "replay_starts",
    "simulators",
]
