"""The replay user: logged dialogues come back bit for bit, and what happens when the agent departs."""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dialogue_gym  # noqa: F401
from dialogue_gym.dialogue import EndReason
from dialogue_gym.logs import DialogueRecord, append
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import (
    LoggedTasks,
    Persona,
    ReplayUser,
    ScriptedUser,
    UserReply,
    UserRequest,
    replay_starts,
    simulators,
)
from dialogue_gym.simulators.user_turns import brief_of, kind_of
from dialogue_gym.tasks import Task, task_sources, task_to_dict
from dialogue_gym.testing import check_user_simulator

IDS = {"math": "MathChat-v0", "document": "DocEditChat-v0"}
SAYINGS = (
    "How many are there?", "Which numbers are missing?", "The answer is 12.", "When is it?", "ok", "",
    "Draft: Come on Friday. Is that right?", "so?", "caf\u00e9 \ud800",
)  # fmt: skip


def logged(
    kind: Any, script: Sequence[str], task_seed: int, reply_seed: int, **keywords: Any
) -> DialogueRecord:
    """The dialogue with an agent that says what stands in a script, over and over."""
    env = gym.make(IDS[kind], **{"max_turns": 5, **keywords}).unwrapped
    play(env, script, {"task_seed": task_seed, "reply_seed": reply_seed})
    return env.record()  # type: ignore[attr-defined, no-any-return]


def play(env: Any, script: Sequence[str], options: dict[str, Any]) -> None:
    env.reset(options=options)
    over, turn = bool(env.record().end_reason), 0
    while not over:
        _, _, terminated, truncated, _ = env.step(script[turn % len(script)])
        over, turn = terminated or truncated, turn + 1


def agents(record: DialogueRecord) -> list[str]:
    return [m["content"] for m in record.messages if m["role"] == "assistant"] or [""]


def without_user(record: DialogueRecord) -> DialogueRecord:
    return replace(record, simulator={})


@cache
def small_log(kind: Any = "math") -> tuple[DialogueRecord, ...]:
    """Two replies to each of six openings, by agents of two scripts."""
    return tuple(
        logged(kind, SAYINGS[r : r + 4], task_seed, 10 * task_seed + r)
        for task_seed in range(6)
        for r in (0, 2)
    )


# bit for bit ---------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32)
scripts = st.lists(st.sampled_from(SAYINGS) | st.text(max_size=10), min_size=1, max_size=5)
dialogues = st.lists(st.tuples(seeds, seeds, scripts), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", ["math", "document"])
@settings(max_examples=25, deadline=None)
@given(dialogues=dialogues, same_task=st.booleans(), departure=st.sampled_from(["stop", "nearest", "error"]))
def test_the_logged_agent_gets_the_logged_dialogue(
    kind: Any, dialogues: list[Any], same_task: bool, departure: Any
) -> None:
    seed = dialogues[0][0]
    log = [logged(kind, script, seed if same_task else t, r) for t, r, script in dialogues]
    env = gym.make(IDS[kind], simulator=ReplayUser(log, departure), max_turns=5).unwrapped
    for record, start in zip(log, replay_starts(log), strict=True):
        for options in (
            {"task_seed": record.task_seed, "reply_seed": record.reply_seed},
            {"dialogue": start},
        ):
            play(env, agents(record), options)
            assert without_user(env.record()) == without_user(record)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["math", "document"])
