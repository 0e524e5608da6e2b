"""The conformance check passes good scorers and names what is wrong with broken ones."""

import random
import threading
from typing import Any

import numpy as np
import pytest

from dialogue_gym.scoring import CharBleuScorer, DocumentScorer, MathScorer, Score, answers_equal, last_answer
from dialogue_gym.tasks import Pieces
from dialogue_gym.testing import check_scorer


def test_our_scorers_conform() -> None:
    assert len(check_scorer(MathScorer())) == 12
    assert len(check_scorer(DocumentScorer(), "document")) == 12
    assert len(check_scorer(CharBleuScorer(), "document", tasks=Pieces())) == 12


class Minimal:
    """The least that conforms; broken ones below change one thing."""

    def score(self, task: Any, conversation: Any) -> Any:
        answer = last_answer(conversation)
        return Score(float(answer is not None and answers_equal(answer, task.reference.answer)))

    def identity(self) -> dict[str, Any]:
        return {"name": "minimal"}


def test_the_least_scorer_conforms() -> None:
    assert check_scorer(Minimal()) == check_scorer(MathScorer())
    assert len(check_scorer(Minimal(), deterministic=False)) == 9


class NoScore(Minimal):
    score = None  # type: ignore[assignment]


class Nameless(Minimal):
    def identity(self) -> dict[str, Any]:
        return {}


class CountingIdentity(Minimal):
    calls = 0

    def score(self, task: Any, conversation: Any) -> Any:
        self.calls += 1
        return super().score(task, conversation)

    def identity(self) -> dict[str, Any]:
        return {"name": "counting", "calls": self.calls}


class Number(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return 1.0


class Nan(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(float("nan"))


class Passed(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(True)


class MissingAsNan(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(0.0, {"quality": float("nan")})


class MissingAsNone(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(0.0, {"quality": None})  # type: ignore[dict-item]


class NeedsAnAnswer(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(float([m for m in conversation if m["role"] == "assistant"][-1]["content"] == "7"))


class Edits(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        if isinstance(conversation, list):
            conversation.pop()
        return Score(0.0)


class SplitsWords(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(float(all(m["content"].split()[0] for m in conversation)))


class NeedsFacts(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(1.0 / len(task.brief.facts))


class MainThreadOnly(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("signal only works in main thread")
        return super().score(task, conversation)


class HoldsAModel(Minimal):
    def __init__(self) -> None:
        self.weights = np.zeros(400_000)


class Noisy(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(random.random())


class ListsOnly(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(float(isinstance(conversation, list)))


class ReadsUsers(Minimal):
    def score(self, task: Any, conversation: Any) -> Any:
        return Score(float(any(task.reference.answer in m["content"] for m in conversation)))


BROKEN = [
    (NoScore, r"a Scorer needs a method score\(\)"),
    (Nameless, "needs a field 'name'"),
    (CountingIdentity, "must not change when dialogues are scored"),
    (Number, "must return a Score, got float"),
    (Nan, "Score.reward .* must be finite, got nan"),
    (Passed, "Score.reward .* must be a number, got bool"),
    (MissingAsNan, "metric 'quality' .*leave out what could not be measured.* must be finite"),
    (MissingAsNone, "metric 'quality' .* must be a number, got NoneType"),
    (NeedsAnAnswer, r"score\(\) raised IndexError.*the agent has said nothing"),
    (Edits, "must not change a conversation"),
    (SplitsWords, r"score\(\) raised IndexError.*without a word"),
    (NeedsFacts, r"score\(\) raised ZeroDivisionError.*a task without facts"),
    (MainThreadOnly, r"outside the main thread: score\(\) raised ValueError"),
    (HoldsAModel, "copying the scorer copies 3,20"),
    (Noisy, "equal dialogues must get equal scores"),
    (ListsOnly, "a tuple must score as a list does"),
    (ReadsUsers, "the reward must be for the agent's work alone"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_each_fault_is_found_and_said_in_one_line(broken: type[Minimal], message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        check_scorer(broken())
    assert "\n" not in str(caught.value)


def test_odd_texts_are_tried() -> None:
    class Careful(Minimal):
        def score(self, task: Any, conversation: Any) -> Any:
            assert all(len(m["content"]) < 10_000 for m in conversation), "too long"
            return super().score(task, conversation)

    with pytest.raises(AssertionError, match=r"too long \(the agent said 1000000 characters\)"):
        check_scorer(Careful())


def test_a_task_must_stay_as_it_is() -> None:
    class Tampers(Minimal):
        def score(self, task: Any, conversation: Any) -> Any:
            object.__setattr__(task.reference, "answer", "0")
            return Score(0.0)

    with pytest.raises(AssertionError, match="must not change a task"):
        check_scorer(Tampers())


def test_noise_is_allowed_where_it_is_asked_for() -> None:
    check_scorer(Noisy(), deterministic=False)


def test_two_tasks_are_the_least() -> None:
    with pytest.raises(ValueError, match="n must be at least 2 tasks, got 1"):
        check_scorer(Minimal(), n=1)
