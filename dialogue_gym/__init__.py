"""Gymnasium environments for multi-turn dialogue, where the user is part of the environment.

Importing the package registers ``MathChat-v0`` and ``DocEditChat-v0`` with Gymnasium.
"""

from importlib import import_module
from typing import Any

import gymnasium as gym

__version__ = "0.1.0"

# where the public names live; imported on first use, so that `import dialogue_gym` stays quick
_EXPORTS = {
    "DialogueEnv": "envs",
    "DialogueVectorEnv": "envs",
    "DialogueRecord": "logs",
    "EndReason": "dialogue",
    "Message": "dialogue",
    "NoiseKey": "seeding",
    "Persona": "simulators.personas",
    "UserReply": "simulators.base",
    "UserRequest": "simulators.base",
    "UserSimulator": "simulators.base",
}
__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)


def _register() -> None:
    for name in ("MathChat", "DocEditChat"):
        gym.register(
            f"{name}-v0",
            entry_point=f"dialogue_gym.envs:{name}Env",
            vector_entry_point=f"dialogue_gym.envs:{name}VectorEnv",
        )


_register()
