"""Does a scorer keep the protocol?"""

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dialogue_gym.dialogue import Conversation, Message, Transcript
from dialogue_gym.scoring.base import Score, Scorer
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import Kind, Task, TaskSource, task_sources
from dialogue_gym.testing.common import (
    ODD_TEXTS,
    check_copy,
    check_identity,
    check_methods,
    check_number,
    conversation,
    no_error,
    run_checks,
    shown,
)

_AGENT_TEXTS = ("What is missing?", "The answer is 7.", "Draft: Come on Friday at 5.")


def check_scorer(
    scorer: Scorer,
    kind: Kind = "math",
    n: int = 4,
    *,
    tasks: TaskSource | None = None,
    deterministic: bool = True,
) -> list[str]:
    """Check that a scorer keeps the protocol. The first fault ends the check.

    Args:
        scorer: yours.
        kind: which tasks it is checked with, "math" or "document".
        n: number of tasks, at least 2.
        tasks: where they come from, for scorers with tasks of their own; default the procedural ones.
        deterministic: False relaxes the checks that compare scores, for judges that sample.

    Returns:
        What was checked, one line each.

    Raises:
        AssertionError: the first thing that is wrong, in one line.
        ValueError: ``n`` below 2.

    Example:
        >>> from dialogue_gym.scoring import MathScorer
        >>> check_scorer(MathScorer())[-1]
        'pays nothing for what only the user says'
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 tasks, got {n}")
    checks: list[tuple[str, Callable[[_Checker], None]]] = [
        ("has the methods of a Scorer", _check_protocol),
        ("identity is JSON-able and stays the same", _check_identity),
        ("gives finite rewards and metrics", _check_dialogues),
        ("scores a dialogue at any point", _check_points),
        ("leaves tasks and conversations as they are", _check_mutation),
        ("bears odd messages", _check_odd_texts),
        ("bears a task without facts", _check_bare_task),
        ("works in any thread", _check_thread),
        ("can be copied without copying a model", _check_copy),
    ]
    if deterministic:
        checks += [
            ("gives equal scores to equal dialogues, whatever came between", _check_repeats),
            ("takes any sequence of messages", _check_sequences),
            ("pays nothing for what only the user says", _check_user_text),
        ]
    return run_checks(checks, _Checker(scorer, tasks or task_sources[kind].build("procedural"), n))


class _Checker:
    """A scorer under check, with tasks for it."""

    def __init__(self, scorer: Scorer, tasks: TaskSource, n: int) -> None:
        self.scorer = scorer
        keys = [NoiseKey(("check", i)) for i in range(n)]
        self._tasks = [tasks.draw("train", key) for key in keys]

    @property
    def tasks(self) -> list[Task]:
        """Fresh copies, so that a scorer that changes tasks cannot spoil later checks."""
        return copy.deepcopy(self._tasks)

    def dialogues(self) -> list[tuple[Task, list[Message]]]:
        """Each task with a dialogue that is over: the agent's last message differs, once it is right."""
        found = []
        for i, task in enumerate(self.tasks):
            last = _solution(task) if i == 0 else _AGENT_TEXTS[i % len(_AGENT_TEXTS)]
            found.append((task, conversation(task.brief.goal, _AGENT_TEXTS[0], task.brief.text, last)))
        return found

    def score(self, task: Task, messages: Conversation, when: str) -> Score:
        """The score, or an AssertionError that says what was scored."""
        with no_error("score()", when):
            score: Any = self.scorer.score(task, messages)
        assert isinstance(score, Score), f"score() must return a Score, got {type(score).__name__} ({when})"
        check_number(score.reward, f"Score.reward ({when})")
        assert isinstance(score.metrics, dict), f"Score.metrics must be a dict ({when})"
        for name, value in score.metrics.items():
            assert isinstance(name, str), f"names of metrics must be str, got {name!r} ({when})"
            check_number(value, f"the metric {name!r} ({when}; leave out what could not be measured)")
        return score


def _solution(task: Task) -> str:
    """What an agent says that solves the task, as far as its reference tells."""
    reference = task.reference
    return f"The answer is {reference.answer}." if task.kind == "math" else reference.text


def _check_protocol(checker: _Checker) -> None:
    check_methods(checker.scorer, "Scorer", "score", "identity")


def _check_identity(checker: _Checker) -> None:
    task, messages = checker.dialogues()[0]
    check_identity(
        checker.scorer, lambda: checker.score(task, messages, "a dialogue"), "dialogues are scored"
    )


def _check_dialogues(checker: _Checker) -> None:
    for task, messages in checker.dialogues():
        checker.score(task, messages, "a dialogue of two turns")


def _check_points(checker: _Checker) -> None:
    task = checker.tasks[0]
    texts = [task.brief.goal, "ok", "hm", "The answer is 7."]
    for length, when in (
        (1, "the agent has said nothing"),
        (2, "the agent spoke last"),
        (3, "the user spoke last"),
    ):
        checker.score(task, conversation(*texts[:length]), when)
    checker.score(task, conversation(*texts, ""), "the user left without a word")


def _check_mutation(checker: _Checker) -> None:
    for (task, messages), kept in zip(checker.dialogues(), checker.dialogues(), strict=True):
        checker.score(task, messages, "a dialogue of two turns")
        assert messages == kept[1], "score() must not change a conversation"
        assert task == kept[0], "score() must not change a task"


def _check_odd_texts(checker: _Checker) -> None:
    task = checker.tasks[0]
    for text in ODD_TEXTS:
        checker.score(task, conversation("hi", text), f"the agent said {shown(text)}")
        checker.score(task, conversation("hi", "ok", text), f"the user said {shown(text)}")


def _check_bare_task(checker: _Checker) -> None:
    task, messages = checker.dialogues()[0]
    bare = replace(task, brief=replace(task.brief, facts=()), reference=replace(task.reference, facts=()))
    checker.score(bare, messages, "a task without facts")


def _check_thread(checker: _Checker) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            _check_dialogues(checker)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if caught:
        raise AssertionError(f"outside the main thread: {caught[0]}") from caught[0]


def _check_copy(checker: _Checker) -> None:
    check_copy(checker.scorer, "scorer")


def _check_repeats(checker: _Checker) -> None:
    dialogues = checker.dialogues()
    first = [checker.score(task, messages, "the first time") for task, messages in dialogues]
    again = [checker.score(task, messages, "again") for task, messages in reversed(dialogues)]
    assert first == again[::-1], "equal dialogues must get equal scores, whatever was scored before them"


def _check_sequences(checker: _Checker) -> None:
    task, messages = checker.dialogues()[0]
    expected = checker.score(task, messages, "a list")
    others: Sequence[Conversation] = (tuple(messages), Transcript(messages).view())
    for other in others:
        kind = type(other).__name__
        assert checker.score(task, other, f"a {kind}") == expected, f"a {kind} must score as a list does"


def _check_user_text(checker: _Checker) -> None:
    for task in checker.tasks:
        solution = _solution(task)
        told = checker.score(task, conversation(solution, "ok", solution), "the user gives the solution")
        silent = checker.score(task, conversation("hi", "ok", "hm"), "nobody gives the solution")
        assert told.reward <= silent.reward, (
            f"the reward must be for the agent's work alone: it is {told.reward:g} when only the user gives "
            f"the solution and {silent.reward:g} when nobody does"
        )
