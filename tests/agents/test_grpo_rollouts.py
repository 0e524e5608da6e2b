"""From TRL's prompts to dialogues and back."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_agents.environments import make_env
from dialogue_agents.grpo.rollouts import batch_metrics, shuffle_rewards, task_seed
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.bridges.trl_rollout import to_trl
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import Trajectory

END = 99


def trajectory(
    mask: list[int], reward: float | None = 1.0, seed: int = 0, turns: int | None = None
) -> Trajectory:
    ids = list(range(10, 10 + len(mask)))
    index = [0 if m else -1 for m in mask]
    rewards = [0.0] * ((turns or 1) - 1) + [reward or 0.0]
    messages: Any = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    end = "user_stop" if reward is not None else "simulator_failure"
    record = DialogueRecord("e", "train", None, None, seed, 1, {}, {}, messages, [{}], end, reward, {})
    return Trajectory(ids, mask, [-0.5 * m for m in mask], index, rewards, reward, record)


def test_columns_are_split_at_the_first_sampled_token() -> None:
    columns = to_trl([trajectory([0, 0, 1, 1, 0, 1])], END)
    assert columns == {
        "prompt_ids": [[10, 11]],
        "completion_ids": [[12, 13, 14, 15]],
        "env_mask": [[1, 1, 0, 1]],
        "logprobs": [[-0.5, -0.5, 0.0, -0.5]],
        "turn_index": [[0, 0, -1, 0]],
        "turn_rewards": [[1.0]],
        "reward": [1.0],
    }


@pytest.mark.parametrize("mask", [[], [0, 0, 0]])
def test_an_empty_dialogue_becomes_one_masked_token(mask: list[int]) -> None:
    columns = to_trl([trajectory(mask, None)], END)
    assert columns["prompt_ids"] == [[10, 11, 12] if mask else [END]]
    assert (columns["completion_ids"], columns["env_mask"], columns["reward"]) == ([[END]], [[0]], [None])


def test_an_unscored_dialogue_is_masked_as_a_whole() -> None:
    columns = to_trl([trajectory([0, 1, 1], None)], END)
    assert (columns["env_mask"], columns["reward"]) == ([[0, 0]], [None])
    assert columns["completion_ids"] == [[11, 12]]


@given(
    st.lists(st.lists(st.none() | st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_shuffling_permutes_within_groups(groups: list[list[float | None]], seed: int) -> None:
    settings = GRPOSettings(group_size=3, groups=len(groups), seed=seed)
    trajectories = [trajectory([0, 1], r, 100 + g, 2) for g, group in enumerate(groups) for r in group]
    shuffle_rewards(trajectories, settings)
    for g, group in enumerate(groups):
        after = [t.reward for t in trajectories[3 * g : 3 * g + 3]]
        assert [r is None for r in after] == [r is None for r in group]
        assert sorted(r for r in after if r is not None) == sorted(r for r in group if r is not None)
    assert all(sum(t.rewards) == t.reward for t in trajectories if t.reward is not None)


def test_shuffling_does_shuffle() -> None:
    settings = GRPOSettings(group_size=8, groups=4)
    trajectories = [trajectory([0, 1], i / 32, 100 + i // 8) for i in range(32)]
    shuffle_rewards(trajectories, settings)
    assert sum(t.reward == i / 32 for i, t in enumerate(trajectories)) < 10


def test_group_members_share_the_opening_and_differ_in_replies(
    make_settings: Callable[..., GRPOSettings], train: Callable[..., Any]
) -> None:
    trajectories = train(make_settings(steps=2, fail=0.0, stop=0.0)).trajectories
    groups = [trajectories[i : i + 4] for i in range(0, 16, 4)]
    for group in groups:
        assert len({t.record.task_seed for t in group}) == 1
        assert len({t.record.reply_seed for t in group}) == 4
        assert len({str(t.record.persona) + t.record.messages[0]["content"] for t in group}) == 1
        assert len({t.record.messages[1]["content"] for t in group}) > 1
        assert len({t.record.messages[2]["content"] for t in group}) > 1
    assert len({group[0].record.task_seed for group in groups}) == 4


def test_training_tasks_differ_by_seed_and_index() -> None:
    seeds = {task_seed(GRPOSettings(seed=s), i) for s in range(3) for i in range(50)}
    assert len(seeds) == 150


def test_metrics_count_unscored_dialogues() -> None:
    metrics = batch_metrics([trajectory([0, 1], 1.0), trajectory([0, 1], None), trajectory([0, 1], 0.0)])
    assert metrics["dialogue/unscored"] == pytest.approx(1 / 3)
    assert metrics["dialogue/user_stop"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "MathChat-v9"}, "MathChat"),
        ({"env": "CartPole-v1"}, "CartPole-v1"),
        ({"simulator": "scriptd"}, "did you mean 'scripted'"),
        ({"env_kwargs": '{"tusks": 1}'}, "did you mean 'tasks'"),
    ],
)
def test_environments_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make_env(GRPOSettings(**changes), 2, "train")
    assert "\n" not in str(caught.value)


def test_an_environment_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="env 'CartPole-v1'"):
        make_env(GRPOSettings(env="CartPole-v1"), 2, "train")
