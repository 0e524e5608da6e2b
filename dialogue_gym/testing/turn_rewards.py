"""Does a turn reward keep the protocol?"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from dialogue_gym.dialogue import EndReason
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rewards.base import TurnReward, replies
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona
from dialogue_gym.tasks import Kind, Task, TaskSource, task_sources
from dialogue_gym.tasks.base import task_to_dict
from dialogue_gym.testing.common import (
    ODD_TEXTS,
    check_identity,
    check_methods,
    check_number,
    conversation,
    no_error,
    run_checks,
    shown,
)

_AGENT_TEXTS = ("What is missing?", "The answer is 7.", "Draft: Come on Friday at 5.")
_ENV_IDS: dict[Kind, str] = {"math": "MathChat-v0", "document": "DocEditChat-v0"}
_ROUNDING = 1e-5
"""Numbers that are closer are equal: models round differently in batches of other shapes."""

Values = list[list[float] | None]


def check_turn_reward(
    reward: TurnReward,
    kind: Kind = "math",
    n: int = 4,
    *,
    tasks: TaskSource | None = None,
    deterministic: bool = True,
) -> list[str]:
    """Check that a turn reward keeps the protocol. The first fault ends the check.

    Dialogues of up to three turns are made by hand. A reward that plays on, as ``LookAhead``, needs an
    environment of this kind that allows at least four.

    Args:
        reward: yours.
        kind: which tasks the dialogues are about, "math" or "document".
        n: number of tasks, at least 2.
        tasks: where they come from; default the procedural ones.
        deterministic: False relaxes the checks that compare rewards, for models that sample.

    Returns:
        What was checked, one line each.

    Raises:
        AssertionError: the first thing that is wrong, in one line.
        ValueError: ``n`` below 2.

    Example:
        >>> from dialogue_gym.rewards import Progress
        >>> check_turn_reward(Progress("tiny"))[-1]  # doctest: +SKIP
        'rewards do not depend on order or neighbours'
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 tasks, got {n}")
    checks: list[tuple[str, Callable[[_Checker], None]]] = [
        ("has the methods of a TurnReward", _check_protocol),
        ("identity is JSON-able and stays the same", _check_identity),
        ("gives one finite number for each message of the agent", _check_scored),
        ("pays a dialogue that is not over as far as it goes", _check_running),
        ("has no reward where a dialogue ended unscored", _check_unscored),
        ("leaves records and their score as they are", _check_mutation),
        ("bears odd messages", _check_odd_texts),
        ("pays a dialogue without its task, or says that it cannot", _check_bare),
    ]
    if deterministic:
        checks += [
            ("gives equal rewards to equal dialogues, whatever came between", _check_repeats),
            ("rewards do not depend on order or neighbours", _check_batches),
        ]
        if hasattr(reward, "totals"):
            checks.append(("totals are the sums of rewards", _check_totals))
    return run_checks(checks, _Checker(reward, kind, tasks or task_sources[kind].build("procedural"), n))


class _Checker:
    """A turn reward under check, with dialogues for it."""

    def __init__(self, reward: TurnReward, kind: Kind, tasks: TaskSource, n: int) -> None:
        self.reward, self._env_id = reward, _ENV_IDS[kind]
        self._tasks = [tasks.draw("train", NoiseKey(("check", i))) for i in range(n)]

    def scored(self) -> list[DialogueRecord]:
        """Dialogues of one to three turns that are over; scores and last messages differ."""
        ends = {"end_reason": EndReason.USER_STOP.value, "metrics": {"accuracy": 1.0}}
        return [
            self._record(i, task, 1 + i % 3, reward=(i + 1) / 4, **ends) for i, task in enumerate(self._tasks)
        ]

    def running(self) -> list[DialogueRecord]:
        """The same while they go on, with the agent's last message unanswered in every other one."""
        records = [self._record(i, task, 1 + i % 3) for i, task in enumerate(self._tasks)]
        return [
            replace(r, messages=r.messages[:-1], turns_metadata=r.turns_metadata[:-1]) if i % 2 else r
            for i, r in enumerate(records)
        ]

    def unscored(self) -> list[DialogueRecord]:
        """One for each end that brings no score."""
        reasons = [reason.value for reason in EndReason if not reason.scored]
        return [self._record(0, self._tasks[0], 2, end_reason=reason) for reason in reasons]

    def all(self) -> list[DialogueRecord]:
        """Of every kind."""
        return [*self.scored(), *self.running(), *self.unscored()]

    def _record(self, i: int, task: Task, turns: int, **fields: Any) -> DialogueRecord:
        texts = [task.brief.goal]
        for turn in range(turns):
            texts += [_AGENT_TEXTS[(i + turn) % len(_AGENT_TEXTS)], f"{task.brief.text} ({turn})"]
        given = {"end_reason": None, "reward": None, "metrics": {}, **fields}
        return DialogueRecord(
            self._env_id, task.split, task_to_dict(task), Persona().to_dict(), i, i + 1, {"name": "check"},
            {"name": "check"}, conversation(*texts), [{} for _ in texts[::2]], **given,
        )  # fmt: skip

    def rewards(self, records: Sequence[DialogueRecord], when: str) -> Values:
        """The rewards, or an AssertionError that says what was to be paid."""
        asked = list(records)
        with no_error("rewards()", when):
            found: Any = self.reward.rewards(records)
        _check_values(found, asked, when)
        return list(found)


