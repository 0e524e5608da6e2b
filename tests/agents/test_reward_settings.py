"""Every learner on a turn reward: what is trained on changes, what is reported does not."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_gym.logs import DialogueRecord, append, read_log
from dialogue_gym.rewards import Training, annotate, turn_rewards
from dialogue_gym.rollout import RulePolicy, make_vector_env, play


class Counted:
    """Pays each reply its number, or takes it; knows nothing of the score."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def rewards(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        return [
            None
            if r.end_reason and r.reward is None
            else [self.sign * n for n in range(len(r.messages) // 2)]
            for r in records
        ]

    def identity(self) -> dict[str, Any]:
        return {"name": "counted"}


def counted(training: Training, sign: float = 1.0) -> Counted:
    return Counted(sign)


turn_rewards.register("counted", counted)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Dialogues of the rule-based policy, four a task."""
    env = make_vector_env("MathChat-v0", 12, max_turns=4)
    seeds = [seed for seed in range(3) for _ in range(4)]
    append(
        tmp_path / "log.jsonl",
        [t.record for t in play(env, RulePolicy("math", ask_rate=0.7), seeds, range(12))],
    )
    return tmp_path / "log.jsonl"


# GRPO ----------------------------------------------------------------------------------------------


def test_grpo_trains_on_the_reward_and_keeps_the_score(
    make_settings: Callable[..., GRPOSettings], train: Callable[..., Any]
) -> None:
    plain = train(make_settings("plain", learning_rate=0.0))
    watch = train(make_settings("counted", learning_rate=0.0, reward="counted", advantage="turn_return"))
    assert [t.record.reward for t in watch.trajectories] == [t.reward for t in plain.trajectories]
    for trajectory in watch.trajectories:
        if trajectory.record.reward is not None:
            assert trajectory.rewards == [float(n) for n in range(len(trajectory.record.messages) // 2)]
            assert trajectory.reward == sum(trajectory.rewards)
        else:
            assert trajectory.reward is None
    assert len({t.reward for t in watch.trajectories}) > 2
    shown = [
        entry["dialogue/score"] for entry in watch.trainer.state.log_history if "dialogue/score" in entry
    ]
    earned = [entry["reward"] for entry in plain.trainer.state.log_history if "reward" in entry]
    assert shown == pytest.approx(earned)


def test_a_run_of_grpo_reports_the_score(make_settings: Callable[..., GRPOSettings]) -> None:
    from dialogue_agents.grpo.run import run

    plain = run(make_settings("plain", learning_rate=0.0, eval_dialogues=8, log_dialogues=True))
    found = run(
        make_settings("paid", learning_rate=0.0, eval_dialogues=8, log_dialogues=True, reward="counted")
    )
    assert found["curve"] == pytest.approx(plain["curve"])
    assert found["after"]["outcomes"] == plain["after"]["outcomes"]
    logs = [make_settings(out).out / "dialogues.jsonl" for out in ("plain", "paid")]
    first, second = ([(r.reward, r.messages) for r in read_log(path)] for path in logs)
    assert first == second


def test_grpo_looks_ahead_with_the_policy_under_training(make_settings: Callable[..., GRPOSettings]) -> None:
    from dialogue_agents.grpo.run import run

    spec = {"name": "look_ahead", "continuations": 2, "window": 1}
    settings = make_settings(reward=json.dumps(spec), advantage="turn_baseline")
    result = run(settings)
    without = run(make_settings("without", advantage="turn_baseline"))
    assert result["budget"]["look_ahead_tokens"] > 0
    assert result["budget"]["user_calls"] > without["budget"]["user_calls"]
    assert len(result["curve"]) == 2


def test_static_contexts_are_paid_for_their_one_reply(make_static: Any, policy_folder: Path) -> None:
    from dialogue_agents.grpo.run import load_policy
    from dialogue_agents.static_context.contexts import read_contexts
    from dialogue_agents.static_context.rollouts import StaticContextRollout
    from dialogue_gym.language_models import Sampling
    from dialogue_gym.language_models.codec import ChatCodec
    from dialogue_gym.language_models.transformers_engine import TransformersModel
    from dialogue_gym.rollout import LanguageModelPolicy

    settings: StaticContextSettings = make_static(reward="counted", env_kwargs="{}")
    model, tokenizer = load_policy(settings)
    codec = ChatCodec(tokenizer)
    contexts = read_contexts(settings.logs, "MathChat-v0", "all")
    rollout = StaticContextRollout(settings, codec, contexts)
    policy = LanguageModelPolicy(TransformersModel(model, codec), Sampling(4))
    played = rollout._paid(policy, rollout.play(policy, [str(n // 4) for n in range(8)], 0))
    for trajectory in played.trajectories:
        earlier = len(trajectory.record.messages) // 2 - 1
        assert trajectory.rewards == [float(earlier)]
        assert trajectory.reward == earlier
    assert played.metrics["dialogue/score"] == pytest.approx(
        sum(t.record.reward or 0.0 for t in played.trajectories) / 8
    )


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("progres", "unknown reward 'progres': did you mean 'progress'"),
        ("{", "reward must be a JSON object such as '{}', got '{'"),
        ('{"weight": 1}', "unknown reward None: valid names"),
    ],
)
def test_rewards_that_there_are_not(make_settings: Any, reward: str, message: str) -> None:
    from dialogue_agents.sb3.settings import SB3Settings

    for make in (make_settings, SB3Settings):
        with pytest.raises(ValueError, match=message):
            make(reward=reward)


def test_what_a_reward_lacks_is_said_before_training(make_settings: Any, make_static: Any) -> None:
    from dialogue_agents.grpo.run import run

    with pytest.raises(ValueError, match="progress: the user MoodyUser has no language model"):
        run(make_settings(reward="progress"))
    with pytest.raises(
        ValueError, match="look_ahead is a reward of its own: leave it out with reward 'counted'"
    ):
        make_static(look_ahead=2, reward="counted")


# Stable-Baselines3 ---------------------------------------------------------------------------------

SHORT: dict[str, Any] = {
    "algorithm": "a2c",
    "steps": 64,
    "num_envs": 4,
    "max_turns": 4,
    "eval_dialogues": 6,
    "algorithm_kwargs": '{"n_steps": 8, "learning_rate": 0.0}',
}


def run_sb3(out: Path, **changes: Any) -> dict[str, Any]:
    pytest.importorskip("stable_baselines3")
    from dialogue_agents.sb3.run import run
    from dialogue_agents.sb3.settings import SB3Settings

    return run(SB3Settings(out=out, **{**SHORT, **changes}))


def test_stable_baselines_keeps_the_score_in_its_curve(tmp_path: Path) -> None:
    plain = run_sb3(tmp_path / "plain")
    paid = run_sb3(tmp_path / "paid", reward="counted")
    assert paid["curve"] == plain["curve"]
    assert paid["budget"]["user_calls"] == plain["budget"]["user_calls"]
    assert paid["after"]["outcomes"] == plain["after"]["outcomes"]


def test_stable_baselines_is_paid_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stable_baselines3")
    from dialogue_agents.sb3 import watch

    seen: list[float] = []
    step = watch.Watch._on_step
    monkeypatch.setattr(
        watch.Watch, "_on_step", lambda self: seen.extend(self.locals["rewards"]) or step(self)
    )
    run_sb3(tmp_path / "run", reward="counted", eval_dialogues=0)
    assert {0.0, 1.0, 2.0} <= set(seen)
    assert set(seen) <= {0.0, 1.0, 2.0, 3.0}


def test_stable_baselines_looks_ahead_and_counts_it(tmp_path: Path) -> None:
    plain = run_sb3(tmp_path / "plain", eval_dialogues=0)
    spec = {"name": "look_ahead", "continuations": 1}
    paid = run_sb3(tmp_path / "paid", eval_dialogues=0, reward=json.dumps(spec))
    assert paid["curve"] == plain["curve"]
    assert paid["budget"]["user_calls"] > plain["budget"]["user_calls"]


# bandit --------------------------------------------------------------------------------------------


def test_a_bandit_learns_from_the_reward_and_reports_the_score(tmp_path: Path) -> None:
    """Charged for every turn it answers at once, and its figures say how bad that is."""
    from dialogue_agents.bandit.run import run
    from dialogue_agents.bandit.settings import BanditSettings

    def run_bandit(out: str, **changes: Any) -> dict[str, Any]:
        return run(
            BanditSettings(dialogues=96, eval_dialogues=24, max_turns=5, out=tmp_path / out, **changes)
        )

    plain, paid = run_bandit("plain"), run_bandit("paid", reward='{"name": "counted", "sign": -1}')
    assert paid["before"]["outcomes"] == plain["before"]["outcomes"]
    assert paid["curve"][0] == plain["curve"][0]  # nothing was learned before
    for what in ("turns", "reward"):
        after = [result["after"]["estimates"][what]["mean"] for result in (plain, paid)]
        assert after[1] < after[0]
    assert all(score is not None and score >= 0 for score in paid["curve"])
    ahead = run_bandit("ahead", reward="look_ahead")
    assert ahead["curve"] == plain["curve"]  # gains sum to the score
    assert ahead["budget"]["user_calls"] > plain["budget"]["user_calls"]


# logs ---------------------------------------------------------------------------------------------


def test_where_a_log_has_turn_rewards_other_dialogues_are_left_out(log: Path, tmp_path: Path) -> None:
    from dialogue_agents.imitation.logged import read_dialogues

    records = list(read_log(log))
    assert len(read_dialogues(log, "MathChat-v0")) == len(records)
    append(tmp_path / "mixed.jsonl", [*records[:4], *annotate(records[4:], Counted())])
    assert len(read_dialogues(tmp_path / "mixed.jsonl", "MathChat-v0")) == len(records) - 4


def test_sft_takes_the_dialogues_that_are_paid_best(log: Path, tmp_path: Path) -> None:
    from dialogue_agents.sft.best import read_best

    append(tmp_path / "paid.jsonl", annotate(list(read_log(log)), Counted()))
    best = read_best(tmp_path / "paid.jsonl", "MathChat-v0", 0.01, "log")
    longest = max(len(r.messages) // 2 for r in read_log(log))
    assert [w.dialogue.turns for w in best] == [longest]
    assert best[0].dialogue.reward is not None


def test_drift_weighs_dialogues_by_the_rewards_of_their_turns(log: Path, tmp_path: Path) -> None:
    from dialogue_agents.drift.weights import dialogue_return
    from dialogue_gym.logs import policy_view

    records = annotate(list(read_log(log)), Counted())
    for record in records:
        turns = len(record.messages) // 2
        expected = sum(0.5**t * t for t in range(turns))
        assert dialogue_return(policy_view(record), gamma=0.5, repeat_penalty=0.0) == pytest.approx(expected)
        assert record.reward is not None
