"""Simulators and scorers that fail: the dialogue ends, nothing else does."""

import json
import time

import pytest

from dialogue_gym.dialogue import EndReason
from dialogue_gym.envs.asking import Failure, ask
from dialogue_gym.scoring.base import Score
from dialogue_gym.simulators.base import UserReply
from tests.envs.conftest import CANARY, STUBS, StubTasks, StubUser, Wrapped


class Late(StubUser):
    """Sleeps whenever row 1 of 3 is in the call."""

    def reply(self, requests):
        self.calls.append(len(requests))
        if any("late" in r.conversation[-1]["content"] for r in requests if r.conversation):
            time.sleep(0.5)
        return [UserReply("ok") for _ in requests]


def test_a_missed_deadline_costs_only_its_row():
    env = STUBS[0].vector(3, simulator=Late(), deadline_s=0.1, autoreset_mode="Disabled")
    env.reset(seed=1)
    begin = time.monotonic()
    _, _, _, truncated, infos = env.step(["a", "late", "c"])
    assert time.monotonic() - begin < 0.45
    assert truncated.tolist() == [False, True, False]
    assert infos["end_reason"].tolist() == ["", "simulator_timeout", ""]
    assert env.simulator.calls == [3, 3, 1, 1, 1]


@pytest.mark.parametrize("first", ["hangs", "raises"])
def test_a_dead_user_costs_two_deadlines_however_many_rows(first):
    class Dead(Wrapped):
        def reply(self, requests):
            if len(requests) > 1 and first == "raises":
                raise OSError("down")
            time.sleep(2)

    begin = time.monotonic()
    outcomes = ask(Dead(StubUser()), [object()] * 8, 0.2)
    assert time.monotonic() - begin < 1
    missed = Failure(EndReason.SIMULATOR_TIMEOUT, "DeadlineMissedError: no reply within 0.2 s")
    assert outcomes == [missed] * 8


def test_an_interrupt_in_the_deadline_thread_is_raised_to_the_caller():
    class Interrupted(Wrapped):
        def reply(self, requests):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(Interrupted(StubUser()), [object()], 5)


def test_a_raise_in_the_deadline_thread_is_a_failure():
    class Down(StubUser):
        def reply(self, requests):
            raise OSError("down")

    env = STUBS[0].single(simulator=Down(), deadline_s=5)
    assert env.reset(seed=1)[1]["end_reason"] == "simulator_failure"


@pytest.mark.parametrize("junk", [None, [], [1], [UserReply(None)], [UserReply("x", metadata=None)], "r"])
def test_junk_counts_as_raising(junk):
    class Junk(Wrapped):
        def reply(self, requests):
            self.calls.append(len(requests))
            return junk

    user = Junk(StubUser())
    request = object()
    [outcome] = ask(user, [request], None)
    assert isinstance(outcome, Failure)
    assert outcome.reason is EndReason.SIMULATOR_FAILURE
    assert "\n" not in outcome.detail
    assert user.calls == [1, 1]


def test_a_call_that_fails_once_is_saved_by_the_retry():
    class Flaky(Wrapped):
        def reply(self, requests):
            self.calls.append(len(requests))
            if len(self.calls) == 1:
                raise RuntimeError("once")
            return self.inner.reply(requests)

    user = Flaky(StubUser())
    env = STUBS[0].vector(3, simulator=user)
    _, infos = env.reset(seed=1)
    assert infos["end_reason"].tolist() == ["", "", ""]
    assert user.calls == [3, 1, 1, 1]


def test_a_failed_opening_ends_at_the_next_step():
    class Mute(Wrapped):
        def reply(self, requests):
            return [UserReply("", error="out of order") for _ in requests]

    env = STUBS[0].single(simulator=Mute(StubUser()))
    obs, info = env.reset(seed=1)
    assert obs == ()
    assert obs in env.observation_space
    assert info == {"turns_left": 12, "end_reason": "simulator_failure", "scored": False}
    assert env.step("hello?") == ((), 0.0, False, True, info)
    assert env.record().extra == {"failure": "out of order"}
    assert env.record().messages == []


