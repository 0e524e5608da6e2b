"""The registered environments: dialogue environments with their kind fixed."""

from typing import Unpack

from gymnasium.vector import AutoresetMode

from dialogue_gym.envs.parts import EnvKeywords
from dialogue_gym.envs.single import DialogueEnv
from dialogue_gym.envs.vector import DialogueVectorEnv


class MathChatEnv(DialogueEnv):
    """``MathChat-v0``: the user wants a math problem solved and tells its facts when asked."""

    def __init__(self, **keywords: Unpack[EnvKeywords]) -> None:
        super().__init__("math", **keywords)


class DocEditChatEnv(DialogueEnv):
    """``DocEditChat-v0``: the user wants a short document written and knows what must be in it."""

    def __init__(self, **keywords: Unpack[EnvKeywords]) -> None:
        super().__init__("document", **keywords)


class MathChatVectorEnv(DialogueVectorEnv):
    """``MathChat-v0`` for ``gym.make_vec``."""

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **keywords: Unpack[EnvKeywords],
    ) -> None:
        super().__init__("math", num_envs, autoreset_mode, **keywords)


class DocEditChatVectorEnv(DialogueVectorEnv):
    """``DocEditChat-v0`` for ``gym.make_vec``."""

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **keywords: Unpack[EnvKeywords],
    ) -> None:
        super().__init__("document", num_envs, autoreset_mode, **keywords)
