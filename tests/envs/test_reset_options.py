"""Seeds, and dialogues that start from a given history."""

import json
from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.envs.starts import EpisodeSeeds
from dialogue_gym.logs import append, read_log
from dialogue_gym.seeding import NoiseKey
from tests.envs.conftest import CANARY, STUBS

TASK = {
    "id": "x",
    "kind": "math",
    "brief": {"goal": "g", "facts": [], "text": "t"},
    "reference": {},
    "split": "train",
}


def env(**keywords):
    return STUBS[0].single(**keywords)


def vector(num_envs=3, **keywords):
    return STUBS[0].vector(num_envs, autoreset_mode="Disabled", **keywords)


@given(st.integers(0, 2**60), st.integers(0, 5))
def test_seeds_count_resets_since_the_last_seed(base, resets):
    seeds = EpisodeSeeds()
    seeds.advance(base, default=99)
    for _ in range(resets):
        seeds.advance(None, default=99)
    assert seeds.task_seed == NoiseKey((base, resets, "task")).seed()
    assert seeds.reply_seed == NoiseKey((base, resets, "reply")).seed()


def test_without_a_seed_the_random_one_replays():
    first = env()
    obs, _ = first.reset()
    assert env().reset(seed=first.np_random_seed)[0] == obs
    assert env().reset()[0] != obs


def test_a_group_shares_the_task_and_differs_in_replies():
    group = vector(3)
    group.reset(options={"task_seed": 5, "reply_seed": np.array([1, 2, 3])})
    group.step(["x"] * 3)
    records = [group.record(row) for row in range(3)]
    assert len({str(r.task) + str(r.persona) + r.messages[0]["content"] for r in records}) == 1
    assert len({r.messages[2]["content"] for r in records}) == 3
    assert [r.reply_seed for r in records] == [1, 2, 3]


def test_pinned_seeds_hold_for_one_reset():
    one = env()
    one.reset(seed=3, options={"task_seed": 5})
    one.reset()
    other = env()
    other.reset(seed=3)
    other.reset()
    assert one.record() == other.record()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task_sed": 1}, "reset has no option 'task_sed': did you mean 'task_seed'"),
        ({"task_seed": -1}, "task_seed must be a non-negative int, got -1"),
        ({"reply_seed": 1.5}, "reply_seed must be a non-negative int"),
        ({"reset_mask": np.array([True])}, "no option 'reset_mask'"),
        ({"max_turns": 0}, "max_turns must be at least 1, got 0"),
        ({"max_turns": True}, "max_turns must be a non-negative int, got True"),
        ({"dialogue": 3}, "DialogueRecord or a dict, got int"),
        ({"dialogue": {"message": []}}, "no field 'message': did you mean 'messages'"),
        ({"dialogue": {"messages": []}}, "needs its 'task'"),
        ({"dialogue": {"task_seed": 1, "messages": "hi"}}, "messages are a list, got str"),
        ({"dialogue": {"task_seed": 1, "messages": ["hi"]}}, "message 0 of the dialogue is not a dict"),
        (
            {"dialogue": {"task_seed": 1, "messages": [{"role": "assistant", "content": "hi"}]}},
            "message 0 has role 'assistant'",
        ),
        ({"dialogue": {"task_seed": 1, "persona": {"mood": 1}}}, "a persona has no option 'mood'"),
        ({"dialogue": {"task_seed": 1, "persona": {"trust": "a"}}}, "persona's trust must be a number"),
        ({"dialogue": {"task_seed": 1, "turns_metadata": 3}}, "turns_metadata is a list of dicts"),
        ({"dialogue": {"task_seed": 1, "turns_metadata": [3]}}, "turns_metadata is a list of dicts"),
        ({"dialogue": {"task": TASK | {"split": 3}}}, "field 'split' of Task must be a text"),
        ({"dialogue": {"task": TASK | {"reference": {"answer": 3}}}}, "field 'answer' of Reference must be"),
        ({"dialogue": {"task_seed": 1, "turns_metadata": [{}]}}, "1 entries for 0 user messages"),
        ({"dialogue": {"task": {"id": "x"}}}, "a task needs the field"),
    ],
)
def test_bad_options_are_one_clear_line(options, message):
    single = env()
    single.reset(seed=1)
    before = single.record()
    with pytest.raises(ValueError, match=message) as error:
        single.reset(options=options)
    assert "\n" not in str(error.value)
    assert single.record() == before


@pytest.mark.parametrize(
    ("seed", "options", "message"),
    [
        (None, {"reset_mask": [True, False, False]}, "boolean array of shape"),
        (None, {"reset_mask": np.array([1, 0, 0])}, "boolean array of shape"),
        (None, {"reset_mask": np.array([True])}, "boolean array of shape"),
        (None, {"reset_mask": np.zeros(3, bool)}, "selects no row"),
        (None, {"task_seed": [1, 2]}, "an int or 3 of them, got list of 2"),
        (None, {"max_turns": [1, 2, 0]}, r"max_turns\[2\] must be at least 1"),
        (None, {"reply_seed": [1, 2, -3]}, r"reply_seed\[2\] must be a non-negative int"),
        (None, {"dialogue": {"messages": []}}, "list of 3"),
        (None, {"reset_masks": 1}, "did you mean 'reset_mask'"),
        ([1, 2], None, "an int or a list of 3"),
        (-1, None, "non-negative"),
    ],
)
def test_bad_vector_options_are_one_clear_line(seed, options, message):
    rows = vector()
    rows.reset(seed=1)
    before = [rows.record(i) for i in range(3)]
    with pytest.raises(ValueError, match=message):
        rows.reset(seed=seed, options=options)
    assert [rows.record(i) for i in range(3)] == before


