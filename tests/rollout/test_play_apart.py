import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import Sampling, load_language_model
from dialogue_gym.rollout import (
    LanguageModelPolicy,
    Policy,
    PolicyReply,
    PolicyRequest,
    RulePolicy,
    Trajectory,
    load_policy,
    make_vector_env,
    play,
    suited_concurrency,
)
from dialogue_gym.simulators import ScriptedUser, UserReply, UserRequest
from tests.fake_server import FakeServer

MakeEnv = Callable[..., DialogueVectorEnv]


class Engine:
    """A policy with tokens that takes its time; both follow from the key, and some dialogues fail."""

    def __init__(self, slowest_s: float = 0.0, fail: bool = False) -> None:
        self.slowest_s, self.fail = slowest_s, fail
        self.rules = RulePolicy("math", ask_rate=0.5)
        self.contexts: dict[Hashable, int] = {}
        self.running: set[Hashable] = set()
        self.at_once = 0

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        time.sleep(max(r.key.child("latency").uniform() for r in requests) * self.slowest_s)
        self.running.update(r.dialogue_id for r in requests)
        self.at_once = max(self.at_once, len(self.running))
        faults = [self._fault(request) for request in requests]
        if "broken" in faults:  # before any context moves on, since all are asked again alone
            raise RuntimeError("broken")
        return [
            PolicyReply("", error=fault, overflow=True) if fault else self._reply(request)
            for fault, request in zip(faults, requests, strict=True)
        ]

    def _fault(self, request: PolicyRequest) -> str:
        if self.fail and request.key.child("fail").uniform() < 0.1:
            return "full" if request.key.child("how").uniform() < 0.5 else "broken"
        return ""

    def _reply(self, request: PolicyRequest) -> PolicyReply:
        heard = len(request.conversation) - self.contexts.get(request.dialogue_id, 0)
        self.contexts[request.dialogue_id] = len(request.conversation)
        [spoken] = self.rules.act([request])
        ids = [request.key.child("id", i).integer(0, 99) for i in range(3)]
        return PolicyReply(spoken.text, [7] * heard, ids, [-0.5] * 3)

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        for dialogue_id in dialogue_ids:
            self.running.discard(dialogue_id)
            self.contexts.pop(dialogue_id, None)

    def identity(self) -> dict[str, Any]:
        return {"name": "engine"}


class SlowUser(ScriptedUser):
    """A scripted user who takes their time; some calls fail."""

    def __init__(self, slowest_s: float = 0.0, fail: bool = False) -> None:
        super().__init__()
        self.slowest_s, self.fail = slowest_s, fail
        self.known: set[Hashable] = set()

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        time.sleep(max(r.key.child("latency").uniform() for r in requests) * self.slowest_s)
        self.known.update(r.dialogue_id for r in requests)
        failed = [self.fail and r.key.child("fail").uniform() < 0.1 for r in requests]
        replies = super().reply(requests)
        return [UserReply("", error="gone") if f else r for f, r in zip(failed, replies, strict=True)]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        self.known.difference_update(dialogue_ids)


def vector(num_envs: int = 8, **keywords: Any) -> DialogueVectorEnv:
    return DialogueVectorEnv("math", num_envs, "Disabled", **keywords)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("rollout")]


@given(
    seeds=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=12),
    num_envs=st.integers(1, 5),
    concurrency=st.integers(1, 6),
    limits=st.lists(st.integers(1, 6), min_size=12, max_size=12),
    fail=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_dialogues_come_out_as_in_lockstep(
    seeds: list[tuple[int, int]], num_envs: int, concurrency: int, limits: list[int], fail: bool
) -> None:
    def run(concurrency: int | None, slowest_s: float) -> tuple[list[Trajectory], list[list[Trajectory]]]:
        groups: list[list[Trajectory]] = []
        engine, user = Engine(slowest_s, fail), SlowUser(slowest_s, fail)
        played = play(
            vector(num_envs, simulator=user),
            engine,
            [t for t, _ in seeds],
            [r for _, r in seeds],
            policy_seed=5,
            max_turns=limits[: len(seeds)],
            concurrency=concurrency,
            on_group=groups.append,
        )
        assert not engine.running
        assert not engine.contexts
        assert not user.known
        place = {id(trajectory): i for i, trajectory in enumerate(played)}
        return played, sorted(groups, key=lambda group: place[id(group[0])])

    assert run(concurrency, 0.004) == run(None, 0.0)


