"""GRPO on whole dialogues with a user in the loop."""

from dialogue_agents.grpo.settings import GRPOSettings, LearnerSettings, RunSettings

__all__ = ["GRPOSettings", "LearnerSettings", "RunSettings"]
