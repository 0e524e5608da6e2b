"""DRIFT: weighted imitation of logged dialogues, no user online."""

from dialogue_agents.drift.settings import DriftSettings

__all__ = ["DriftSettings"]
