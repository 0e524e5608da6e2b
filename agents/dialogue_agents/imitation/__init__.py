"""Weighted imitation of logged dialogues: what learners from logs share. They differ in the weights."""

from dialogue_agents.imitation.settings import ImitationSettings

__all__ = ["ImitationSettings"]
