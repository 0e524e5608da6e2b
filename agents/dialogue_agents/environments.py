"""Where a run plays, and with whom: the environments that its settings ask for."""

import json
from typing import Any

from dialogue_agents.settings import CommonSettings
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.envs.parts import build_simulator
from dialogue_gym.rollout import make_vector_env
from dialogue_gym.simulators import UserSimulator


def load_user(settings: CommonSettings) -> UserSimulator:
    """Who plays the user in training, once for a run: environments share it.

    Raises:
        ValueError: an unknown name, or a folder that holds no calibrated user.
        FileNotFoundError: nothing loadable at the path of its language model.
        ImportError: an extra is not installed.
    """
    given = json.loads(settings.env_kwargs)
    return build_simulator(
        given.get("simulator", settings.simulator), given.get("language_model", settings.language_model)
    )


def env_keywords(settings: CommonSettings, user: UserSimulator | str) -> dict[str, Any]:
    """Keywords of an environment with this user, whoever the settings name."""
    given = json.loads(settings.env_kwargs)
    others = {name: value for name, value in given.items() if name not in ("simulator", "language_model")}
    return {"max_turns": settings.max_turns, **others, "simulator": user}


def make_env(
    settings: CommonSettings,
    num_envs: int,
    split: str | None = None,
    user: UserSimulator | str | None = None,
) -> DialogueVectorEnv:
    """A vector environment for ``play``.

    Args:
        settings: of the run.
        num_envs: rows.
        split: of the tasks; that of ``env_kwargs``, or "train", if None.
        user: who plays the user; that of training, loaded anew, if None.

    Raises:
        ValueError: names and keywords that there are not.
    """
    keywords = env_keywords(settings, user or load_user(settings))
    return make_vector_env(settings.env, num_envs, **keywords | ({"split": split} if split else {}))
