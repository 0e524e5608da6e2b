"""Whole dialogues whose user, or agent, sits behind a server that fails one call in five."""

import json
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec

from dialogue_gym.rollout import Trajectory, load_policy, make_vector_env, play
from dialogue_gym.simulators.prompted import STOP_MARK
from tests.fake_server import TRANSIENT, FakeServer

WORDS = "well so look then right maybe sure fine okay please".split()
CANARY = "sk-canary-7f3a9b2c"


@pytest.fixture(autouse=True)
def _a_key_that_no_one_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def user_says(body: dict[str, Any]) -> str:
    """Something new each time, from the request alone; some users stop."""
    spoken, seed = len(body["messages"]), body["seed"]
    said = f"{WORDS[seed % 10]} {WORDS[seed // 10 % 10]}, here is message {spoken} from me, number {seed}"
    return f"{said} {STOP_MARK}" if seed % 5 == 0 and spoken > 2 else said


def dialogues(count: int, max_turns: int = 2, **server: Any) -> list[Trajectory]:
    with FakeServer(user_says, **server) as fake:
        model = {"base_url": fake.base_url, "model": "m", "concurrency": 64, "max_retries": 7}
        env = make_vector_env(
            "MathChat-v0",
            count,
            max_turns=max_turns,
            simulator="prompted",
            language_model={"name": "http", **model, "timeout_s": 1.0, "backoff_s": 0.02},
        )
        return play(env, load_policy("rule", "math"), range(count), range(count))


def test_one_call_in_five_fails_and_no_dialogue_is_lost() -> None:
    calm, troubled = dialogues(200), dialogues(200, share=0.2, seed=1, slow_s=30)
    assert [t.reward is not None for t in troubled] == [True] * 200
    assert [t.record.messages for t in troubled] == [t.record.messages for t in calm]


def test_faults_that_stay_end_their_dialogue_with_a_reason_and_no_other() -> None:
    calm = dialogues(60)
    troubled = dialogues(60, share=0.2, seed=2, slow_s=30, faults=(*TRANSIENT, "401", "404"))
    lost = [t.record for t in troubled if t.reward is None]
    assert 0 < len(lost) < 20
    assert {record.end_reason for record in lost} == {"simulator_failure"}
    assert all(record.extra["failure"].startswith("'m' at http://127") for record in lost)
    assert {record.extra["failure"].split("HTTP ")[1][:3] for record in lost} == {"401", "404"}
    for before, after in zip(calm, troubled, strict=True):
        assert after.reward is None or after.record.messages == before.record.messages
    assert "canary" not in repr(troubled)


def test_a_single_environment_by_name() -> None:
    with FakeServer(user_says) as server:
        env = gym.make("MathChat-v0", simulator="prompted", language_model=server.spec)
        assert env.spec is not None
        copy = gym.make(EnvSpec.from_json(env.spec.to_json()))
        openings = [e.reset(seed=3)[0][0]["content"] for e in (env, copy)]
        assert openings[0] == openings[1]
        assert "here is message 2 from me" in openings[0]
        conversation, *_ = env.step("How many?")
        assert "here is message 4 from me" in conversation[2]["content"]
        assert json.dumps(env.unwrapped.simulator.identity()).count(server.base_url) == 1


def test_a_server_that_is_not_there_ends_the_dialogue_at_once() -> None:
    with FakeServer() as server:
        pass
    model = {"name": "http", "base_url": server.base_url, "model": "m", "max_retries": 0}
    env = gym.make("MathChat-v0", simulator="prompted", language_model=model)
    _, info = env.reset(seed=0)
    assert info["end_reason"] == "simulator_failure"


class TestPolicy:
    def test_it_speaks_under_its_system_prompt(self) -> None:
        with FakeServer() as server:
            policy = load_policy(
                server.spec, "math", temperature=0.5, max_tokens=9, system_prompt="Be brief."
            )
            env = make_vector_env("MathChat-v0", 4, max_turns=2)
            trajectories = play(env, policy, range(4), range(4))
        assert all(t.reward is not None and t.token_ids == [] for t in trajectories)
        said = trajectories[0].record.messages
        assert said[1]["content"].startswith(f"I heard {said[0]['content']!r}")
        first = server.calls[0].body
        assert first["messages"][0] == {"role": "system", "content": "Be brief."}
        assert (first["temperature"], first["max_tokens"]) == (0.5, 9)
        identity = trajectories[0].record.policy
        assert identity["model"]["model"] == "m"
        assert identity["system_prompt"] == "Be brief."

    def test_failures_have_their_end_reasons(self) -> None:
        with FakeServer(key="another", script=[None]) as server:
            env = make_vector_env("MathChat-v0", 2, max_turns=2)
            [one, two] = play(env, load_policy(server.spec, "math"), [0, 1], [0, 1])
        assert {one.record.end_reason, two.record.end_reason} == {"policy_failure"}
        assert "HTTP 401: Incorrect API key provided: ***." in one.record.extra["failure"]

    def test_a_full_context_is_told_apart(self) -> None:
        with FakeServer(room=1) as server:
            [trajectory] = play(make_vector_env("MathChat-v0", 1), load_policy(server.spec, "math"), [0], [0])
        assert trajectory.record.end_reason == "context_overflow"
        assert "maximum context length" in trajectory.record.extra["failure"]
