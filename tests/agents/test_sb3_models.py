"""The algorithms refuse what they cannot take, and stop before they are spoilt."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import torch

from dialogue_agents.sb3.models import NotFinite, learn, make_model
from dialogue_gym.wrappers import BatchedVecEnv, DialogueActs, Features, vector

ALGORITHMS = ("ppo", "a2c", "dqn")
MATH = "dialogue_gym:MathChat-v0"
QUICK: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 8, "batch_size": 16},
    "a2c": {"n_steps": 8},
    "dqn": {"learning_starts": 8, "train_freq": 1},
}


def wrapped(rows: int = 4) -> BatchedVecEnv:
    return BatchedVecEnv(vector.Features(vector.DialogueActs(gym.make_vec(MATH, num_envs=rows))))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_raw_text_is_refused_with_the_wrapper_to_use(algorithm: str) -> None:
    raw = gym.make(MATH)
    with pytest.raises(
        ValueError, match=r"no observations of Sequence: wrap .* dialogue_gym.wrappers.Features"
    ):
        make_model(algorithm, raw)
    with pytest.raises(ValueError, match=r"no actions of Text: wrap .* dialogue_gym.wrappers.DialogueActs"):
        make_model(algorithm, Features(raw))
    with pytest.raises(ValueError, match=r"no observations of Sequence"):
        make_model(algorithm, DialogueActs(raw))
    with pytest.raises(ValueError, match=r"no vector environment of Gymnasium: wrap it in .*BatchedVecEnv"):
        make_model(algorithm, gym.make_vec(MATH, num_envs=2))


def test_dqn_takes_discrete_actions_only() -> None:
    with pytest.raises(
        ValueError, match=r"dqn takes Discrete actions only, got Box.*DialogueActs, or choose ppo or a2c"
    ):
        make_model("dqn", gym.make("Pendulum-v1"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_spaces_of_single_and_vector_environments_are_taken(algorithm: str) -> None:
    for env in (Features(DialogueActs(gym.make(MATH))), wrapped()):
        assert make_model(algorithm, env, seed=1).action_space.n == 2


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown algorithm 'ppoo': did you mean 'ppo'"):
        make_model("ppoo", wrapped())
    with pytest.raises(ValueError, match="a2c has no option 'learning_rat': did you mean 'learning_rate'"):
        make_model("a2c", wrapped(), learning_rat=1)
    with pytest.raises(ValueError, match="'verbose' is not an option of dqn"):
        make_model("dqn", wrapped(), verbose=1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_loss_that_is_no_number_stops_before_the_update(algorithm: str, tmp_path: Path) -> None:
    model = make_model(algorithm, wrapped(), seed=1, **QUICK[algorithm])
    learn(model, 64, None, tmp_path / "unused.npz")
    good = {name: value.clone() for name, value in model.policy.state_dict().items()}
    parameter = next(p for p in model.policy.parameters() if p.requires_grad)
    spoil = parameter.register_hook(lambda gradient: gradient * np.nan)
    with pytest.raises(
        NotFinite, match=rf"^{algorithm}: the loss is not finite at step \d+; its data is in .*bad.npz"
    ):
        learn(model, 64, None, tmp_path / "bad.npz")
    assert all((value == good[name]).all() for name, value in model.policy.state_dict().items())
    assert {"observations", "actions", "rewards"} <= set(np.load(tmp_path / "bad.npz"))
    assert not (tmp_path / "unused.npz").exists()
    spoil.remove()
    learn(model, 64, None, tmp_path / "unused.npz")  # what stopped is as good as before


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_probabilities_that_are_no_numbers_stop_it_as_well(algorithm: str, tmp_path: Path) -> None:
    """Weights that an update has made infinite show when the next act is drawn."""
    model = make_model(algorithm, wrapped(), seed=1, **QUICK[algorithm])
    with torch.no_grad():
        model.policy.action_net.weight.fill_(np.nan)
    with pytest.raises(NotFinite, match=rf"^{algorithm}: the loss is not finite at step 0; its data is in"):
        learn(model, 64, None, tmp_path / "bad.npz")
    assert (tmp_path / "bad.npz").exists()


def test_other_errors_are_let_through(tmp_path: Path) -> None:
    def fail(*_: Any) -> bool:
        raise ValueError("out of paper")

    with pytest.raises(ValueError, match=r"^out of paper$"):
        learn(make_model("a2c", wrapped(), seed=1), 64, fail, tmp_path / "bad.npz")
    assert not (tmp_path / "bad.npz").exists()
