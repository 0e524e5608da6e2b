"""Rewards in trajectories and logs, with the reported score left alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dialogue_gym.logs import DialogueRecord, append, policy_view, read_log
from dialogue_gym.rewards import TurnReward, annotate, build_turn_reward, pay, totals, turn_rewards
from dialogue_gym.rewards.base import Training
from dialogue_gym.rollout import Trajectory
from tests.rewards.conftest import record, running


class Given:
    """What a function makes of each dialogue."""

    def __init__(self, function: Callable[[DialogueRecord], list[float] | None]) -> None:
        self.function = function

    def rewards(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        return [self.function(r) for r in records]

    def identity(self) -> dict[str, Any]:
        return {"name": "given"}


TENS: TurnReward = Given(lambda r: [10.0 * n for n in range(len(r.messages) // 2)])


def trajectory(made: DialogueRecord, turns: int) -> Trajectory:
    rewards = [0.0] * (turns - 1) + [made.reward or 0.0] if turns else []
    return Trajectory([1], [1], [-0.5], [0], rewards, made.reward, made)


def test_trajectories_are_paid_and_records_are_not_touched() -> None:
    made = record("?", "a", "1", "b", "2", "c", "bye", reward=0.5)
    before = asdict(made)
    whole, continued, at_once = trajectory(made, 3), trajectory(made, 1), trajectory(record("?"), 0)
    pay([whole, continued, at_once], TENS)
    assert (whole.rewards, whole.reward) == ([0.0, 10.0, 20.0], 30.0)
    assert (continued.rewards, continued.reward) == ([20.0], 20.0)
    assert (at_once.rewards, at_once.reward) == ([], 1.0)
    assert asdict(made) == before


def test_a_missing_reward_is_not_a_zero() -> None:
    unscored = trajectory(record("?", "a", "1", reward=None, end_reason="aborted"), 2)
    unjudged = trajectory(record("?", "a", "1", "b", "bye"), 2)
    pay([unscored], TENS)
    pay([unjudged], Given(lambda r: None))
    for paid in (unscored, unjudged):
        assert (paid.rewards, paid.reward) == ([0.0, 0.0], None)
    assert unjudged.record.reward == 1.0


@pytest.mark.parametrize("values", [[], [1.0, 2.0, 3.0], [1.0, float("nan")]])
def test_rewards_that_do_not_fit_are_refused(values: list[float]) -> None:
    made = record("?", "a", "1", "b", "bye")
    for use in (
        lambda r: pay([trajectory(made, 2)], r),
        lambda r: annotate([made], r),
        lambda r: totals(r, [made]),
    ):
        with pytest.raises(
            TypeError, match="must return None or 2 finite numbers, one for each message of the"
        ):
            use(Given(lambda r: values))


def test_as_many_as_asked_for() -> None:
    class Short(Given):
        def rewards(self, records: Any) -> Any:
            return []

    with pytest.raises(TypeError, match=r"rewards\(\) must return 1 items, got 0"):
        annotate([record("?", "a", "1")], Short(lambda r: None))


def test_a_log_keeps_the_rewards_and_the_policys_view_shows_them(tmp_path: Path) -> None:
    made = [record("?", "a", "1", "b", "bye", extra={"note": 1}), record("?", reward=0.0)]
    append(tmp_path / "log.jsonl", annotate(made, TENS))
    first, second = read_log(tmp_path / "log.jsonl")
    assert first.extra == {"note": 1, "turn_rewards": [0.0, 10.0], "turn_reward": {"name": "given"}}
    assert (first.reward, first.metrics) == (1.0, {"accuracy": 1.0})
    assert [seen.turn_rewards for seen in read_log(tmp_path / "log.jsonl", "policy")] == [[0.0, 10.0], []]
    assert policy_view(second).reward == 0.0
    assert policy_view(made[0]).turn_rewards is None
    assert "turn_rewards" not in made[0].extra


@pytest.mark.parametrize("values", [[1.0], [1.0, "2"], 3, [1.0, None]])
def test_a_log_with_rewards_that_do_not_fit(tmp_path: Path, values: Any) -> None:
    made = record("?", "a", "1", "b", "bye", extra={"turn_rewards": values})
    with pytest.raises(
        ValueError, match=r"field 'extra': turn_rewards is .*should be null or 2 finite numbers"
    ):
        append(tmp_path / "log.jsonl", [made])
    line = {"schema_version": 1, **asdict(made)}
    (tmp_path / "bad.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=r"bad.jsonl:1: field 'extra': turn_rewards is"):
        list(read_log(tmp_path / "bad.jsonl"))


def test_totals_are_sums_unless_the_reward_knows_better() -> None:
    class Quick(Given):
        def totals(self, records: Any) -> list[float | None]:
            return [7.0 for _ in records]

    made = [running("?", "a", "1", "b", "2"), running("?")]
    assert totals(TENS, made) == [10.0, 0.0]
    assert totals(Quick(lambda r: None), made) == [7.0, 7.0]


def test_names(make_env: Any) -> None:
    assert {"implicit", "look_ahead", "progress"} <= {*turn_rewards.names()}
    training = Training(make_env())
    assert build_turn_reward(TENS, training) is TENS
    with pytest.raises(ValueError, match="unknown turn reward 'progres': did you mean 'progress'"):
        build_turn_reward("progres", training)
    with pytest.raises(ValueError, match="a turn reward must be a TurnReward, a name or a dict, got int"):
        build_turn_reward(3, training)  # type: ignore[arg-type]
