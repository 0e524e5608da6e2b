"""The wrappers of vector environments, and the bridge to Stable-Baselines3."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym import wrappers
from dialogue_gym.dialogue import EndReason
from dialogue_gym.simulators import ScriptedUser
from dialogue_gym.wrappers import vector
from tests.wrappers.test_acts import ANSWER, ASK, IDS, Model

ROWS = 3


class CountingUser(ScriptedUser):
    """Counts the calls."""

    calls = 0

    def reply(self, requests: Any) -> Any:
        self.calls += 1
        return super().reply(requests)


def make(env_id: str = IDS[0], **keywords: Any) -> Any:
    return vector.Features(vector.DialogueActs(gym.make_vec(env_id, num_envs=ROWS, **keywords)))


def bridged(env_id: str = IDS[0], **keywords: Any) -> Any:
    pytest.importorskip("stable_baselines3")
    return wrappers.BatchedVecEnv(make(env_id, **keywords))


@settings(max_examples=10)
@given(
    st.sampled_from(IDS), st.integers(0, 1000), st.lists(st.tuples(*[st.integers(0, 1)] * ROWS), max_size=8)
)
def test_each_row_is_a_wrapped_single_environment(
    env_id: str, seed: int, acts: list[tuple[int, ...]]
) -> None:
    many = make(env_id, max_turns=3)
    singles = [wrappers.Features(wrappers.DialogueActs(gym.make(env_id, max_turns=3))) for _ in range(ROWS)]
    observations, _ = many.reset(seed=seed)
    ones = [env.reset(seed=seed + row)[0] for row, env in enumerate(singles)]
    assert (observations == np.stack(ones)).all()
    for actions in acts:
        observations, rewards, terminated, truncated, infos = many.step(np.array(actions))
        assert observations in many.observation_space
        for row, env in enumerate(singles):
            observation, reward, done, cut, _ = env.step(actions[row])
            assert (rewards[row], terminated[row], truncated[row]) == (reward, done, cut)
            if done:
                assert (infos["final_obs"][row] == observation).all()
                observation, _ = env.reset()
            assert (observations[row] == observation).all()


def test_a_masked_reset_keeps_the_other_rows() -> None:
    env = make(autoreset_mode="Disabled")
    env.reset(seed=1)
    before, *_ = env.step([ASK] * ROWS)
    after, _ = env.reset(options={"reset_mask": np.array([True, False, False])})
    assert (after[1:] == before[1:]).all()
    assert after[0][0] == 1.0
    assert before[0][0] < 1.0


def test_one_call_words_all_rows_and_a_failure_stays_in_its_row() -> None:
    model = Model()
    env = vector.DialogueActs(gym.make_vec(IDS[0], num_envs=ROWS), language_model=model)
    conversations, _ = env.reset(seed=1)
    model.fault = conversations[1][0]["content"]
    _, _, _, truncated, infos = env.step([ASK, ASK, ASK])
    assert [len(call) for call in model.calls] == [ROWS]
    assert truncated.tolist() == [False, True, False]
    assert infos["final_info"]["end_reason"][1] == "policy_failure"


def test_acts_of_a_wrong_number() -> None:
    env = make()
    env.reset(seed=1)
    with pytest.raises(ValueError, match="step takes 3 acts, got 2"):
        env.step([ASK, ASK])


# the bridge ----------------------------------------------------------------------------------------


def test_the_bridge_hands_over_what_the_vector_environment_gives() -> None:
    env, plain = bridged(max_turns=3), make(max_turns=3)
    env.seed(7)
    assert (env.reset() == plain.reset(seed=7)[0]).all()
    for step in range(8):
        acts = np.array([step % 2, 1, 0])
        observations, rewards, dones, infos = env.step(acts)
        theirs, gains, terminated, truncated, rows = plain.step(acts)
        assert (observations == theirs).all()
        assert (rewards == gains.astype(np.float32)).all()
        assert (dones == (terminated | truncated)).all()
        for row in np.flatnonzero(dones):
            assert (infos[row]["terminal_observation"] == rows["final_obs"][row]).all()
            assert infos[row]["end_reason"] == rows["final_info"]["end_reason"][row] != ""
            assert "accuracy" in infos[row]["metrics"]
            assert "final_obs" not in infos[row]


def test_only_what_was_not_scored_is_a_cut() -> None:
    env = bridged(max_turns=2)
    env.seed(1)
    env.reset()
    env.step(np.full(ROWS, ASK))
    env.env.unwrapped.abort([1], EndReason.ABORTED)
    _, rewards, dones, infos = env.step(np.full(ROWS, ASK))
    assert dones.all()
    assert [info["end_reason"] for info in infos] == ["turn_limit", "aborted", "turn_limit"]
    assert [info["TimeLimit.truncated"] for info in infos] == [False, True, False]
    assert rewards[1] == 0
    assert all(info["terminal_observation"][0] == 0 for info in (infos[0], infos[2]))
    *_, infos = env.step(np.full(ROWS, ASK))
    assert not any(info["TimeLimit.truncated"] or "terminal_observation" in info for info in infos)


def test_users_are_called_in_batches() -> None:
    user = CountingUser()
    env = bridged(simulator=user, max_turns=2)
    env.seed(1)
    env.reset()
    for _ in range(6):
        before = user.calls
        env.step(np.full(ROWS, ANSWER))
        assert user.calls - before <= 2


def test_a_seed_serves_once() -> None:
    env = bridged()
    env.seed(7)
    first, second = env.reset(), env.reset()
    env.seed(7)
    assert (env.reset() == first).all()
    assert (second != first).any()


def test_what_stable_baselines_may_ask_of_the_bridge() -> None:
    env = bridged()
    assert env.get_attr("num_envs") == [ROWS] * ROWS
    assert env.env_is_wrapped(vector.DialogueActs, [0, 1]) == [True, True]
    assert env.env_is_wrapped(gym.Wrapper) == [False] * ROWS
    with pytest.raises(NotImplementedError, match=r"set 'x' on BatchedVecEnv\.env"):
        env.set_attr("x", 1)
    with pytest.raises(NotImplementedError, match=r"call 'abort' on BatchedVecEnv\.env"):
        env.env_method("abort")
    env.set_options({"task_seed": 1})
    with pytest.raises(ValueError, match="options of reset are the vector environment's"):
        env.reset()


@pytest.mark.parametrize("mode", ["Disabled", "NextStep"])
def test_the_bridge_needs_rows_that_reset_themselves_at_once(mode: str) -> None:
    with pytest.raises(ValueError, match=f"autoreset_mode='SameStep', got '{mode}'"):
        bridged(autoreset_mode=mode)


def test_the_bridge_names_the_wrapper_that_is_missing() -> None:
    pytest.importorskip("stable_baselines3")
    raw = gym.make_vec(IDS[0], num_envs=2)
    with pytest.raises(
        ValueError, match=r"no observations of Sequence: .* dialogue_gym.wrappers.vector.Features"
    ):
        wrappers.BatchedVecEnv(raw)
    with pytest.raises(ValueError, match=r"no actions of Text: .* dialogue_gym.wrappers.vector.DialogueActs"):
        wrappers.BatchedVecEnv(vector.Features(raw))


def test_without_stable_baselines_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "stable_baselines3", None)
    with pytest.raises(ImportError, match=r'pip install "dialogue-gym\[sb3\]"'):
        wrappers.BatchedVecEnv  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Batched'"):
        wrappers.Batched  # noqa: B018
