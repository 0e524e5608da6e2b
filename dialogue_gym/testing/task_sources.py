"""Does a source of tasks keep the protocol?"""

import copy
from collections.abc import Callable
from typing import Any

from dialogue_gym.envs import DialogueEnv
from dialogue_gym.scoring import scorers
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import SPLITS, Task, TaskSource, task_from_dict, task_sources, task_to_dict
from dialogue_gym.testing.common import check_identity, check_methods, no_error, run_checks

_LONG = 8  # words of a target that no brief may hold


def check_task_source(source: TaskSource, n: int = 24) -> list[str]:
    """Check that a source of tasks keeps the protocol. The first fault ends the check.

    Args:
        source: yours.
        n: draws from each split that is not empty, at least 2.

    Returns:
        What was checked, one line each.

    Raises:
        AssertionError: the first thing that is wrong, in one line; answers and targets are not in it.
        ValueError: ``n`` below 2.

    Example:
        >>> from dialogue_gym.tasks import ProceduralMath
        >>> check_task_source(ProceduralMath())[0]
        'has the kind and the methods of a TaskSource'
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 draws, got {n}")
    checks: list[tuple[str, Callable[[_Checker], None]]] = [
        ("has the kind and the methods of a TaskSource", _check_protocol),
        ("identity is JSON-able and stays the same", _check_identity),
        ("refuses a split that there is not", _check_unknown_split),
        ("draws tasks of its kind and of the split", _check_tasks),
        ("tasks come back from JSON as they were", _check_json_tasks),
        ("facts can be told apart", _check_facts),
        ("tasks can be scored, and briefs do not hand over the target", _check_references),
        ("draw is a pure function of split and key", _check_repeats),
        ("an id names one task", _check_ids),
        ("no task is in two splits", _check_splits),
        ("its tasks can be played", _check_played),
        ("can be copied", _check_copy),
    ]
    return run_checks(checks, _Checker(source, n))


class _Checker:
    """A source under check, and its tasks by split."""

    def __init__(self, source: TaskSource, n: int) -> None:
        self.source, self.n = source, n
        self._tasks: dict[str, list[Task]] = {}

    @property
    def tasks(self) -> dict[str, list[Task]]:
        """The draws of each split that has tasks; drawn once."""
        if not self._tasks:
            self._tasks = {split: drawn for split in SPLITS if (drawn := self._drawn(split))}
            assert self._tasks, f"draw() must find tasks in one of the splits {', '.join(SPLITS)}"
        return self._tasks

    def every_task(self) -> list[Task]:
        """The tasks of all splits."""
        return [task for drawn in self.tasks.values() for task in drawn]

    def draw(self, split: str, number: int) -> Any:
        """The task under the key of this number."""
        with no_error("draw()", f"split {split!r}"):
            return self.source.draw(split, _key(number))

    def _drawn(self, split: str) -> list[Task]:
        try:
            self.source.draw(split, _key(0))
        except ValueError:  # an empty split
            return []
        except Exception as error:
            raise AssertionError(
                f"draw() must raise ValueError for an empty split, got {type(error).__name__} ({split!r})"
            ) from error
        return [self.draw(split, i) for i in range(self.n)]


def _key(number: int) -> NoiseKey:
    return NoiseKey(("check", number, "task"))


def _check_protocol(checker: _Checker) -> None:
    kind = getattr(checker.source, "kind", None)
    assert kind in task_sources, f"a TaskSource needs a kind, 'math' or 'document', got {kind!r}"
    check_methods(checker.source, "TaskSource", "draw", "identity")
    scorer = getattr(checker.source, "default_scorer", None)
    assert scorer is None or scorer in scorers[kind].names(), (
        f"default_scorer must be the name of a {kind} scorer, got {scorer!r}"
    )


def _check_identity(checker: _Checker) -> None:
    check_identity(checker.source, checker.every_task, "tasks are drawn")


def _check_unknown_split(checker: _Checker) -> None:
    try:
        checker.source.draw("no such split", _key(0))
    except ValueError:
        return
    except Exception as error:
        raise AssertionError(
            f"draw() must raise ValueError for an unknown split, got {type(error).__name__}"
        ) from error
    raise AssertionError("draw() must raise ValueError for an unknown split, it drew a task")


def _check_tasks(checker: _Checker) -> None:
    for split, drawn in checker.tasks.items():
        for task in drawn:
            assert isinstance(task, Task), f"draw() must return a Task, got {type(task).__name__}"
            named = isinstance(task.id, str) and bool(task.id)
            assert named, f"a task needs an id, got {task.id!r}"
            for name, right in (("kind", checker.source.kind), ("split", split)):
                value = getattr(task, name)
                assert value == right, f"task {task.id!r} must be of {name} {right!r}, got {value!r}"
            for name in ("goal", "text"):
                assert getattr(task.brief, name).strip(), f"task {task.id!r} needs a {name} in its brief"


def _check_json_tasks(checker: _Checker) -> None:
    for task in checker.every_task():
        with no_error("task_to_dict()", f"task {task.id!r}"):
            back = task_from_dict(task_to_dict(task))
        assert back == task, f"task {task.id!r} must come back from JSON as it was: plain fields, tuples"


def _check_facts(checker: _Checker) -> None:
    for task in checker.every_task():
        facts = task.brief.facts
        for name in ("name", "value"):
            values = [getattr(fact, name) for fact in facts]
            assert len(set(values)) == len(values), f"task {task.id!r} has two facts with the same {name}"
        wrong = {fact.slip for fact in facts} & {fact.value for fact in facts}
        assert not wrong, f"task {task.id!r} has a slip that is the true value of a fact"


def _check_references(checker: _Checker) -> None:
    for task in checker.every_task():
        reference = task.reference
        parts = (reference.answer,) if task.kind == "math" else (reference.text, *reference.facts)
        assert any(part.strip() for part in parts), f"task {task.id!r} has no reference to score by"
        brief = " ".join((task.brief.text, task.brief.goal, *(fact.text for fact in task.brief.facts)))
        target = " ".join(reference.text.split()) if task.kind == "document" else ""
        assert len(target.split()) < _LONG or target not in " ".join(brief.split()), (
            f"the brief of task {task.id!r} holds the whole target text: the user would hand it over"
        )


def _check_repeats(checker: _Checker) -> None:
    for split, drawn in checker.tasks.items():
        again = [checker.draw(split, i) for i in reversed(range(checker.n))]
        assert drawn == again[::-1], (
            f"draw({split!r}, key) must give the same task for the same key, whatever was drawn before"
        )


def _check_ids(checker: _Checker) -> None:
    known: dict[str, Task] = {}
    for task in checker.every_task():
        assert known.setdefault(task.id, task) == task, f"two different tasks have the id {task.id!r}"


def _check_splits(checker: _Checker) -> None:
    known: dict[str, str] = {}
    for split, drawn in checker.tasks.items():
        for task in drawn:
            for name in (task.id, task.brief.text):
                other = known.setdefault(name, split)
                assert other == split, f"task {task.id!r} is in the splits {other!r} and {split!r}"


def _check_played(checker: _Checker) -> None:
    split = next(iter(checker.tasks))
    env = DialogueEnv(checker.source.kind, tasks=checker.source, split=split, max_turns=2)
    with no_error("an environment with these tasks", f"split {split!r}"):
        env.reset(seed=0)
        env.step("What is missing?")
        env.step("The answer is 7.")
    record = env.record()
    assert record.reward is not None, f"a dialogue about task {(record.task or {}).get('id')!r} ends unscored"


def _check_copy(checker: _Checker) -> None:
    with no_error("copy.deepcopy() of the task source", "environments are copied with their parts"):
        copy.deepcopy(checker.source)