def _check_values(found: Any, records: Sequence[DialogueRecord], when: str) -> None:
    """One list of numbers, or None, for each dialogue."""
    assert isinstance(found, list), f"rewards() must return a list, got {type(found).__name__} ({when})"
    assert len(found) == len(records), (
        f"rewards() must return one item per dialogue, got {len(found)} for {len(records)} ({when})"
    )
    for record, values in zip(records, found, strict=True):
        if values is None:
            continue
        assert isinstance(values, list), (
            f"the rewards of a dialogue must be a list or None, got {type(values).__name__} ({when})"
        )
        assert len(values) == replies(record), (
            f"a dialogue must get one number for each message of the agent, got {len(values)} for "
            f"{replies(record)} ({when})"
        )
        for value in values:
            check_number(value, f"a reward ({when})")


def _check_protocol(checker: _Checker) -> None:
    check_methods(checker.reward, "TurnReward", "rewards", "identity")


def _check_identity(checker: _Checker) -> None:
    check_identity(
        checker.reward, lambda: checker.rewards(checker.scored(), "scored dialogues"), "rewards are given"
    )


def _check_scored(checker: _Checker) -> None:
    found = checker.rewards(checker.scored(), "scored dialogues")
    assert any(values is not None for values in found), (
        f"rewards() gave None for each of {len(found)} scored dialogues: nothing is ever paid"
    )
    at_once = [replace(r, messages=r.messages[:1], turns_metadata=[{}]) for r in checker.scored()]
    checker.rewards(at_once, "the user left before the agent said anything")


def _check_running(checker: _Checker) -> None:
    checker.rewards(checker.running(), "dialogues that are not over")
    openings = [replace(r, messages=r.messages[:1], turns_metadata=[{}]) for r in checker.running()]
    checker.rewards(openings, "the agent has said nothing")


def _check_unscored(checker: _Checker) -> None:
    records = checker.unscored()
    for record, values in zip(records, checker.rewards([*records], "unscored ends"), strict=True):
        assert values is None, (
            f"a dialogue that ended by {record.end_reason!r} is unscored: its rewards must be None, which is "
            f"not zero, got {values}"
        )


def _check_mutation(checker: _Checker) -> None:
    records = checker.all()
    kept = list(records), copy.deepcopy(records)
    checker.rewards(records, "dialogues of every kind")
    assert records == kept[0], "rewards() must not change the list of records"
    for record, before in zip(kept[0], kept[1], strict=True):
        assert record.reward == before.reward, "rewards() must not change the score, record.reward"
        assert record == before, "rewards() must not change a record"


def _check_odd_texts(checker: _Checker) -> None:
    scored, running = checker.scored()[0], checker.running()[0]
    for text in ODD_TEXTS:
        for who, said in (("agent", ("hi", text, "ok")), ("user", ("hi", "ok", text))):
            odd = [
                replace(r, messages=conversation(*said), turns_metadata=[{}, {}]) for r in (scored, running)
            ]
            checker.rewards(odd, f"the {who} said {shown(text)}")


def _check_bare(checker: _Checker) -> None:
    """Logs of people have no task; what needs one says so with a ValueError."""
    bare = [replace(r, task=None, persona=None) for r in (checker.scored()[0], checker.running()[0])]
    try:
        found = checker.reward.rewards(bare)
    except Exception as error:
        if isinstance(error, ValueError) and str(error).strip():
            return
        raise AssertionError(
            "rewards() must pay a dialogue without its task or raise a ValueError that says what is missing, "
            f"got {type(error).__name__}"
        ) from error
    _check_values(found, bare, "dialogues without their task")


def _check_repeats(checker: _Checker) -> None:
    first = checker.rewards(checker.all(), "the first time")
    checker.rewards(checker.running(), "others between")
    again = checker.rewards(checker.all(), "again")
    assert _close(first, again), "equal dialogues must get equal rewards, whatever was paid before them"


def _check_batches(checker: _Checker) -> None:
    records = checker.all()
    together = checker.rewards(records, "one batch")
    backwards = checker.rewards(records[::-1], "the same in reverse order")
    assert _close(together, backwards[::-1]), "rewards must not depend on the order of the batch"
    alone = [checker.rewards([record], "a dialogue alone")[0] for record in records]
    assert _close(together, alone), "rewards must not depend on the neighbours in the batch"


def _check_totals(checker: _Checker) -> None:
    records, reward = checker.all(), cast(Any, checker.reward)
    sums = [None if v is None else [math.fsum(v)] for v in checker.rewards(records, "to be summed")]
    with no_error("totals()", "dialogues of every kind"):
        totals = [None if total is None else [total] for total in reward.totals(records)]
    assert len(totals) == len(records), (
        f"totals() must return one item per dialogue, got {len(totals)} for {len(records)}"
    )
    for total, expected in zip(totals, sums, strict=True):
        assert _close([total], [expected]), (
            f"totals() must be the sums of rewards(), got {total and total[0]} for {expected and expected[0]}"
        )


def _close(found: Values, others: Values) -> bool:
    """Whether these are the same rewards, but for rounding."""
    return all(map(_equal, found, others))


def _equal(values: list[float] | None, others: list[float] | None) -> bool:
    if values is None or others is None:
        return values is others
    pairs = zip(values, others, strict=True)
    return all(math.isclose(a, b, rel_tol=_ROUNDING, abs_tol=_ROUNDING) for a, b in pairs)