def test_starts_are_gone_on_from() -> None:
    whole = [t.record for t in play(vector(), RulePolicy("math", 0.5), range(12), range(12))]
    starts = [{"messages": r.messages[:1], "task": r.task, "persona": r.persona} for r in whole]
    starts[3] = None  # type: ignore[call-overload]
    keywords: dict[str, Any] = {"starts": starts, "policy_seed": 0}
    policy = RulePolicy("math", 0.5)
    again = play(vector(), policy, range(12), range(12), concurrency=5, **keywords)
    assert [t.record.messages for t in again] == [r.messages for r in whole]


@pytest.mark.parametrize("user", ["scripted", {"name": "prompted", "prompt": "compact"}])
def test_a_language_model_in_this_process_says_the_same(user: Any) -> None:
    tiny = load_language_model("tiny")
    if isinstance(user, dict):
        user = {**user, "language_model": tiny}
    runs = []
    for concurrency in (None, 6):
        policy = LanguageModelPolicy(tiny, Sampling(max_tokens=24))
        env = vector(6, simulator=user, max_turns=4, split="test")
        runs.append(play(env, policy, [3, 3, 3, 4, 4, 4, 5, 6], range(8), concurrency=concurrency))
        assert not policy._contexts
    for one, other in zip(*runs, strict=True):
        assert one.record == other.record
        assert (one.token_ids, one.loss_mask, one.turn_index) == (
            other.token_ids,
            other.loss_mask,
            other.turn_index,
        )
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)
    assert sum(sum(t.loss_mask) for t in runs[0]) > 100


def test_no_more_dialogues_run_than_may() -> None:
    engine = Engine(0.005)
    play(vector(simulator=SlowUser(0.003)), engine, range(30), range(30), concurrency=4)
    assert engine.at_once == 4


def test_dialogues_and_groups_are_told_as_they_end_in_the_callers_thread() -> None:
    """The first dialogue waits until another group is told of, so nobody waits for stragglers."""
    told: list[tuple[str, int]] = []
    going_on = threading.Event()

    class Waiting(Engine):
        def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
            if requests[0].key.path[1:3] == (1, 0):
                assert going_on.wait(10)
            return [PolicyReply("The answer is 5.") for _ in requests]

    def dialogue(t: Trajectory) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append(("dialogue", t.record.reply_seed))

    def group(members: list[Trajectory]) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append(("group", members[0].record.task_seed))
        assert len(members) == 2
        going_on.set()

    played = play(
        vector(), Waiting(), [1, 1, 2, 2], range(4), concurrency=2, on_dialogue=dialogue, on_group=group
    )
    assert told[-2:] == [("dialogue", 0), ("group", 1)]
    assert set(told) == {("group", 1), ("group", 2), *(("dialogue", i) for i in range(4))}
    assert [t.record.reply_seed for t in played] == [0, 1, 2, 3]


def test_openings_are_asked_for_before_a_dialogue_may_run() -> None:
    """One dialogue may run, and it waits until the user was asked for the next one's opening, and no more."""
    opened: list[UserRequest] = []
    second = threading.Event()

    class Opening(ScriptedUser):
        def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
            opened.extend(r for r in requests if not r.conversation)
            if len(opened) == 2:
                second.set()
            return super().reply(requests)

    class Waiting(Engine):
        said = 0

        def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
            assert second.wait(10)
            assert len(opened) <= self.said + 2
            self.said += 1
            return [PolicyReply("The answer is 5.") for _ in requests]

    policy = Waiting()
    play(vector(max_turns=1, simulator=Opening()), policy, range(5), range(5), concurrency=1)
    assert policy.said == len(opened) == 5