def test_a_user_that_stops_at_once_is_scored_at_the_next_step():
    class Hasty(Wrapped):
        def reply(self, requests):
            return [UserReply("bye", stop=True) for _ in requests]

    env = STUBS[0].vector(2, simulator=Hasty(StubUser()), autoreset_mode="Disabled")
    _, infos = env.reset(seed=1)
    assert infos["end_reason"].tolist() == ["user_stop"] * 2
    _, rewards, terminated, _, _ = env.step(["", ""])
    assert terminated.all()
    assert rewards.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("stop", ["no", None, [1, 0]])
def test_a_stop_that_is_no_bool_is_junk_of_one_dialogue(stop):
    class Odd(StubUser):
        def answer(self, request):
            said = request.conversation[-1]["content"] if request.conversation else ""
            return UserReply("ok", stop=stop if said == "odd" else False)

    env = STUBS[0].vector(2, simulator=Odd(), autoreset_mode="Disabled")
    env.reset(seed=1)
    _, _, _, truncated, infos = env.step(["odd", "fine"])
    assert truncated.tolist() == [True, False]
    assert infos["end_reason"].tolist() == ["simulator_failure", ""]


def test_a_fault_in_the_user_s_code_is_named_with_its_line(caplog):
    class Slip(StubUser):
        def answer(self, request):
            return UserReply(json.dumps(request.brief.txt))

    class Deep(StubUser):
        def answer(self, request):
            return UserReply(json.loads("no JSON"))

    for user, fault in ((Slip(), "'Brief' object has no attribute 'txt'"), (Deep(), "Expecting value")):
        line = type(user).answer.__code__.co_firstlineno + 1
        caplog.clear()
        env = STUBS[0].single(simulator=user)
        env.reset(seed=1)
        for shown in (env.record().extra["failure"], *caplog.messages):
            assert fault in shown
            assert f" (test_faults.py, line {line})" in shown
    env = STUBS[0].single(simulator=type("Junk", (StubUser,), {"answer": lambda self, request: 3})())
    env.reset(seed=1)
    assert env.record().extra["failure"] == "TypeError: expected a UserReply, got int"


def test_an_error_that_is_no_text_can_be_logged():
    class Odd(StubUser):
        def answer(self, request):
            return UserReply("", error=OSError("down"))

    env = STUBS[0].single(simulator=Odd())
    env.reset(seed=1)
    assert env.record().extra == {"failure": "down"}


def test_a_forget_that_raises_ends_nothing(caplog):
    class Hoarder(StubUser):
        def forget(self, dialogue_ids):
            raise OSError("down")

    env = STUBS[0].vector(2, simulator=Hoarder(stop=0.0), max_turns=1)
    env.reset(seed=1)
    _, _, terminated, _, _ = env.step(["a", "b"])
    assert terminated.all()
    assert "forget() raised OSError" in caplog.text


class Unlucky:
    """Parts whose ``draw`` and ``draw_persona`` fail for a third of the keys while ``failing``."""

    failing = False

    def check(self, key):
        if self.failing and key.child("luck").integer(0, 2) == 0:
            raise OSError(CANARY)


class UnluckyUser(StubUser, Unlucky):
    def draw_persona(self, kind, key):
        self.check(key)
        return super().draw_persona(kind, key)


class UnluckyTasks(StubTasks, Unlucky):
    def draw(self, split, key):
        self.check(key)
        return super().draw(split, key)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
