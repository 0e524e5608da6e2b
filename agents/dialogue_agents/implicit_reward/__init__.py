"""An implicit reward model, fitted to the outcomes of logged dialogues; its turn reward splits outcomes."""

from dialogue_agents.implicit_reward.settings import ImplicitRewardSettings

__all__ = ["ImplicitRewardSettings"]
