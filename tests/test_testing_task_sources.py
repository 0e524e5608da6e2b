"""The conformance check passes good sources of tasks and names what is wrong with broken ones."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import Brief, Fact, Pieces, ProceduralDocuments, ProceduralMath, Reference, Task
from dialogue_gym.tasks.base import check_split
from dialogue_gym.testing import check_task_source


@pytest.mark.parametrize("source", [ProceduralMath(), ProceduralDocuments(), Pieces()])
def test_our_sources_conform(source: Any) -> None:
    checked = check_task_source(source)
    assert len(checked) == len(set(checked)) == 12


class Minimal:
    """The least that conforms; broken ones below change one thing."""

    kind: Any = "math"

    def draw(self, split: str, key: NoiseKey) -> Any:
        check_split(split)
        return self.task(split, key.integer(1, 10**9))

    def task(self, split: str, number: int) -> Any:
        fact = Fact("start", str(number), f"there are {number}", slip=str(number + 1))
        brief = Brief("how many?", (fact,), f"{split} {number}, how many?")
        return Task(f"{split}-{number}", "math", brief, Reference(answer=str(number)), split)

    def identity(self) -> Any:
        return {"name": "minimal"}


def test_the_least_source_conforms() -> None:
    assert len(check_task_source(Minimal())) == 12


def test_a_source_may_have_an_empty_split() -> None:
    class TrainOnly(Minimal):
        def draw(self, split: str, key: NoiseKey) -> Any:
            check_split(split, ["train"])
            return super().draw(split, key)

    check_task_source(TrainOnly())


class Kindless(Minimal):
    kind = None


class NoDraw(Minimal):
    draw = None  # type: ignore[assignment]


class UnknownScorer(Minimal):
    default_scorer = "nobody"


class IdentityOfObjects(Minimal):
    def identity(self) -> Any:
        return {"name": "x", "file": object()}


class AnySplit(Minimal):
    def draw(self, split: str, key: NoiseKey) -> Any:
        return self.task(split, key.integer(1, 10**9))


class KeyErrors(Minimal):
    def draw(self, split: str, key: NoiseKey) -> Any:
        return self.task({"train": "train", "validation": "validation", "test": "test"}[split], 3)


class Empty(Minimal):
    def draw(self, split: str, key: NoiseKey) -> Any:
        raise ValueError("no task")


class Dicts(Minimal):
    def task(self, split: str, number: int) -> Any:
        return {"id": number}


class OtherKind(Minimal):
    def task(self, split: str, number: int) -> Any:
        return replace(super().task(split, number), kind="document")


class OtherSplit(Minimal):
    def task(self, split: str, number: int) -> Any:
        return replace(super().task(split, number), split="train")


class NoId(Minimal):
    def task(self, split: str, number: int) -> Any:
        return replace(super().task(split, number), id="")


class NoGoal(Minimal):
    def task(self, split: str, number: int) -> Any:
        task = super().task(split, number)
        return replace(task, brief=replace(task.brief, goal=" "))


class Lists(Minimal):
    def task(self, split: str, number: int) -> Any:
        task = super().task(split, number)
        return replace(task, brief=replace(task.brief, facts=list(task.brief.facts)))


class TwinFacts(Minimal):
    def task(self, split: str, number: int) -> Any:
        task = super().task(split, number)
        return replace(task, brief=replace(task.brief, facts=task.brief.facts * 2))


class TrueSlip(Minimal):
    def task(self, split: str, number: int) -> Any:
        task = super().task(split, number)
        fact = replace(task.brief.facts[0], slip=str(number))
        return replace(task, brief=replace(task.brief, facts=(fact,)))


class NoAnswer(Minimal):
    def task(self, split: str, number: int) -> Any:
        return replace(super().task(split, number), reference=Reference(answer=" "))


class Streamed(Minimal):
    drawn = 0

    def draw(self, split: str, key: NoiseKey) -> Any:
        check_split(split)
        Streamed.drawn += 1
        return self.task(split, Streamed.drawn)


class OneId(Minimal):
    def task(self, split: str, number: int) -> Any:
        return replace(super().task(split, number), id="task")


class Straddles(Minimal):
    def task(self, split: str, number: int) -> Any:
        return replace(super().task("", number), split=split, id=f"{split}-{number}")


class HoldsALock(Minimal):
    def __init__(self) -> None:
        self.lock = threading.Lock()


BROKEN = [
    (Kindless, "needs a kind, 'math' or 'document', got None"),
    (NoDraw, r"needs a method draw\(\)"),
    (UnknownScorer, "default_scorer must be the name of a math scorer, got 'nobody'"),
    (IdentityOfObjects, r"identity\(\) must be JSON-able"),
    (AnySplit, "must raise ValueError for an unknown split, it drew a task"),
    (KeyErrors, "must raise ValueError for an unknown split, got KeyError"),
    (Empty, "must find tasks in one of the splits"),
    (Dicts, "must return a Task, got dict"),
    (OtherKind, "must be of kind 'math', got 'document'"),
    (OtherSplit, "must be of split 'validation', got 'train'"),
    (NoId, "a task needs an id, got ''"),
    (NoGoal, "needs a goal in its brief"),
    (Lists, "must come back from JSON as it was"),
    (TwinFacts, "has two facts with the same name"),
    (TrueSlip, "has a slip that is the true value of a fact"),
    (NoAnswer, "has no reference to score by"),
    (Streamed, "must give the same task for the same key"),
    (OneId, "two different tasks have the id 'task'"),
    (Straddles, "is in the splits 'train' and 'validation'"),
    (HoldsALock, r"copy.deepcopy\(\) of the task source raised TypeError"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_each_fault_is_found_and_said_in_one_line(broken: type[Minimal], message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        check_task_source(broken())
    assert "\n" not in str(caught.value)


def test_a_brief_that_hands_over_the_target_is_found_and_not_repeated() -> None:
    class Leaky(Minimal):
        kind = "document"

        def task(self, split: str, number: int) -> Any:
            target = f"Dear all, the club meets on day {number} at five."
            brief = Brief("a notice", (), f"Please write: {target}")
            return Task(f"{split}-{number}", "document", brief, Reference(text=target), split)

    with pytest.raises(AssertionError, match="holds the whole target text") as caught:
        check_task_source(Leaky())
    assert "club" not in str(caught.value)


def test_tasks_that_cannot_be_played_are_found() -> None:
    class OnlyForTheCheck(Minimal):
        """Knows the check's keys alone."""

        def draw(self, split: str, key: NoiseKey) -> Any:
            if key.path[0] != "check":
                raise RuntimeError("no such row")
            return super().draw(split, key)

    with pytest.raises(AssertionError, match="an environment with these tasks raised RuntimeError"):
        check_task_source(OnlyForTheCheck())


def test_two_draws_are_the_least() -> None:
    with pytest.raises(ValueError, match="n must be at least 2 draws, got 1"):
        check_task_source(Minimal(), n=1)