def test_a_mask_cannot_leave_out_rows_that_never_began():
    with pytest.raises(RuntimeError, match="row 1 has no dialogue yet"):
        vector().reset(options={"reset_mask": np.array([True, False, False])})


def test_stepping_before_reset():
    with pytest.raises(RuntimeError, match="call reset first"):
        env().step("x")


def test_a_list_of_seeds_with_gaps():
    rows = vector()
    rows.reset(seed=[4, 4, 9])
    assert rows.record(0) == rows.record(1)
    rows.reset(seed=[4, None, 9])
    single = env()
    single.reset(seed=4)
    assert rows.record(0) == single.record()
    single.reset()
    assert rows.record(1) == single.record()


def test_rows_start_anywhere_or_afresh():
    source = env(simulator={"name": "scripted"})
    source.reset(seed=8)
    record = source.record()
    rows = vector()
    observations, _ = rows.reset(seed=1, options={"dialogue": [None, record, asdict(record)]})
    assert list(observations[1]) == list(observations[2]) == record.messages
    assert rows.record(1).task == record.task
    assert rows.record(0).task != record.task


def test_other_replies_from_the_same_history():
    source = env()
    source.reset(seed=8)
    source.step("x")
    one, other = env(), env()
    one.reset(options={"dialogue": source.record(), "reply_seed": 1})
    other.reset(options={"dialogue": source.record(), "reply_seed": 2})
    assert one.step("y")[0][:4] == other.step("y")[0][:4]
    assert one.record().messages[4] != other.record().messages[4]


def test_an_empty_history_opens_the_given_task():
    source = env()
    source.reset(seed=8)
    record = source.record()
    fresh = env()
    obs, _ = fresh.reset(options={"dialogue": {**asdict(record), "messages": [], "turns_metadata": []}})
    assert list(obs) == record.messages


def test_a_history_that_used_all_turns():
    source = env(max_turns=5)
    source.simulator.stop = 0.0
    source.reset(seed=8)
    source.step("x")
    source.step("x")
    with pytest.raises(ValueError, match="used 2 turns of max_turns=2"):
        env(max_turns=2).reset(options={"dialogue": source.record()})


def test_a_dialogue_may_have_a_turn_limit_of_its_own():
    source = env(max_turns=5)
    source.simulator.stop = 0.0
    source.reset(seed=8)
    source.step("x")
    rows = vector(max_turns=2)
    rows.simulator.stop = 0.0
    dialogues = [source.record(), source.record(), None]
    _, infos = rows.reset(seed=1, options={"dialogue": dialogues, "max_turns": [2, 4, 1]})
    assert infos["turns_left"].tolist() == [1, 3, 1]
    _, rewards, terminated, truncated, infos = rows.step(["y"] * 3)
    assert terminated.tolist() == [True, False, True]
    assert not truncated.any()
    ended = rows.record(0)
    assert ended.messages == [*source.record().messages, {"role": "assistant", "content": "y"}]
    assert (ended.end_reason, ended.reward) == ("turn_limit", rewards[0])
    rows.reset()
    assert rows.step(["y"] * 3)[4]["turns_left"].tolist() == [1] * 3  # the environment's own again


def test_the_task_must_be_of_the_right_kind():
    source = env()
    source.reset(seed=8)
    with pytest.raises(ValueError, match="of kind 'math'") as error:
        STUBS[1].single().reset(options={"dialogue": source.record()})
    assert CANARY not in str(error.value)


def test_a_line_of_a_log_parsed_by_hand_is_a_start(tmp_path):
    first, second = env(max_turns=4), env(max_turns=4)
    first.reset(seed=1)
    first.step("hello")
    append(tmp_path / "log.jsonl", [first.record()])
    line = json.loads((tmp_path / "log.jsonl").read_text())
    second.reset(options={"dialogue": line})
    assert second.step("go on") == first.step("go on")


def test_a_record_is_the_same_after_a_log(tmp_path):
    chat = gym.make("dialogue_gym:DocEditChat-v0").unwrapped
    chat.reset(seed=1)
    append(tmp_path / "log.jsonl", [chat.record()])
    assert [*read_log(tmp_path / "log.jsonl")] == [chat.record()]


@pytest.mark.parametrize("seed", [1.5, "ab", [1], np.array(3)])
def test_seeds_of_the_wrong_shape_are_one_clear_line(seed):
    with pytest.raises(ValueError, match="seed must be an int or a list of 2"):
        vector(2).reset(seed=seed)
    if isinstance(seed, np.ndarray):
        with pytest.raises(ValueError, match="option 'task_seed' must be an int or 2 of them"):
            vector(2).reset(options={"task_seed": seed})