def test_batches_replay_from_a_file_with_its_own_tasks(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = [logged(kind, SAYINGS[i:], i, i + 1, tasks={"name": "procedural"}, split="test") for i in range(6)]
    append(path, log)
    parts = {name: {"name": name, "log": str(path)} for name in ("replay", "log")}
    env: Any = gym.make_vec(
        IDS[kind], num_envs=6, simulator=parts["replay"], tasks=parts["log"], split="test", max_turns=5,
        autoreset_mode="Disabled",
    )  # fmt: skip
    json.dumps(env.spec.kwargs)
    env.reset(options={"task_seed": np.arange(6), "reply_seed": np.arange(6) + 1})
    scripts = [agents(record) for record in log]
    for turn in range(5):
        env.step([script[min(turn, len(script) - 1)] for script in scripts])
    for row, record in enumerate(log):
        assert without_user(env.record(row)) == without_user(record)
    assert env.record(0).simulator["log"] == "log.jsonl"


def test_going_on_from_the_middle_replays_the_rest() -> None:
    for record in small_log():
        env = gym.make("MathChat-v0", simulator=ReplayUser(small_log(), "error"), max_turns=5).unwrapped
        half = len(record.messages) // 2
        start = replace(
            record, messages=record.messages[:half], turns_metadata=record.turns_metadata[: (half + 1) // 2]
        )
        env.reset(options={"dialogue": start})
        for text in agents(record)[half // 2 :]:
            env.step(text)
        assert env.record().messages == record.messages  # type: ignore[attr-defined]


def test_failures_and_silent_ends_are_replayed() -> None:
    class Failing(ScriptedUser):
        def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
            fails = [len(r.conversation) == 4 for r in requests]
            replies = super().reply(requests)
            return [
                UserReply("", error="no words left", timed_out=True) if f else r
                for f, r in zip(fails, replies, strict=True)
            ]

    record = logged("math", ["hm"], 1, 2, simulator=Failing())
    assert record.end_reason == EndReason.SIMULATOR_TIMEOUT
    env = gym.make("MathChat-v0", simulator=ReplayUser([record]), max_turns=5).unwrapped
    play(env, ["hm"], {"task_seed": 1, "reply_seed": 2})
    assert without_user(env.record()) == without_user(record)  # type: ignore[attr-defined]

    silent = replace(record, end_reason="user_stop", extra={})
    (reply,) = ReplayUser([silent]).reply([asked(silent, 4)])
    assert (reply.text, reply.stop, reply.error) == ("", True, None)


def test_group_members_with_other_openings_start_from_them() -> None:
    first, second = small_log()[:2]
    other = [{"role": "user", "content": "hello?"}, *second.messages[1:]]
    starts = replay_starts([first, replace(second, messages=other)])
    assert [s["messages"] for s in starts] == [first.messages[:1], other[:1]]
    assert [s["messages"] for s in replay_starts([first, second])] == [[], []]


# departures ----------------------------------------------------------------------------------------


def asked(record: DialogueRecord, count: int, last: str | None = None, seed: int = 99) -> UserRequest:
    """A request after ``count`` logged messages, the last of them replaced."""
    messages = record.messages[:count]
    if last is not None:
        messages = [*messages[:-1], {"role": "assistant", "content": last}]
    return UserRequest("d", kind_of(record), brief_of(record), Persona(), messages, NoiseKey((seed, "reply")))


def chat(*contents: str, end: str | None = "user_stop", seed: int = 0) -> DialogueRecord:
    task: Task = task_sources["math"].build("procedural").draw("train", NoiseKey((7,)))
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    return DialogueRecord(
        "MathChat-v0", "train", task_to_dict(task), None, seed, seed, {}, {}, messages,  # type: ignore[arg-type]
        [{"n": i} for i in range((len(messages) + 1) // 2)], end, None, {},
    )  # fmt: skip


LOG = (
    chat("hi", "How many boxes?", "6", "How many eggs in each?", "4", "The answer is 24.", "thanks"),
    chat("hey", "What colour are the eggs?", "brown", "The answer is 24 eggs in all.", "ok bye", seed=1),
)


def test_stopping_is_leaving_without_a_word() -> None:
    (reply,) = ReplayUser(LOG).reply([asked(LOG[0], 2, "Tell me a joke")])
    assert (reply.text, reply.stop, reply.error, reply.metadata) == ("", True, None, {"replayed": None})


def test_an_error_says_where() -> None:
    (reply,) = ReplayUser(LOG, "error").reply([asked(LOG[0], 4, "Tell me a joke")])
    assert reply.error == "records: message 3 departs from dialogue 0 of the log (which has 7 messages)"


@pytest.mark.parametrize(
    ("last", "text", "stop", "place"),
    [
        ("how many eggs are in each of them?", "4", False, [0, 4]),
        ("Which colour do the eggs have?", "brown", False, [1, 2]),
        ("So the answer is 24", "thanks", True, [0, 6]),
        ("the answer is 24 eggs in total", "ok bye", True, [1, 4]),
    ],
)
def test_the_nearest_turn_of_the_task_is_said(last: str, text: str, stop: bool, place: list[int]) -> None:
    (reply,) = ReplayUser(LOG, "nearest").reply([asked(LOG[0], 4, last)])
    assert (reply.text, reply.stop) == (text, stop)
    assert reply.metadata["replayed"] == place
    assert 0 < reply.metadata["similarity"] <= 1


def test_nothing_is_said_twice_and_then_the_user_leaves() -> None:
    user, talk, said = ReplayUser(LOG[:1], "nearest"), list(LOG[0].messages[:1]), []
    while True:
        talk.append({"role": "assistant", "content": "what do you say?"})
        request = replace(asked(LOG[0], 0), conversation=talk)
        (reply,) = user.reply([request])
        said.append(reply.text)
        talk.append({"role": "user", "content": reply.text})
        if len(said) == 4:
            break
    assert sorted(said) == ["", "4", "6", "thanks"]
    assert reply.stop


def test_after_the_logs_end_the_agent_has_departed() -> None:
    cut = chat("hi", "How many?", "6", "What else?", end="turn_limit")
    (reply,) = ReplayUser([cut], "error").reply([asked(cut, 4)])
    assert reply.error is not None
    assert ReplayUser([cut]).reply([asked(cut, 4)])[0].stop


def test_long_messages_are_compared_in_time() -> None:
    user = ReplayUser(LOG, "nearest")
    (reply,) = user.reply([asked(LOG[0], 2, "How many " * 100_000 + " boxes?")])
    assert reply.text == "6"


def test_another_task_is_an_error() -> None:
    request = replace(asked(LOG[0], 0), brief=brief_of(small_log()[0]))
    (reply,) = ReplayUser(LOG, "nearest").reply([request])
    assert reply.error == "records: has no dialogue about this task to replay"


def test_a_key_of_no_dialogue_opens_any_and_goes_on_with_it() -> None:
    user = ReplayUser(LOG, "error")
    openings = {user.reply([asked(LOG[0], 0, seed=s)])[0].text for s in range(50, 70)}
    assert openings == {"hi", "hey"}
    (reply,) = user.reply([asked(LOG[1], 2)])
    assert reply.text == "brown"


# the rest ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["math", "document"])
@pytest.mark.parametrize("departure", ["stop", "nearest"])
def test_it_conforms(kind: Any, departure: Any) -> None:
    source = task_sources[kind].build("procedural")
    tasks = [source.draw("train", NoiseKey(("check", i, "task"))) for i in range(8)]
    log = [
        replace(record, task=task_to_dict(task)) for record, task in zip(small_log(kind), tasks, strict=False)
    ]
    check_user_simulator(ReplayUser(log, departure), kind)


def test_tasks_of_a_log() -> None:
    tasks = LoggedTasks(small_log(), "math")
    assert task_to_dict(tasks.draw("train", NoiseKey((3, "task")))) == small_log()[6].task
    drawn = {tasks.draw("train", NoiseKey((seed, "task"))).id for seed in range(100, 200)}
    assert len(drawn) == 6
    with pytest.raises(ValueError, match=r"has no task of split 'test', only of \['train'\]"):
        tasks.draw("test", NoiseKey((1,)))
    with pytest.raises(ValueError, match="has no dialogue with a document task"):
        LoggedTasks(small_log(), "document")
    json.dumps(tasks.identity())


def test_any_seed_plays_a_dialogue_on_a_task_of_the_log() -> None:
    env = gym.make(
        "MathChat-v0", simulator=ReplayUser(small_log(), "nearest"), tasks=LoggedTasks(small_log(), "math")
    )
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        assert observation[0]["content"] in {r.messages[0]["content"] for r in small_log()}
        assert info["end_reason"] == ""
        env.step("How many are there?")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "user simulator 'replay': missing a required argument: 'log'"),
        ({"log": LOG, "on_departure": "neerest"}, "unknown on_departure 'neerest': did you mean 'nearest'"),
        ({"log": []}, "records: has no dialogue with a task and a beginning; nothing to replay"),
        ({"log": [replace(LOG[0], task=None)]}, "nothing to replay"),
        ({"log": [replace(LOG[0], extra={"censored": ["beginning"]})]}, "nothing to replay"),
        ({"log": [3]}, "log must be a file or DialogueRecords, got int"),
        ({"log": 3}, "log must be a file or DialogueRecords, got int"),
        ({"log": [replace(LOG[0], persona={"trst": 1})]}, "dialogue 0: its persona has no option 'trst'"),
    ],
)
def test_bad_settings_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulators.build({"name": "replay", **options})


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl: no such log"):
        gym.make("MathChat-v0", simulator={"name": "replay", "log": str(tmp_path / "none.jsonl")})


def test_identity_tells_logs_apart_and_copies_share_them() -> None:
    user = ReplayUser(LOG)
    assert user.identity() == ReplayUser(LOG).identity()
    assert user.identity() != ReplayUser(LOG[:1]).identity()
    assert copy.deepcopy(user) is user
    user.forget(["d"])
