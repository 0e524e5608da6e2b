"""The environments: one dialogue or many at once, over one turn logic."""

from dialogue_gym.envs.chats import DocEditChatEnv, DocEditChatVectorEnv, MathChatEnv, MathChatVectorEnv
from dialogue_gym.envs.single import DialogueEnv
from dialogue_gym.envs.vector import DialogueVectorEnv

__all__ = [
    "DialogueEnv",
    "DialogueVectorEnv",
    "DocEditChatEnv",
    "DocEditChatVectorEnv",
    "MathChatEnv",
    "MathChatVectorEnv",
]
