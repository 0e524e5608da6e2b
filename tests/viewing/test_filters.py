"""Filters: what fits, and what is said of those that cannot be."""

from typing import Any

import pytest

from dialogue_gym.viewing import apply_filters, entries

MODEL = {"name": "prompted", "model": {"path": "m/n"}}


@pytest.fixture
def log(make: Any, people: Any) -> Any:
    return entries(
        [
            make(
                "Sure! I can help you.",
                "What?",
                "42",
                reward=0.25,
                persona={"patience": 4, "lowercase": True},
            ),
            make("hi", "Hello", reward=None, end_reason="simulator_failure", metrics={}),
            make(
                "how many?",
                "7",
                "no",
                "6",
                task_seed=9,
                simulator={"name": "prompted", "model": {"path": "m/n"}},
            ),
            people("how do I add?", "count on", extra={"source": {"file": "here.json"}}),
        ]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("score<0.5", [1]), ("score>=1", [3]), ("score=none", [2, 4]), ("score!=none", [1, 3]),
        ("score!=1", [1]), ("end=user_stop", [1, 3]), ("end=none", [4]), ("end!=user_stop", [2]),
        ("simulator=people", [4]), ("simulator~m/N", [3]), ("simulator!=scripted", [3, 4]), ("turns>1", [3]),
        ("policy=unknown", [4]), ("split=", [4]), ("split=none", [4]), ("task=apples-1", [1, 2, 3]),
        ("seed=9", [3]), ("seed=none", [4]), ("flag=role break", [1]), ("flag=none", [2, 3, 4]),
        ("text~HOW", [3, 4]),
        ("persona.patience<5", [1]), ("persona.lowercase=true", [1]), ("persona.patience=none", [4]),
        ("metrics.accuracy=1", [1, 3]), ("env~math", [1, 2, 3, 4]), (" score < 0.5 ", [1]),
    ],
)  # fmt: skip
def test_what_fits(log: Any, text: str, expected: list[int]) -> None:
    assert [entry.number for entry in apply_filters(log, [text])] == expected


def test_all_must_fit(log: Any) -> None:
    assert [e.number for e in apply_filters(log, ["simulator=scripted", "score!=none"])] == [1]
    assert apply_filters(log, []) == log


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scor<1", "filter 'scor<1': unknown field 'scor': did you mean 'score'?"),
        ("score", "filter 'score' should be FIELD OP VALUE, such as 'score<0.5' or 'end=user_stop'"),
        ("score<low", "filter 'score<low': 'low' should be a number"),
        ("score=nan", "filter 'score=nan': 'nan' should be a number"),
        ("end=user_stopp", "did you mean 'user_stop'?"),
        ("flag=leek", "did you mean 'leak'?"),
        ("persona.patient>2", "no dialogue has 'persona.patient': did you mean 'patience'?"),
        ("metrics.bleu>0", "no dialogue has 'metrics.bleu': valid names: 'accuracy'"),
        ("persona", "should be FIELD OP VALUE"),
        ("personas.x=1", "unknown field 'personas.x'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(log: Any, text: str, said: str) -> None:
    with pytest.raises(ValueError, match="filter") as error:
        apply_filters(log, [text])
    assert said in str(error.value)
    assert "\n" not in str(error.value)
