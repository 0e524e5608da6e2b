"""A Gymnasium vector environment as a ``VecEnv`` of Stable-Baselines3: users are called in batches."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

_PLAIN = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def check_spaces(observations: gym.Space[Any], actions: gym.Space[Any], vector: bool = False) -> None:
    """Refuse what no algorithm of Stable-Baselines3 takes.

    Args:
        observations: of one environment.
        actions: of one environment.
        vector: whether the wrappers to name are those of vector environments.

    Raises:
        ValueError: one line that names the wrapper to use.
    """
    room = "dialogue_gym.wrappers.vector" if vector else "dialogue_gym.wrappers"
    flat = observations.spaces.values() if isinstance(observations, spaces.Dict) else [observations]
    if not all(isinstance(space, _PLAIN) for space in flat):
        raise ValueError(
            f"Stable-Baselines3 takes no observations of {type(observations).__name__}: "
            f"wrap the environment in {room}.Features, outermost"
        )
    if not isinstance(actions, _PLAIN):
        raise ValueError(
            f"Stable-Baselines3 takes no actions of {type(actions).__name__}: "
            f"wrap the environment in {room}.DialogueActs, inside Features"
        )


class BatchedVecEnv(VecEnv):  # type: ignore[misc]
    """Hands a vector environment to Stable-Baselines3, which itself would call one user at a time.

    ``dones`` joins the two flags of Gymnasium. ``infos[i]["TimeLimit.truncated"]`` is set where a dialogue
    was cut off and not scored (a failure), and nowhere else: our turn limit is part of the task and is
    scored, and a learner that bootstrapped past it would pay for running out the clock. At an end
    ``infos[i]`` is that of the dialogue that ended, with ``terminal_observation``.

    Args:
        env: for example ``vector.Features(vector.DialogueActs(gym.make_vec("MathChat-v0", num_envs=8)))``.

    Raises:
        ValueError: an environment that does not reset itself in the step that ends an episode, or spaces that
            no algorithm takes; the message names the wrapper to use.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                "BatchedVecEnv needs a vector environment made with autoreset_mode='SameStep', "
                f"got {mode.value if isinstance(mode, AutoresetMode) else mode!r}"
            )
        check_spaces(env.single_observation_space, env.single_action_space, vector=True)
        self.env = env
        self._actions: Any = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Begin anew in every row, from the seeds that ``seed`` has set, which serve once."""
        if any(self._options):
            raise ValueError("options of reset are the vector environment's: give them to its own reset")
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.env.reset(seed=seeds)
        self._reset_seeds()
        self.reset_infos = [_row(infos, row) for row in range(self.num_envs)]
        return observations

    def step_async(self, actions: Any) -> None:
        """Keep the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all rows at once."""
        observations, rewards, terminated, truncated, infos = self.env.step(self._actions)
        dones = terminated | truncated
        rows = [_row(infos, row) for row in range(self.num_envs)]
        for row in np.flatnonzero(dones).tolist():
            rows[row] = {**_row(infos["final_info"], row), "terminal_observation": infos["final_obs"][row]}
        for info, cut in zip(rows, truncated & ~terminated, strict=True):
            info["TimeLimit.truncated"] = bool(cut)
        return observations, rewards.astype(np.float32), dones, rows

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The vector environment's attribute, once for each row asked for."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Rows have no attributes of their own: set them on ``env``."""
        raise NotImplementedError(f"rows share one environment: set {attr_name!r} on BatchedVecEnv.env")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **keywords: Any) -> list[Any]:
        """Rows have no methods of their own: call them on ``env``."""
        raise NotImplementedError(f"rows share one environment: call {method_name!r} on BatchedVecEnv.env")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Whether a wrapper of that class is around the vector environment."""
        env: Any = self.env
        while not (found := isinstance(env, wrapper_class)) and env is not env.unwrapped:
            env = env.env
        return [found for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[None]:
        """Dialogues have no pictures."""
        return [None] * self.num_envs


def _row(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """The info of one row, as a single environment would give it."""
    info = {}
    for key, values in infos.items():
        if not key.startswith(("_", "final_")) and infos[f"_{key}"][row]:
            info[key] = _row(values, row) if isinstance(values, dict) else _plain(values[row])
    return info


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
