"""The conformance check passes good turn rewards and names what is wrong with broken ones."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rewards import ImplicitTurnReward, LookAhead, Progress
from dialogue_gym.rewards.base import is_unscored, replies
from dialogue_gym.rollout import RulePolicy, make_vector_env
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.testing import check_turn_reward
from tests.rewards.conftest import Scores


def noise() -> Scores:
    return Scores(lambda context, token: -9 * NoiseKey((context[-50:], token)).uniform())


@pytest.mark.parametrize("kind", ["math", "document"])
def test_ours_conform(kind: Any) -> None:
    assert len(check_turn_reward(Progress(noise()), kind)) == 10
    assert len(check_turn_reward(ImplicitTurnReward(noise(), noise()), kind)) == 10


def test_look_ahead_conforms() -> None:
    env = make_vector_env("MathChat-v0", 8, max_turns=4)
    reward = LookAhead(env, RulePolicy("math"), continuations=1, window=1)
    assert check_turn_reward(reward, n=2)[-1] == "totals are the sums of rewards"


class Minimal:
    """The least that conforms: the score with the last message; broken ones below change one thing."""

    def rewards(self, records: Sequence[DialogueRecord]) -> Any:
        return [None if is_unscored(record) else self.one(record) for record in records]

    def one(self, record: DialogueRecord) -> Any:
        paid = [0.0] * replies(record)
        return [*paid[1:], record.reward or 0.0] if paid else []

    def identity(self) -> dict[str, Any]:
        return {"name": "minimal"}


def test_the_least_turn_reward_conforms() -> None:
    assert len(check_turn_reward(Minimal())) == 10
    assert len(check_turn_reward(Minimal(), deterministic=False)) == 8


class NoRewards(Minimal):
    rewards = None  # type: ignore[assignment]


class Nameless(Minimal):
    def identity(self) -> dict[str, Any]:
        return {}


class CountingIdentity(Minimal):
    calls = 0

    def one(self, record: DialogueRecord) -> Any:
        self.calls += 1
        return super().one(record)

    def identity(self) -> dict[str, Any]:
        return {"name": "counting", "calls": self.calls}


class Generates(Minimal):
    def rewards(self, records: Sequence[DialogueRecord]) -> Any:
        return (self.one(record) for record in records)


class LeavesOut(Minimal):
    def rewards(self, records: Sequence[DialogueRecord]) -> Any:
        return [self.one(record) for record in records if replies(record) > 1]


class OneNumber(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return record.reward or 0.0


class PaysUsers(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return [0.0 for message in record.messages if message["role"] == "user"]


class Nan(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return [float("nan")] * replies(record)


class Passed(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return [True] * replies(record)


class Nothing(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return None


class NeedsWords(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        assert record.messages[1]["content"], "no words"
        return super().one(record)


class NeedsAScore(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return [float(record.reward)] * replies(record)  # type: ignore[arg-type]


class MissingIsZero(Minimal):
    def rewards(self, records: Sequence[DialogueRecord]) -> Any:
        return [self.one(record) for record in records]


class Rescores(Minimal):
    def rewards(self, records: Sequence[DialogueRecord]) -> Any:
        for record in records:
            record.reward = None if record.reward is None else 0.5
        return super().rewards(records)


class Annotates(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        record.extra["turn_rewards"] = super().one(record)
        return super().one(record)


class Takes(Minimal):
    def rewards(self, records: Any) -> Any:
        found = super().rewards(records)
        records.clear()
        return found


class SplitsWords(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return [float(len(m["content"].split()[0])) for m in record.messages if m["role"] == "assistant"]


class NeedsATask(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return [float(record.task["level"])] * replies(record)  # type: ignore[index]


class SaysNothing(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        if record.task is None:
            raise ValueError
        return super().one(record)


class Noisy(Minimal):
    def one(self, record: DialogueRecord) -> Any:
        return [random.random()] * replies(record)


class HearsOrder(Minimal):
    def rewards(self, records: Sequence[DialogueRecord]) -> Any:
        found = super().rewards(records)
        return [v and [n + i for n in v] for i, v in enumerate(found)]


class HearsNeighbours(Minimal):
    def rewards(self, records: Sequence[DialogueRecord]) -> Any:
        found = super().rewards(records)
        return [v and [n + len(records) for n in v] for v in found]


class OtherTotals(Minimal):
    def totals(self, records: Sequence[DialogueRecord]) -> Any:
        return [values and 2 * sum(values) for values in self.rewards(records)]


BROKEN = [
    (NoRewards, r"a TurnReward needs a method rewards\(\)"),
    (Nameless, "needs a field 'name'"),
    (CountingIdentity, "must not change when rewards are given"),
    (Generates, r"rewards\(\) must return a list, got generator"),
    (LeavesOut, r"one item per dialogue, got 2 for 4 \(scored dialogues\)"),
    (OneNumber, "the rewards of a dialogue must be a list or None, got float"),
    (PaysUsers, r"one number for each message of the agent, got 2 for 1 \(scored dialogues\)"),
    (Nan, "a reward .* must be finite, got nan"),
    (Passed, "a reward .* must be a number, got bool"),
    (Nothing, "None for each of 4 scored dialogues: nothing is ever paid"),
    (NeedsWords, r"rewards\(\) raised IndexError.*left before the agent said anything"),
    (NeedsAScore, r"rewards\(\) raised TypeError.*dialogues that are not over"),
    (MissingIsZero, r"ended by 'simulator_failure' is unscored: .* must be None, .* got \[0.0, 0.0\]"),
    (Rescores, "must not change the score, record.reward"),
    (Annotates, "must not change a record$"),
    (Takes, "must not change the list of records"),
    (SplitsWords, r"rewards\(\) raised IndexError.*the agent said ''"),
    (NeedsATask, "without its task or raise a ValueError that says what is missing, got TypeError"),
    (SaysNothing, "without its task or raise a ValueError that says what is missing, got ValueError"),
    (Noisy, "equal dialogues must get equal rewards"),
    (HearsOrder, "must not depend on the order"),
    (HearsNeighbours, "must not depend on the neighbours"),
    (OtherTotals, r"totals\(\) must be the sums of rewards\(\), got 0.5 for 0.25"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_each_fault_is_found_and_said_in_one_line(broken: type[Minimal], message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        check_turn_reward(broken())
    assert "\n" not in str(caught.value)


def test_what_a_reward_needs_may_be_said() -> None:
    class Refuses(Minimal):
        def one(self, record: DialogueRecord) -> Any:
            if record.task is None:
                raise ValueError("a dialogue without its task")
            return super().one(record)

    check_turn_reward(Refuses())


def test_noise_is_allowed_where_it_is_asked_for() -> None:
    check_turn_reward(Noisy(), deterministic=False)


def test_two_tasks_are_the_least() -> None:
    with pytest.raises(ValueError, match="n must be at least 2 tasks, got 1"):
        check_turn_reward(Minimal(), n=1)
