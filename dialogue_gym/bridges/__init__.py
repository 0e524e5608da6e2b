"""Our dialogues in other frameworks' trainers: a file for each, which needs that framework's package."""

from dialogue_gym.bridges.one_dialogue import OneDialogue, shared_env

__all__ = ["OneDialogue", "shared_env"]
