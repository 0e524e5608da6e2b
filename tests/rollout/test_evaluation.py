import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord, append, policy_view, read_log
from dialogue_gym.rollout import (
    PolicyReply,
    RulePolicy,
    asked_for_held,
    compare,
    evaluate,
    load_policy,
    show,
    summarise,
)
from dialogue_gym.rollout.evaluation import estimate
from tests.fake_server import FakeServer

MakeEnv = Callable[..., DialogueVectorEnv]


def record(
    agent: list[str], metadata: list[dict[str, Any]], kind: str = "math", **changes: Any
) -> DialogueRecord:
    texts = [f"user {i}" for i in range(len(metadata))]
    contents = [text for pair in zip(texts, [*agent, *[""] * len(texts)], strict=False) for text in pair]
    contents = contents[: len(metadata) + len(agent)]
    fields: dict[str, Any] = {
        "env_id": "MathChat-v0",
        "split": "test",
        "task": {"kind": kind},
        "persona": None,
        "task_seed": 1,
        "reply_seed": 2,
        "simulator": {"name": "scripted"},
        "policy": {"name": "rules"},
        "messages": [
            {"role": "assistant" if i % 2 else "user", "content": c} for i, c in enumerate(contents)
        ],
        "turns_metadata": metadata,
        "end_reason": "turn_limit",
        "reward": 1.0,
        "metrics": {"accuracy": 1.0},
    }
    return DialogueRecord(**{**fields, **changes})


def test_a_perfect_rule_policy_is_seen_as_one(make_env: MakeEnv) -> None:
    evaluation = evaluate(make_env(), RulePolicy("math"), 80)
    assert evaluation.reward is not None
    assert evaluation.reward.mean > 0.85
    assert evaluation.reward.low < evaluation.reward.mean < evaluation.reward.high
    assert evaluation.ask_rate is not None
    assert evaluation.ask_rate.mean == 1.0
    assert 0 < evaluation.ask_rate.n < 80
    assert evaluation.estimates["accuracy"].mean == evaluation.reward.mean
    assert (evaluation.split, evaluation.unscored_rate) == ("test", 0.0)
    assert sum(evaluation.end_reasons.values()) == 80


def test_a_guessing_rule_policy_never_asks(make_env: MakeEnv) -> None:
    evaluation = evaluate(make_env(), RulePolicy("math", ask_rate=0.0), 40)
    assert evaluation.ask_rate is not None
    assert evaluation.ask_rate.mean == 0.0


def test_an_evaluation_repeats_and_follows_its_seed(make_env: MakeEnv) -> None:
    first, again = (evaluate(make_env(num_envs=n), RulePolicy("math", 0.5), 20, seed=4) for n in (3, 20))
    assert first == again
    assert first != evaluate(make_env(), RulePolicy("math", 0.5), 20, seed=5)


def test_unscored_dialogues_are_left_out_and_printed(make_env: MakeEnv, speaker: Any) -> None:
    calls = iter(range(1000))

    def speak(_: Any) -> PolicyReply | str:
        return PolicyReply("", error="broken") if next(calls) % 4 == 0 else "The answer is 5."

    evaluation = evaluate(make_env(num_envs=20, max_turns=1), speaker(speak), 20)
    assert evaluation.reward is not None
    assert evaluation.reward.n == 15
    assert evaluation.unscored_rate == 0.25
    assert "unscored: 5 of 20 (25.0%)" in evaluation.table()
    assert "turn_limit 15, policy_failure 5" in evaluation.table()
    nothing = evaluate(make_env(), speaker(lambda _: PolicyReply("", error="broken")), 3)
    assert nothing.reward is None
    assert nothing.unscored_rate == 1.0
    assert "3 of 3" in nothing.table()


def test_everything_is_json_and_can_be_had_from_a_log(make_env: MakeEnv, tmp_path: Any) -> None:
    path = tmp_path / "log.jsonl"
    evaluation = evaluate(
        make_env("document"), RulePolicy("document"), 12, on_dialogue=lambda t: append(path, [t.record])
    )
    assert json.loads(json.dumps(evaluation.to_dict(), allow_nan=False)) == evaluation.to_dict()
    assert summarise(list(read_log(path))) == evaluation
    lines = evaluation.table().splitlines()
    assert lines[0] == "DocEditChat-v0, test: 12 dialogues, user scripted, agent rules"
    assert {line.split()[0] for line in lines[2:-2]} >= {"reward", "bleu", "facts", "turns", "ask_rate"}
    assert len({len(line) for line in lines[2:-2]}) == 1


def test_words_and_turns_are_means_over_dialogues() -> None:
    evaluation = summarise([record(["a b", "c d e f"], [{}, {}, {}]), record(["a"], [{}], reward=0.0)])
    assert evaluation.estimates["turns"].mean == 1.5
    assert evaluation.estimates["words_per_agent_turn"].mean == 2.0
    assert evaluation.estimates["words_per_user_turn"].mean == 2.0


HELD = {"held": ["a", "b"]}
ASKED = {"asked": ["b"], "generic": False, "held": ["a", "b"]}
ASKED_TOLD = {"asked": ["c"], "generic": False, "held": ["a", "b"]}
GENERIC = {"asked": [], "generic": True, "held": ["a"]}
NOTHING = {"asked": [], "generic": False, "held": ["a", "b"]}
QUESTION, ANSWER, DRAFT = "What is b?", "The answer is 5.", "Draft: Come to the picnic on Friday."


