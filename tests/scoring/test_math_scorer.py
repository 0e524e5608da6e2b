"""The scorer of math dialogues."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.dialogue import Conversation
from dialogue_gym.scoring import MathScorer, Scorer, scorers
from dialogue_gym.tasks.base import Brief, Reference, Task

TASK = Task("t", "math", Brief("how many left?", (), "12 - 5"), Reference(answer="7"), "test")


def talk(*agent: str) -> Conversation:
    return [
        m
        for text in agent
        for m in ({"role": "user", "content": "hm"}, {"role": "assistant", "content": text})
    ]  # type: ignore[misc]


def test_right_wrong_and_unanswered() -> None:
    scorer = MathScorer()
    assert scorer.score(TASK, talk("It is 7.", "You're welcome!")).metrics == {
        "accuracy": 1.0,
        "answered": 1.0,
        "words": 5.0,
        "cost": 0.0,
    }
    wrong, silent = scorer.score(TASK, talk("It is 8.")), scorer.score(TASK, talk("Is it 7?"))
    assert (wrong.reward, wrong.metrics["answered"]) == (0.0, 1.0)
    assert (silent.reward, silent.metrics["answered"]) == (0.0, 0.0)
    assert scorer.score(TASK, ()).reward == 0.0


def test_costs() -> None:
    score = MathScorer(cost_per_word=0.01, cost_per_token=0.001, count_tokens=len).score(
        TASK, talk("It is 7.")
    )
    assert score.reward == pytest.approx(1 - 0.03 - 0.008)
    assert score.metrics["tokens"] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost_per_word": -1}, "cost_per_word is -1"),
        ({"cost_per_word": math.nan}, "cost_per_word is nan"),
        ({"cost_per_token": 0.1}, "without count_tokens"),
        ({"timeout_s": 0}, "timeout_s is 0"),
    ],
)
@pytest.mark.parametrize(("kind", "name"), [("math", "answer"), ("document", "facts_and_bleu")])
def test_bad_settings(kind: str, name: str, options: dict[str, float], message: str) -> None:
    if kind == "document" and "timeout_s" in options:
        message = "has no option 'timeout_s'"
    with pytest.raises(ValueError, match=message):
        scorers[kind].build({"name": name, **options})  # type: ignore[index]


def test_registered() -> None:
    scorer = scorers["math"].build({"name": "answer", "cost_per_word": 0.5})
    assert isinstance(scorer, Scorer)
    assert scorer.identity() == {
        "name": "answer",
        "timeout_s": 2.0,
        "cost_per_word": 0.5,
        "cost_per_token": 0.0,
    }


@given(st.lists(st.text(max_size=80), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_text_scores_0_or_1(messages: list[str]) -> None:
    score = MathScorer().score(TASK, talk(*messages))
    assert score.reward in (0.0, 1.0)
    assert all(math.isfinite(value) for value in score.metrics.values())