@pytest.mark.parametrize("where", ["policy", "start", "on_dialogue"])
def test_errors_that_are_no_dialogues_own_come_through_and_end_the_threads(where: str) -> None:
    def fail(_: Any) -> None:
        raise LookupError("the disk is full")

    class Interrupted(Engine):
        def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
            raise KeyboardInterrupt

    keywords: dict[str, Any] = {}
    error: type[BaseException] = LookupError
    if where == "policy":
        error = KeyboardInterrupt
    elif where == "start":
        keywords, error = {"starts": [None] * 19 + [{"messages": []}, {"junk": 1}]}, ValueError
    else:
        keywords = {"on_dialogue": fail}
    policy: Policy = Interrupted() if where == "policy" else Engine(0.002)
    with pytest.raises(error):
        play(vector(), policy, range(21), range(21), concurrency=4, **keywords)


@pytest.mark.parametrize("concurrency", [0, -1, True, 2.0])
def test_numbers_that_cannot_be(concurrency: Any) -> None:
    with pytest.raises(ValueError, match="concurrency must be an int of at least 1, or None"):
        play(vector(), Engine(), [1], [1], concurrency=concurrency)
    assert play(vector(), Engine(), [], [], concurrency=3) == []


class TestServers:
    def test_a_server_that_fails_one_call_in_five_loses_no_dialogue(self) -> None:
        runs = []
        for concurrency in (None, 16):
            with FakeServer(share=0.2, seed=1, slow_s=30) as fake:
                model = {"name": "http", "base_url": fake.base_url, "model": "m", "max_retries": 7}
                policy = load_policy({**model, "timeout_s": 0.3, "backoff_s": 0.02}, "math")
                env = make_vector_env("MathChat-v0", 16, max_turns=3)
                played = play(env, policy, range(48), range(48), concurrency=concurrency)
                runs.append([(t.record.messages, t.reward) for t in played])
        assert runs[0] == runs[1]
        assert all(reward is not None for _, reward in runs[0])

    def test_ctrl_c_cuts_calls_short_and_leaves_no_thread(self) -> None:
        """In a program of its own, where both servers hang: the agent's and the user's."""
        with FakeServer(latency_s=60) as server:
            program = f"""
                import threading, time
                from dialogue_gym.rollout import load_policy, make_vector_env, play
                model = {{"name": "http", "base_url": {server.base_url!r}, "model": "m"}}
                env = make_vector_env(
                    "MathChat-v0", 4, simulator={{"name": "prompted", "language_model": model}}
                )
                start = env.sibling(1)
                dialogue = {{"messages": [{{"role": "user", "content": "hi"}}], "task_seed": 1}}
                try:
                    play(env, load_policy(model, "math"), range(20), range(20), concurrency=8,
                         starts=[dialogue, None] * 10)
                except KeyboardInterrupt:
                    left = [t.name for t in threading.enumerate()]
                    print("interrupted", left, flush=True)
            """
            process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(program)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "OPENAI_API_KEY": "x"},
            )
            try:
                until = time.monotonic() + 60
                while server.at_once < 10 and time.monotonic() < until:
                    time.sleep(0.02)
                assert server.at_once == 10  # eight dialogues run, two have their openings fetched
                process.send_signal(signal.SIGINT)
                began = time.monotonic()
                out, err = process.communicate(timeout=30)
                took = time.monotonic() - began
            finally:
                process.kill()
        assert out.splitlines() == ["interrupted ['MainThread']"], err
        assert took < 5  # a second or so, and what the interpreter needs to end


class TestSuitedConcurrency:
    def test_servers_are_played_apart_and_models_of_this_process_in_lockstep(self) -> None:
        tiny, server = load_language_model("tiny"), load_language_model("http://localhost:1/v1#m")
        users: dict[str, Any] = {
            "scripted": "scripted",
            "tiny": {"name": "prompted", "language_model": tiny},
            "server": {"name": "prompted", "language_model": server},
        }
        rules, local, remote = (
            RulePolicy("math"),
            LanguageModelPolicy(tiny),  # type: ignore[arg-type]
            load_policy("http://localhost:1/v1#m", "math"),
        )
        suited = {
            (name, user): suited_concurrency(vector(8, simulator=users[user]), policy)
            for name, policy in (("rules", rules), ("tiny", local), ("server", remote))
            for user in users
        }
        apart = {pair for pair, found in suited.items() if found == 8}
        assert apart == {("rules", "server"), ("server", "scripted"), ("server", "server")}
        assert {found for pair, found in suited.items() if pair not in apart} == {None}
