"""Whole dialogues whose agent works on the token ids of servers, which fail, vanish and fill up."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from dialogue_gym.cli import main
from dialogue_gym.language_models import HttpModel, Sampling
from dialogue_gym.rollout import LanguageModelPolicy, Trajectory, load_policy, make_vector_env, play
from tests.fake_server import TINY, FakeServer, token_server

CANARY = "sk-canary-7f3a9b2c"


@pytest.fixture(autouse=True)
def _a_key_that_no_one_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def fake(**settings: Any) -> FakeServer:
    return token_server(**{"slow_s": 30, **settings})


def dialogues(
    *servers: FakeServer, count: int = 20, apart: int | None = None, **settings: Any
) -> list[Trajectory]:
    quick = {"backoff_s": 0.01, "timeout_s": 2.0, "max_retries": 7}
    model = HttpModel([s.base_url for s in servers], "m", tokenizer=TINY, **{**quick, **settings})
    env = make_vector_env("MathChat-v0", count if apart is None else 1, max_turns=3)
    seeds = range(count)
    try:
        return play(env, LanguageModelPolicy(model, Sampling(8)), seeds, seeds, concurrency=apart)
    finally:
        model.close()


def content(trajectory: Trajectory) -> tuple[object, ...]:
    record = trajectory.record
    return trajectory.token_ids, trajectory.loss_mask, trajectory.log_probs, record.messages, record.reward


def test_one_call_in_five_fails_and_no_token_changes() -> None:
    with fake() as calm:
        expected = [content(t) for t in dialogues(calm)]
    troubles = {"share": 0.2, "faults": ("429", "500", "junk", "truncated", "cut_off", "dropped")}
    with fake(**troubles, seed=1) as one, fake(**troubles, seed=2) as two:
        assert [content(t) for t in dialogues(one, two, apart=8)] == expected
    assert all(reward is not None for *_, reward in expected)
    assert sum(call.fault is not None for call in one.calls + two.calls) > 5


def test_a_dialogue_keeps_its_server_from_turn_to_turn() -> None:
    with fake() as one, fake() as two:
        dialogues(one, two, apart=8)
    known: list[list[list[int]]] = [[call.body["prompt"] for call in s.calls] for s in (one, two)]
    for here, there in (known, known[::-1]):
        for prompt in there:
            assert not any(earlier == prompt[: len(earlier)] != prompt for earlier in here)


def test_a_server_that_goes_down_takes_no_dialogue_with_it() -> None:
    with fake() as calm:
        expected = [content(t) for t in dialogues(calm)]
    with fake() as stays, fake(script=[None] * 5 + ["dropped"] * 99) as goes:
        assert [content(t) for t in dialogues(stays, goes)] == expected
    assert len(stays.calls) > len(goes.calls)


@pytest.mark.parametrize(
    ("server", "reason", "words"),
    [
        ({"key": "another"}, "policy_failure", "HTTP 401: Incorrect API key provided: ***"),
        ({"model": "another"}, "policy_failure", "HTTP 404: The model `m` does not exist."),
        ({"script": ["junk"] * 99}, "policy_failure", "the answer is no completion"),
        ({"script": ["truncated"] * 99}, "policy_failure", "the answer is no completion"),
        ({"script": ["cut_off"] * 99}, "policy_failure", "the connection failed"),
        ({"script": ["slow"] * 99}, "policy_failure", "no answer within 0.5 s"),
        ({"scripts": {"models": ["500"] * 99}}, "policy_failure", "HTTP 500"),
        ({"max_context": 20}, "context_overflow", "with a reply at most 19 fit"),
        ({"processed": False}, "policy_failure", "--logprobs-mode processed_logprobs"),
    ],
)
def test_what_lasts_ends_dialogues_unscored_with_the_reason(
    server: dict[str, Any], reason: str, words: str
) -> None:
    spec = {"name": "http", "model": "m", "tokenizer": TINY, "backoff_s": 0.01, "max_retries": 1}
    with fake(**server) as running:
        model = {**spec, "base_url": running.base_url, "deadline_s": 0.5}
        policy = load_policy(model, "math", temperature=0.9, max_tokens=8)
        trajectories = play(make_vector_env("MathChat-v0", 2, max_turns=2), policy, [0, 1], [0, 1])
    for trajectory in trajectories:
        assert trajectory.reward is None
        assert trajectory.record.end_reason == reason
        assert words in trajectory.record.extra["failure"]
        assert "canary" not in repr(trajectory)


def test_the_key_is_in_no_log_and_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fake(script=[None, "401", "junk"], key=CANARY) as server:
        spec = {
            "name": "http",
            "base_url": server.base_url,
            "model": "m",
            "tokenizer": TINY,
            "max_retries": 0,
        }
        policy = ("--policy", json.dumps(spec), "--dialogues", "4", "--out", str(tmp_path / "log.jsonl"))
        main(["collect", *policy])
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("Incorrect API key provided: ***" in text for text in written)
    shown = capsys.readouterr()
    assert [text for text in [*written, shown.out, shown.err] if "canary" in text] == []
    assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {CANARY}"}