@pytest.mark.parametrize(
    ("part", "reason"), [("simulator", "simulator_failure"), ("tasks", "aborted")], ids=["persona", "task"]
)
def test_what_cannot_be_drawn_when_rows_begin_anew_ends_its_row_only(mode, part, reason):
    parts = {"simulator": UnluckyUser(0.0), "tasks": UnluckyTasks("math")}
    sound = STUBS[0].vector(8, **parts, max_turns=1, autoreset_mode=mode)
    sound.reset(seed=1)
    twins = {"simulator": UnluckyUser(0.0), "tasks": UnluckyTasks("math")}
    env = STUBS[0].vector(8, **twins, max_turns=1, autoreset_mode=mode)
    env.reset(seed=1)
    twins[part].failing = True
    for _ in range(2 if mode == "NextStep" else 1):
        good, obs = sound.step(["hi"] * 8), env.step(["hi"] * 8)
    failed = [row for row in range(8) if obs[4]["end_reason"][row]]
    assert 0 < len(failed) < 8
    assert obs[1].tolist() == good[1].tolist()
    for row in range(8):
        if row not in failed:
            assert env.record(row) == sound.record(row)
            continue
        assert obs[0][row] == ()
        record = env.record(row)
        assert (record.end_reason, record.persona, record.reward) == (reason, None, None)
        assert "could be drawn: OSError" in record.extra["failure"]
        assert (record.task is None) == (part == "tasks")
    truncated = env.step(["hi"] * 8)[3]
    assert [row for row in range(8) if truncated[row]] == failed


def test_a_task_that_cannot_be_drawn_raises_in_reset_and_changes_no_row():
    tasks = UnluckyTasks("math")
    env = STUBS[0].vector(8, tasks=tasks, autoreset_mode="Disabled")
    env.reset(seed=1)
    before = [env.record(row) for row in range(8)]
    tasks.failing = True
    with pytest.raises(OSError, match=CANARY):
        env.reset()
    assert [env.record(row) for row in range(8)] == before


def test_a_dialogue_without_a_task_tells_nothing_and_cannot_be_scored(caplog):
    tasks = UnluckyTasks("math")
    env = STUBS[0].vector(8, tasks=tasks, max_turns=1)
    env.reset(seed=1)
    tasks.failing = True
    _, _, _, _, infos = env.step(["hi"] * 8)
    row = infos["end_reason"].tolist().index("aborted")
    assert CANARY not in caplog.text + str(env.record(row))
    with pytest.raises(RuntimeError, match=f"row {row} has no task to score: no task could be drawn"):
        env.score(row)


@pytest.mark.parametrize("persona", [None, {"trust": 0.5}, OSError("down")])
def test_a_persona_that_cannot_be_drawn_fails_like_an_opening(persona):
    class Nobody(StubUser):
        def draw_persona(self, kind, key):
            if isinstance(persona, Exception):
                raise persona
            return persona

    env = STUBS[0].single(simulator=Nobody())
    obs, info = env.reset(seed=1)
    assert (obs, info["end_reason"], env.simulator.calls) == ((), "simulator_failure", [])
    assert env.step("hello?") == ((), 0.0, False, True, info)


def test_abort_takes_the_name_of_a_reason():
    env = STUBS[0].single()
    env.reset(seed=1)
    env.abort("aborted")
    assert env.step("x")[4]["end_reason"] == "aborted"


class Careless:
    """Raises, or returns what no learner can use."""

    def __init__(self, result):
        self.result = result

    def score(self, task, conversation):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def identity(self):
        return {}


@pytest.mark.parametrize("result", [RuntimeError(CANARY), None, Score(float("nan")), Score(float("inf"))])
def test_a_scorer_that_fails_costs_the_score_and_tells_nothing(result, caplog):
    env = STUBS[0].single(scorer=Careless(result), max_turns=1)
    env.reset(seed=1)
    obs, reward, terminated, truncated, info = env.step("x")
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert (info["end_reason"], info["scored"]) == ("aborted", False)
    assert len(obs) == 2
    assert "ends unscored" in caplog.text
    assert CANARY not in caplog.text + str(env.record().extra) + str(info)


def test_the_user_is_not_called_after_the_last_turn():
    env = STUBS[0].single(simulator=StubUser(stop=0.0), max_turns=2)
    env.reset(seed=1)
    env.step("a")
    obs, reward, terminated, truncated, info = env.step("b")
    assert env.simulator.calls == [1, 1]
    assert (terminated, truncated, info["end_reason"]) == (True, False, "turn_limit")
    assert info["turns_left"] == 0
    assert reward > 0
    assert obs[-1] == {"role": "assistant", "content": "b"}
    assert info["metrics"] == {"said": 2.0}
