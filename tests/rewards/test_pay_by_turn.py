"""Steps that pay by turns: sums, rows, restarts, and the environment's own score beside them."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.rewards import ImplicitTurnReward, LookAhead, PayByTurn, Progress, vector
from dialogue_gym.rollout import make_vector_env
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.wrappers import BatchedVecEnv, DialogueActs, Features
from dialogue_gym.wrappers import vector as views
from tests.rewards.conftest import Scorer, Scores, Speaker, Talker, tenths
from tests.rewards.test_paying import Given

ID = "dialogue_gym:MathChat-v0"
ROWS = 3


def noise() -> Scores:
    return Scores(lambda context, token: -9 * NoiseKey((context, token)).uniform())


def score(conversation: Any) -> float:
    return NoiseKey(tuple(m["content"] for m in conversation)).uniform()


def parts() -> dict[str, Any]:
    return {"simulator": Talker(stop=0.3, fail=0.1), "scorer": Scorer(score), "max_turns": 3}


def look_ahead() -> LookAhead:
    env = make_vector_env(ID, 4, **parts())
    return LookAhead(env, Speaker(lambda conversation, key: str(key.integer(0, 9))))


REWARDS = {
    "progress": lambda: Progress(noise(), weight=0.3, gamma=0.8),
    "look_ahead": look_ahead,
    "implicit": lambda: ImplicitTurnReward(noise(), noise()),
}


@pytest.mark.parametrize("name", REWARDS)
@settings(max_examples=5)
@given(st.integers(0, 100))
def test_steps_sum_to_the_rewards_of_the_dialogue(name: str, seed: int) -> None:
    reward = REWARDS[name]()
    env = PayByTurn(gym.make(ID, **parts()), reward)
    for _ in range(3):
        _, info = env.reset(seed=seed)
        paid, over = [], bool(info["end_reason"])
        while not over:
            _, value, terminated, truncated, info = env.step(f"{len(paid)}")
            paid.append(value)
            over = terminated or truncated
        record = env.unwrapped.record()
        (expected,) = reward.rewards([record])
        if expected is not None:
            assert sum(paid) == pytest.approx(sum(expected))
            assert name == "implicit" or paid == pytest.approx(expected)
            assert name != "implicit" or paid[:-1] == [0.0] * (len(paid) - 1)
            assert info["score"] == record.reward == score(record.messages)
            assert info["metrics"] == record.metrics == {"half": record.reward / 2}
        elif paid:
            assert paid[-1] == 0.0
            assert "score" not in info
        seed += 1000


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@settings(max_examples=5)
@given(st.integers(0, 100))
def test_each_row_is_a_single_environment(mode: str, seed: int) -> None:
    many = vector.PayByTurn(
        gym.make_vec(ID, num_envs=ROWS, autoreset_mode=mode, **parts()), REWARDS["progress"]()
    )
    singles = [PayByTurn(gym.make(ID, **parts()), REWARDS["progress"]()) for _ in range(ROWS)]
    _, infos = many.reset(seed=seed)
    single_infos = [env.reset(seed=seed + row)[1] for row, env in enumerate(singles)]
    over = np.zeros(ROWS, dtype=bool)
    ends = 0
    for turn in range(8):
        _, rewards, terminated, truncated, infos = many.step([f"{turn}"] * ROWS)
        for row, env in enumerate(singles):
            if over[row] and mode == "NextStep":
                env.reset()
                expected, over[row] = 0.0, False
            else:
                _, expected, done, cut, single_infos[row] = env.step(f"{turn}")
                ended = (done or cut) and not over[row]
                assert (terminated[row] or truncated[row]) == ended
                if done and ended:
                    told = infos["final_info"] if mode == "SameStep" else infos
                    assert told["_score"][row]
                    assert told["score"][row] == single_infos[row]["score"]
                    ends += 1
                over[row] |= done or cut
                if over[row] and mode == "SameStep":
                    env.reset()
                    over[row] = False
            assert rewards[row] == pytest.approx(expected)
    assert ends


def test_a_masked_reset_and_a_dialogue_that_goes_on() -> None:
    """Turns that were there before are not paid, and other rows keep their account."""
    env = vector.PayByTurn(
        gym.make_vec(ID, num_envs=2, autoreset_mode="Disabled", simulator=Talker(), scorer=Scorer(tenths)),
        Given(lambda record: [float(n + 1) for n in range(len(record.messages) // 2)]),
    )
    env.reset(seed=1)
    assert env.step(["a", "a"])[1].tolist() == [1.0, 1.0]
    assert env.step(["b", "b"])[1].tolist() == [2.0, 2.0]
    history = env.unwrapped.record(1)
    env.reset(options={"reset_mask": np.array([True, False])})
    assert env.step(["c", "c"])[1].tolist() == [1.0, 3.0]
    env.reset(options={"reset_mask": np.array([True, False]), "dialogue": [history, None]})
    assert env.step(["d", "d"])[1].tolist() == [3.0, 4.0]


def test_a_reward_that_is_missing_for_a_while_is_paid_later() -> None:
    reward = Given(lambda r: None if len(r.messages) // 2 == 2 else [1.0] * (len(r.messages) // 2))
    env = PayByTurn(gym.make(ID, simulator=Talker()), reward)
    env.reset(seed=0)
    assert [env.step("a")[1] for _ in range(4)] == [1.0, 0.0, 2.0, 1.0]


def test_after_the_end_nothing_is_paid() -> None:
    env = PayByTurn(
        gym.make(ID, simulator=Talker(), max_turns=2), Given(lambda r: [1.0] * (len(r.messages) // 2))
    )
    env.reset(seed=0)
    assert [env.step("a")[1] for _ in range(4)] == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_the_environments_checker_is_content() -> None:
    env = Features(DialogueActs(PayByTurn(gym.make(ID), Progress(noise()))))
    check_env(env, skip_render_check=True)


def test_under_acts_features_and_stable_baselines() -> None:
    pytest.importorskip("stable_baselines3")
    rows = vector.PayByTurn(gym.make_vec(ID, num_envs=ROWS, **parts()), Progress(noise()))
    env = BatchedVecEnv(views.Features(views.DialogueActs(rows)))
    env.seed(3)
    env.reset()
    told = []
    for _ in range(12):
        _, rewards, _, infos = env.step([1] * ROWS)
        told += [
            (info["scored"], "score" in info, reward) for info, reward in zip(infos, rewards, strict=True)
        ]
    assert all(scored == has for scored, has, _ in told)
    assert {scored for scored, _, _ in told} == {True, False}
    assert any(reward for scored, _, reward in told if not scored)


def test_what_cannot_be_wrapped() -> None:
    reward = Progress(noise())
    with pytest.raises(ValueError, match="PayByTurn wraps a DialogueEnv, got CartPoleEnv"):
        PayByTurn(gym.make("CartPole-v1"), reward)
    with pytest.raises(ValueError, match="PayByTurn wraps a DialogueVectorEnv, got SyncVectorEnv"):
        vector.PayByTurn(gym.make_vec("CartPole-v1", vectorization_mode="sync"), reward)
    with pytest.raises(ValueError, match="PayByTurn needs a TurnReward, got str"):
        PayByTurn(gym.make(ID), "progress")  # type: ignore[arg-type]