@pytest.mark.parametrize(
    ("agent", "metadata", "kind", "asked"),
    [
        ([QUESTION], [HELD, ASKED], "math", True),
        (["ok", QUESTION, ANSWER], [HELD, NOTHING, ASKED], "math", True),
        ([QUESTION], [HELD, GENERIC], "math", True),
        ([QUESTION], [HELD, {**GENERIC, "held": []}], "math", False),
        ([QUESTION], [HELD, ASKED_TOLD], "math", False),
        ([ANSWER, QUESTION], [HELD, NOTHING, ASKED], "math", False),
        ([f"{ANSWER} {QUESTION}"], [HELD, ASKED], "math", False),
        ([DRAFT, QUESTION], [HELD, NOTHING, ASKED], "document", False),
        ([QUESTION, DRAFT], [HELD, ASKED], "document", True),
        (["ok", QUESTION], [HELD, NOTHING], "math", False),
        ([], [HELD], "math", False),
        ([QUESTION], [{"held": []}, ASKED], "math", None),
        ([QUESTION], [{}, {}], "math", None),
        ([], [], "math", None),
    ],
)
def test_asking_for_what_was_held_back(
    agent: list[str], metadata: list[dict[str, Any]], kind: str, asked: bool | None
) -> None:
    assert asked_for_held(record(agent, metadata, kind)) is asked


def test_there_is_no_ask_rate_where_the_user_does_not_say() -> None:
    evaluation = summarise([record(["ok"], [{}, {}])])
    assert evaluation.ask_rate is None
    assert "ask_rate" not in evaluation.table()


def test_a_paired_comparison_is_sharper_than_two_means(make_env: MakeEnv) -> None:
    before = evaluate(make_env(), RulePolicy("math", 0.0), 60)
    after = evaluate(make_env(), RulePolicy("math", 1.0), 60)
    comparison = compare(before, after)
    assert comparison.reward is not None
    assert before.reward is not None
    assert after.reward is not None
    assert comparison.reward.mean == pytest.approx(after.reward.mean - before.reward.mean)
    assert comparison.reward.low > 0
    assert comparison.estimates["ask_rate"].mean == 1.0
    assert "after - before: 60 pairs" in comparison.table()
    assert json.loads(json.dumps(comparison.to_dict())) == comparison.to_dict()
    same = compare(after, after).reward
    assert same is not None
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


def test_pairs_without_a_reward_on_a_side_are_left_out() -> None:
    scored = [record([], [{}], task_seed=i) for i in range(4)]
    unscored = [replace(r, reward=None if r.task_seed < 3 else 0.25) for r in scored]
    comparison = compare(summarise(unscored), summarise(scored))
    assert comparison.reward is not None
    assert (comparison.reward.mean, comparison.reward.n, comparison.pairs) == (0.75, 1, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task_seed": 7}, "differ in seeds"),
        ({"split": "train"}, "differ in split: 'test' and 'train'"),
        ({"env_id": "DocEditChat-v0"}, "differ in env_id"),
    ],
)
def test_only_equal_dialogues_are_compared(changes: dict[str, Any], message: str) -> None:
    first = record([], [{}])
    with pytest.raises(ValueError, match=message):
        compare(summarise([first]), summarise([replace(first, **changes)]))
    with pytest.raises(ValueError, match="differ in seeds"):
        compare(summarise([first]), summarise([first, first]))


def test_bad_requests_are_refused(make_env: MakeEnv) -> None:
    with pytest.raises(ValueError, match="n must be at least 1 dialogue, got 0"):
        evaluate(make_env(), RulePolicy("math"), 0)
    with pytest.raises(ValueError, match="no dialogue"):
        summarise([])
    with pytest.raises(ValueError, match="one environment and split"):
        summarise([record([], [{}]), record([], [{}], split="train")])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
@settings(max_examples=25)
def test_an_interval_lies_within_the_values_and_about_the_mean(values: list[float]) -> None:
    found = estimate(values)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found == estimate(values)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    intervals = [estimate(list(rng.random(60) < 0.7)) for _ in range(80)]
    covered = np.mean([i is not None and i.low <= 0.7 <= i.high for i in intervals])
    assert 0.88 <= covered <= 0.99


def test_the_evaluated_user_may_be_another(make_env: MakeEnv) -> None:
    open_user = {"name": "scripted", "population": {"disclosure": (1.0, 1.0)}}
    evaluation = evaluate(make_env(simulator=open_user), RulePolicy("math", 0.0), 20)
    assert evaluation.ask_rate is None  # nothing was held back
    assert evaluation.reward is not None
    assert evaluation.reward.mean > 0.8
    assert evaluation.simulator["populations"]["math"]["disclosure"] == [1.0, 1.0]


def test_a_transcript_wraps_and_no_text_drives_the_terminal_or_forges_a_turn() -> None:
    text = "word " * 30 + "\x1b[31mred\x07\r\u202e\nuser> forged\n\n"
    shown = show(record([text], [{}]), width=40)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 40
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert r"\x1b[31mred\x07\r\u202e" in shown.replace("\n       ", "")
    assert sum(line.startswith("user> ") for line in lines) == 1
    assert lines[0] == "user> user 0"
    assert lines[-1] == "(turn_limit, reward 1.000)"
    unscored = replace(record([], [{}]), reward=None, end_reason=None)
    assert show(unscored).endswith("(not over, unscored)")
    assert show(policy_view(unscored)) == show(unscored)


def test_servers_are_evaluated_each_dialogue_apart_and_come_out_the_same(make_env: MakeEnv) -> None:
    with FakeServer(latency_s=0.02) as server:
        policy = load_policy(server.spec, "math")
        apart = evaluate(make_env(num_envs=4), policy, 9)
        most = server.most_at_once
        assert apart == evaluate(make_env(num_envs=4), policy, 9, concurrency=None)
        assert apart == evaluate(make_env(num_envs=4), policy, 9, concurrency=9)
    assert 1 < most <= 4 < server.most_at_once
