"""A contextual bandit that chooses, at the opening of a dialogue, how the whole dialogue is led."""

from dialogue_agents.bandit.settings import BanditSettings

__all__ = ["BanditSettings"]
