"""The outcome split among turns: by hand, sums, and models that do not fit."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.rewards import ImplicitTurnReward, Training, build_turn_reward
from dialogue_gym.rewards.implicit import shares
from tests.rewards.conftest import Scores, record, running


def models(**changes: Any) -> tuple[Scores, Scores]:
    """The reward model likes b's, by 2 nats each; both give the end of a turn -1."""
    liked = Scores(
        lambda context, token: -1.0 if token == "\0" else -2.0 if token == "b" else -4.0, **changes
    )
    return liked, Scores(lambda context, token: -1.0 if token == "\0" else -4.0)


def test_by_hand() -> None:
    reward = ImplicitTurnReward(*models(), beta=0.1, temperature=0.4)
    talked = record("?", "ab", "1", "bbb", "2", "a", "bye", reward=0.8)
    assert reward.turn_values([talked]) == [pytest.approx([0.2, 0.6, 0.0])]
    total = math.exp(0.5) + math.exp(1.5) + 1.0
    expected = [0.8 * math.exp(0.5) / total, 0.8 * math.exp(1.5) / total, 0.8 / total]
    assert reward.rewards([talked]) == [pytest.approx(expected)]


def test_what_is_scored_is_each_reply_after_its_history() -> None:
    liked, plain = models()
    ImplicitTurnReward(liked, plain).rewards([record("?", "ab", "1", "c", "bye")])
    assert liked.asked == plain.asked == [("u:?\na:", "ab\0"), ("u:?\na:ab\nu:1\na:", "c\0")]


@given(
    st.lists(st.tuples(st.lists(st.text("ab", max_size=5), max_size=4), st.floats(-1, 1)), max_size=4),
    st.floats(0.05, 5),
)
def test_rewards_sum_to_the_score_and_have_its_sign(dialogues: Any, temperature: float) -> None:
    reward = ImplicitTurnReward(*models(), temperature=temperature)
    records = [
        record("?", *(text for said in texts for text in (said, "1")), reward=score)
        for texts, score in dialogues
    ]
    for (texts, score), paid in zip(dialogues, reward.rewards(records), strict=True):
        assert paid is not None
        assert len(paid) == len(texts)
        if texts:
            assert sum(paid) == pytest.approx(score)
            assert all(value * score >= 0 for value in paid)


def test_nothing_is_paid_before_the_end() -> None:
    reward = ImplicitTurnReward(*models())
    unscored = record("?", "a", reward=None, end_reason="simulator_failure")
    assert reward.rewards([running("?", "b", "1"), unscored, running("?")]) == [[0.0], None, []]


def test_a_dialogue_that_does_not_fit_has_no_reward() -> None:
    reward = ImplicitTurnReward(*models(max_context=20))
    assert reward.rewards([record("?", "a" * 20, "1"), record("?", "a", "1")]) == [None, [1.0]]


def test_a_far_better_turn_takes_all_without_overflow() -> None:
    assert shares([1e6, 0.0], temperature=0.4) == [1.0, 0.0]


class OtherCodec(Scores):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.codec.identity = lambda: {"codec": "other"}  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.0}, "implicit: beta must be above 0, got 0.0"),
        ({"temperature": -1}, "implicit: temperature must be above 0, got -1"),
        (
            {"reference": OtherCodec(lambda context, token: 0.0)},
            "implicit: model and reference have different tokenizers",
        ),
    ],
)
def test_settings_that_cannot_be(settings: Any, message: str) -> None:
    liked, plain = models()
    with pytest.raises(ValueError, match=message):
        ImplicitTurnReward(liked, **{"reference": plain, **settings})


def test_a_folder_that_holds_none(make_env: Any, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no implicit reward model at .*implicit_reward.json is missing"
    ):
        build_turn_reward({"name": "implicit", "path": str(tmp_path)}, Training(make_env()))
    with pytest.raises(ValueError, match="turn reward 'implicit': missing a required argument: 'path'"):
        build_turn_reward("implicit", Training(make_env()))


def test_from_a_folder(make_env: Any, tmp_path: Path) -> None:
    """A model that has learned nothing splits the score into equal parts."""
    pytest.importorskip("transformers")
    from dialogue_gym.language_models import load_language_model
    from dialogue_gym.language_models.quiet import quiet

    tiny: Any = load_language_model("tiny")
    with quiet():
        tiny.model.save_pretrained(tmp_path)
        tiny.codec.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "implicit_reward.json").write_text(json.dumps({"beta": 0.02, "reference": "tiny"}))
    reward = build_turn_reward({"name": "implicit", "path": str(tmp_path)}, Training(make_env()))
    assert isinstance(reward, ImplicitTurnReward)
    assert reward.beta == 0.02
    talked = record("How many?", "What is the start?", "4", "The answer is 4.", "thanks", reward=0.5)
    assert reward.rewards([talked]) == [pytest.approx([0.25, 0.25])]
    reference: Any = reward.reference
    reference.model.lm_head.weight.data[5] += 0.5
    (values,) = reward.turn_values([talked])
    assert values is not None
    assert values[0] != pytest.approx(values[1])
