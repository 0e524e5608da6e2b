"""Autoreset modes, partial resets, statistics and aborts of the vector environment."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from dialogue_gym.dialogue import EndReason
from dialogue_gym.scoring.base import Score
from dialogue_gym.simulators.base import UserReply
from tests.envs.conftest import SIMULATORS, STUBS, StubUser


class ScriptedStops(StubUser):
    """Row r stops after `turns[number of the dialogue]` turns; told apart by the order of openings."""

    def __init__(self, lengths):
        super().__init__()
        self.lengths, self.opened, self.lives = lengths, 0, {}

    def answer(self, request):
        if not request.conversation:
            self.lives[request.dialogue_id] = self.lengths[self.opened % len(self.lengths)]
            self.opened += 1
            return UserReply("hi")
        self.lives[request.dialogue_id] -= 1
        return UserReply("more", stop=self.lives[request.dialogue_id] == 0)


class OnePerTurn:
    """Pays the number of turns, so that a return tells which dialogue it came from."""

    def score(self, task, conversation):
        return Score(float(sum(m["role"] == "assistant" for m in conversation)))

    def identity(self):
        return {"name": "turns"}


def vector(num_envs, lengths, mode="SameStep", **keywords):
    return STUBS[0].vector(
        num_envs,
        simulator=ScriptedStops(lengths),
        scorer=OnePerTurn(),
        autoreset_mode=mode,
        max_turns=20,
        **keywords,
    )


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_mode_is_in_the_metadata_as_the_enum(mode):
    assert vector(1, [1], mode).metadata["autoreset_mode"] is mode
    assert vector(1, [1], mode.value).metadata["autoreset_mode"] is mode


def test_unknown_mode_offers_the_names():
    with pytest.raises(ValueError, match="did you mean 'SameStep'"):
        vector(1, [1], "SameSte")


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
def test_statistics_are_those_of_the_records(mode):
    env = RecordEpisodeStatistics(vector(3, [2, 3, 5, 1, 4, 1, 2, 6], mode))
    env.reset(seed=1)
    turns, rewards = [], []
    for _ in range(20):
        *_, terminated, truncated, infos = env.step(["x"] * 3)
        over = terminated | truncated
        for row in np.flatnonzero(over):
            record = env.unwrapped.record(int(row), finished=True)
            turns.append(sum(m["role"] == "assistant" for m in record.messages))
            rewards.append(record.reward)
            assert infos["episode"]["r"][row] == record.reward
        if mode == "Disabled" and over.any():
            env.reset(options={"reset_mask": over})
    assert len(turns) > 10
    assert list(env.length_queue) == turns
    assert list(env.return_queue) == rewards


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@pytest.mark.parametrize("parts", SIMULATORS[2:], ids=lambda parts: parts.name)
def test_statistics_with_the_scripted_user(parts, mode):
    env = RecordEpisodeStatistics(parts.vector(4, autoreset_mode=mode, max_turns=4))
    env.reset(seed=1)
    lines = ["The answer is 12.", "How many are there?", "Draft: closed on Monday"]
    turns, rewards = [], []
    for step in range(16):
        actions = [lines[(row + step) % 3] for row in range(4)]
        *_, terminated, truncated, _ = env.step(actions)
        over = terminated | truncated
        for row in np.flatnonzero(over):
            record = env.unwrapped.record(int(row), finished=True)
            turns.append(sum(m["role"] == "assistant" for m in record.messages))
            rewards.append(record.reward)
        if mode == "Disabled" and over.any():
            env.reset(options={"reset_mask": over})
    assert len(turns) > 8
    assert list(env.length_queue) == turns
    assert list(env.return_queue) == pytest.approx(rewards)


def test_statistics_with_partial_resets():
    env = RecordEpisodeStatistics(vector(3, [1, 3, 2, 2, 1, 1, 1], "Disabled"))
    env.reset(seed=1)
    for _ in range(3):
        *_, terminated, truncated, _ = env.step(["x"] * 3)
        over = terminated | truncated
        if over.any():
            env.reset(options={"reset_mask": over})
    # rows 0 and 2 begin again while row 1 plays on; its three turns must not be forgotten
    assert list(env.length_queue) == [1, 2, 2, 3, 1]
    assert list(env.return_queue) == [1.0, 2.0, 2.0, 3.0, 1.0]


def test_statistics_of_a_group_rollout_count_each_dialogue_once():
    env = RecordEpisodeStatistics(vector(3, [1, 3, 2], "Disabled"))
    env.reset(seed=1)
    over = np.zeros(3, dtype=bool)
    while not over.all():
        *_, terminated, truncated, _ = env.step(["x"] * 3)
        over |= terminated | truncated
    assert list(env.length_queue) == [1, 2, 3]
    assert list(env.return_queue) == [1.0, 2.0, 3.0]


def test_statistics_with_full_resets_and_no_autoreset():
    env = RecordEpisodeStatistics(vector(2, [2], "Disabled"))
    for _ in range(3):
        env.reset(seed=1)
        for _ in range(2):
            env.step(["x"] * 2)
    assert list(env.length_queue) == [2] * 6
    assert list(env.return_queue) == [2.0] * 6


def test_same_step_keeps_the_last_observation_and_the_finished_record():
    env = vector(2, [1, 2, 9, 9])
    env.reset(seed=1)
    with pytest.raises(RuntimeError, match="no dialogue has ended in row 0"):
        env.record(0, finished=True)
    observations, rewards, terminated, _, infos = env.step(["bye", "go on"])
    assert terminated.tolist() == [True, False]
    assert rewards.tolist() == [1.0, 0.0]
    assert [m["content"] for m in infos["final_obs"][0]] == ["hi", "bye", "more"]
    assert infos["final_info"]["end_reason"][0] == "user_stop"
    assert infos["_final_info"].tolist() == infos["_final_obs"].tolist() == [True, False]
    assert [m["content"] for m in observations[0]] == ["hi"]
    assert env.record(0, finished=True).end_reason == "user_stop"
    assert env.record(0).end_reason is None


def test_next_step_ignores_the_action_that_resets():
    env = vector(1, [1, 5], "NextStep")
    env.reset(seed=1)
    env.step(["bye"])
    observations, rewards, terminated, truncated, _ = env.step(["ignored"])
    assert [m["content"] for m in observations[0]] == ["hi"]
    assert not rewards.any()
    assert not (terminated | truncated).any()


def test_rows_that_are_over_stay_over_when_stepped():
    env = vector(2, [1, 5], "Disabled")
    env.reset(seed=1)
    last, rewards, *_ = env.step(["bye", "x"])
    assert rewards.tolist() == [1.0, 0.0]
    again, rewards, terminated, truncated, infos = env.step([None, "y"])
    assert rewards.tolist() == [0.0, 0.0]
    assert not (terminated | truncated).any()  # the end was reported in the step before
    assert again[0] == last[0]
    assert infos["end_reason"].tolist() == ["user_stop", ""]


def test_masked_reset_touches_only_masked_rows_in_one_call():
    env = vector(3, [9], "Disabled")
    env.reset(seed=1)
    env.step(["a", "b", "c"])
    before = [env.record(row) for row in range(3)]
    env.simulator.calls.clear()
    mask = np.array([False, True, False])
    options = {"reset_mask": mask}
    observations, infos = env.reset(seed=50, options=options)
    assert options["reset_mask"] is mask
    assert env.simulator.calls == [1]
    assert infos["_turns_left"].tolist() == mask.tolist()
    assert [env.record(0), env.record(2)] == [before[0], before[2]]
    assert [len(obs) for obs in observations] == [3, 1, 3]
    single = STUBS[0].single(simulator=ScriptedStops([9]))
    single.reset(seed=51)
    assert env.record(1).task == single.record().task


def test_ended_and_restarted_dialogues_are_forgotten():
    env = vector(2, [1, 5, 5])
    env.reset(seed=1)
    user = env.simulator
    env.step(["x", "x"])
    assert len(user.alive) == 2  # the one that ended is gone, its successor is there
    env.reset()
    assert len(user.alive) == 2
    env.close()
    assert not user.alive


def test_abort_ends_rows_unscored_at_the_next_step():
    env = vector(3, [9], "Disabled")
    env.reset(seed=1)
    env.abort([0, 2], EndReason.CONTEXT_OVERFLOW, "full")
    _, rewards, terminated, truncated, infos = env.step(["a", "b", "c"])
    assert truncated.tolist() == [True, False, True]
    assert not terminated.any()
    assert not rewards.any()
    assert infos["scored"].tolist() == [False] * 3
    record = env.record(2)
    assert (record.end_reason, record.reward, record.extra) == ("context_overflow", None, {"failure": "full"})
    assert len(record.messages) == 1
    with pytest.raises(ValueError, match="scored end"):
        env.abort([1], EndReason.USER_STOP)


@pytest.mark.parametrize("actions", ["ab", ["a"], ["a", "b", "c"]])
def test_one_text_for_each_row(actions):
    env = vector(2, [9])
    env.reset(seed=1)
    with pytest.raises(ValueError, match="sequence of 2 texts"):
        env.step(actions)


def test_an_action_that_is_no_text_changes_nothing():
    env = vector(2, [9])
    env.reset(seed=1)
    before = env.record(0)
    with pytest.raises(TypeError, match="action of row 1 must be a str, got int"):
        env.step(["fine", 3])
    assert env.record(0) == before


def test_infos_are_what_gymnasium_would_build_of_single_infos():
    env = vector(2, [1, 3], "Disabled")
    env.reset(seed=1)
    *_, infos = env.step(["x", "x"])
    expected = {}
    for row in range(2):
        expected = env._add_info(expected, env._driver.info(row), row)
    assert infos.keys() == expected.keys()
    for key in ("turns_left", "end_reason", "scored", "_scored", "_end_reason", "_turns_left", "_metrics"):
        assert infos[key].dtype == expected[key].dtype
        assert infos[key].tolist() == expected[key].tolist()


def test_rendering():
    env = vector(2, [9], render_mode="ansi")
    env.reset(seed=1)
    assert env.render() == ("user: hi", "user: hi")


def test_rows_without_a_seed_differ():
    env = STUBS[0].vector(3)
    observations, _ = env.reset()
    assert len({obs[0]["content"] for obs in observations}) == 3
    again = STUBS[0].vector(3)
    assert again.reset(seed=env.np_random_seed)[0] == observations


def test_siblings_share_their_parts_and_no_dialogue():
    env = vector(3, [9])
    observations, _ = env.reset(seed=1)
    other = env.sibling(2)
    assert other.num_envs == len(other.reset(seed=7)[0]) == 2
    other.step(["yes"] * 2)
    assert env._observations() == observations
    assert (other.simulator, other.spec, other.kind) == (env.simulator, env.spec, env.kind)
    env.simulator = StubUser()
    assert other.simulator is env.simulator
