"""What the default features say of a dialogue."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.wrappers import DEFAULT_FEATURES, FeatureReader

read = FeatureReader()


def dialogue(*texts: str) -> list[Any]:
    return [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]


def named(conversation: Any, left: int = 6) -> dict[str, float]:
    return dict(zip(DEFAULT_FEATURES, read(conversation, left).tolist(), strict=True))


def test_each_feature_by_hand() -> None:
    found = named(dialogue("Tom has 12 apples, eats 3", "How many are left?", "sorry, not 3, is it?"), left=3)
    assert found == pytest.approx(
        {
            "turns_left": 0.75,
            "turns_taken": 0.1,
            "numbers_told": 0.2,
            "questions_asked": 0.1,
            "agent_asked": 1.0,
            "user_words": np.log1p(5) / np.log1p(60),
            "user_number": 1.0,
            "user_asks": 1.0,
            "user_objects": 1.0,
            "user_is_done": 0.0,
        }
    )


@pytest.mark.parametrize(
    "text", ["that's all I know", "That's it.", "there is nothing else", "I told you everything"]
)
def test_the_end_of_what_is_known(text: str) -> None:
    assert named(dialogue("hi", "And?", text))["user_is_done"] == 1.0


@given(st.lists(st.text(max_size=200), max_size=30), st.integers(0, 50))
def test_every_dialogue_is_in_the_space(texts: list[str], left: int) -> None:
    assert read(dialogue(*texts), left) in read.space


def test_features_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="features must name at least one function"):
        FeatureReader({})
    with pytest.raises(ValueError, match="feature 'a' must be a function, got int"):
        FeatureReader({"a": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"feature 'a' must be a number from 0 to 1, got 2\.0"):
        FeatureReader({"a": lambda conversation, left: 2.0})(dialogue("hi"), 1)
    with pytest.raises(ValueError, match="feature 'a' must be a number from 0 to 1, got nan"):
        FeatureReader({"a": lambda conversation, left: float("nan")})(dialogue("hi"), 1)
