"""Supervised fine-tuning on the best logged dialogues, no user online."""

from dialogue_agents.sft.settings import SFTSettings

__all__ = ["SFTSettings"]
