"""GRPO on whole dialogues with a user in the loop."""

from dialogue_agents.grpo.settings import GRPOSettings, LearnerSettings

__all__ = ["GRPOSettings", "LearnerSettings"]
