"""The algorithms, with settings that suit dialogues of a dozen turns, and what they refuse."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from torch.utils.hooks import RemovableHandle

from dialogue_gym.registry import check_options, nearest
from dialogue_gym.wrappers.bridge import check_spaces

CLASSES: Mapping[str, Any] = {"ppo": PPO, "a2c": A2C, "dqn": DQN}
_OURS = ("policy", "env", "seed", "device", "verbose", "_init_setup_model")

# The reward comes at the end of a dialogue of a known length, hence no discount.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {"n_steps": 64, "learning_rate": 1e-3, "ent_coef": 0.01, "gamma": 1.0},
    "a2c": {"n_steps": 16, "learning_rate": 1e-3, "ent_coef": 0.01, "gamma": 1.0, "gae_lambda": 0.95},
    "dqn": {
        "learning_rate": 1e-3,
        "buffer_size": 20_000,
        "learning_starts": 500,
        "train_freq": 2,
        "gradient_steps": 4,
        "target_update_interval": 400,
        "exploration_fraction": 0.4,
        "gamma": 1.0,
    },
}
"""Where they differ from those of Stable-Baselines3."""


class NotFinite(ValueError):
    """A loss or a weight became infinite or not a number; training stopped before the update."""


def make_model(algorithm: str, env: Any, seed: int | None = None, **options: Any) -> Any:
    """A learner for an environment whose spaces it can take.

    Args:
        algorithm: "ppo", "a2c" or "dqn".
        env: a Gymnasium environment, or a ``VecEnv`` such as ``BatchedVecEnv``.
        seed: of network and exploration; of the environment too.
        **options: keywords of the algorithm's class, over those of ``DEFAULTS``.

    Raises:
        ValueError: an unknown algorithm or option, with the nearest names; spaces that the algorithm cannot
            take, with the wrapper to use.
    """
    if algorithm not in CLASSES:
        raise ValueError(f"unknown algorithm {algorithm!r}: {nearest(algorithm, CLASSES)}")
    if ours := [name for name in options if name in _OURS]:
        raise ValueError(f"{ours[0]!r} is not an option of {algorithm}: it is set elsewhere")
    check_options(CLASSES[algorithm], options, algorithm)
    if isinstance(env, gym.vector.VectorEnv):
        raise ValueError(
            f"{algorithm} takes no vector environment of Gymnasium: "
            "wrap it in dialogue_gym.wrappers.BatchedVecEnv"
        )
    check_spaces(env.observation_space, env.action_space)
    if algorithm == "dqn" and not isinstance(env.action_space, spaces.Discrete):
        raise ValueError(
            f"dqn takes Discrete actions only, got {env.action_space}: offer acts with "
            "dialogue_gym.wrappers.DialogueActs, or choose ppo or a2c"
        )
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    chosen = {**DEFAULTS[algorithm], **options}
    if algorithm == "ppo":
        chosen.setdefault("batch_size", min(128, chosen["n_steps"] * getattr(env, "num_envs", 1)))
    return CLASSES[algorithm](policy, env, seed=seed, device="cpu", **chosen)


def learn(model: Any, steps: int, callback: Any, batch: Path, **options: Any) -> None:
    """``model.learn``, which stops before an update that would spoil the model, and saves its data.

    Args:
        model: a learner of Stable-Baselines3.
        steps: to learn from, over all rows.
        callback: as Stable-Baselines3 takes it: a ``BaseCallback``, or a function of its locals and globals
            that is false where training should end.
        batch: where the data goes, as ``.npz``: the rollout, or all that is in the replay memory.
        **options: further keywords of ``model.learn``, such as ``reset_num_timesteps``.

    Raises:
        NotFinite: a loss is not a number; the data is saved.
    """
    hook = stop_when_not_finite(model, batch)
    try:
        model.learn(steps, callback=callback, **{"log_interval": None, **options})
    except ValueError as error:
        if "Expected parameter" not in str(error):  # torch's words for probabilities that are none
            raise
        raise not_finite(model, batch) from error
    finally:
        hook.remove()


def stop_when_not_finite(model: Any, batch: Path) -> RemovableHandle:
    """From now on the model raises ``NotFinite`` before an update that would spoil it, and saves its data.

    Args:
        model: a learner of Stable-Baselines3.
        batch: see ``learn``.

    Returns:
        What ends this, by its ``remove``.
    """

    def check(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if not all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in parameters):
            raise not_finite(model, batch)

    handle: RemovableHandle = model.policy.optimizer.register_step_pre_hook(check)
    return handle


def not_finite(model: Any, batch: Path) -> NotFinite:
    """The error, once the data is saved."""
    np.savez(batch, **_data(model))
    name = type(model).__name__.lower()
    return NotFinite(
        f"{name}: the loss is not finite at step {model.num_timesteps}; its data is in {batch}; "
        "a lower learning_rate may help"
    )


def _data(model: Any) -> dict[str, Any]:
    if hasattr(model, "rollout_buffer"):
        names = ["observations", "actions", "rewards", "values", "log_probs", "advantages", "returns"]
        return {name: getattr(model.rollout_buffer, name) for name in names}
    memory = model.replay_buffer
    names = ["observations", "next_observations", "actions", "rewards", "dones"]
    return {name: getattr(memory, name)[: memory.size()] for name in names}
