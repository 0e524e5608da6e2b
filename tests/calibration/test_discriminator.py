from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dialogue_gym.calibration.discriminator import (
    EncoderDiscriminator,
    Exchange,
    FeatureDiscriminator,
    NgramDiscriminator,
    two_sample_auc,
    weighted_auc,
)
from dialogue_gym.calibration.turn_numbers import turn_numbers
from dialogue_gym.language_models import load_language_model
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, UserReply, UserRequest
from dialogue_gym.tasks.base import Brief

QUESTIONS = ("How many marbles does Tom have?", "When is the party?", "Is that what you wanted?")
PEOPLE = ("12", "it's 12 i think", "friday", "ok thanks", "no, 9 not 7", "hm not sure", "3 of them", "why?")


def exchange(text: str, number: int, stop: bool = False) -> Exchange:
    conversation = (
        {"role": "user", "content": "help me"},
        {"role": "assistant", "content": QUESTIONS[number % len(QUESTIONS)]},
    )
    key = NoiseKey(("test", number))
    brief = Brief("goal", (), "text")
    return UserRequest(number, "math", brief, Persona(), conversation, key), UserReply(text, stop)


def drawn(count: int, seed: int) -> list[Exchange]:
    key = NoiseKey((seed,))
    return [exchange(key.child(i).choice(PEOPLE), i) for i in range(count)]


def template(count: int) -> list[Exchange]:
    return [exchange("I would be glad to tell you: the value is twelve.", i) for i in range(count)]


def sides(people: list[Exchange], others: list[Exchange]) -> tuple[list[Exchange], list[int], list[int]]:
    """Both in one list, two turns a dialogue."""
    turns = [*people, *others]
    return turns, [1] * len(people) + [0] * len(others), [i // 2 for i in range(len(turns))]


def test_identical_samples_cannot_be_told_apart() -> None:
    auc = two_sample_auc(NgramDiscriminator(), *sides(drawn(200, 1), drawn(200, 2)))
    assert auc == pytest.approx(0.5, abs=0.08)


def test_a_template_is_told_apart() -> None:
    assert two_sample_auc(NgramDiscriminator(), *sides(drawn(80, 1), template(80))) > 0.95


def test_logits_are_higher_for_people_and_depend_on_the_stop_flag() -> None:
    people = [exchange("ok", i, stop=True) for i in range(30)]
    others = [exchange("ok", i, stop=False) for i in range(30)]
    turns, labels, groups = sides(people, others)
    logits = NgramDiscriminator().fit(turns, labels, groups).logit(turns)
    assert logits[:30].min() > 1.0
    assert logits[30:].max() < -1.0


def test_the_same_data_give_the_same_logits() -> None:
    turns, labels, groups = sides(drawn(40, 1), template(40))
    first, second = (NgramDiscriminator().fit(turns, labels, groups).logit(turns) for _ in range(2))
    assert (first == second).all()


def test_calibrated_logits_of_what_cannot_be_told_apart_are_near_zero() -> None:
    turns, labels, groups = sides(drawn(150, 1), drawn(150, 2))
    raw = NgramDiscriminator().fit(turns, labels)
    calibrated = NgramDiscriminator().fit(turns, labels, groups)
    fresh = drawn(100, 3)
    assert np.abs(calibrated.logit(fresh)).mean() < np.abs(raw.logit(fresh)).mean()


def test_held_out_dialogues_are_whole() -> None:
    """Each dialogue says its own word twice: a classifier that saw one half of it would know the other."""
    turns = [exchange(f"unique{i // 2}word", 0) for i in range(120)]
    groups = [i // 2 for i in range(120)]
    labels = [NoiseKey(("label", g)).integer(0, 1) for g in groups]
    assert two_sample_auc(NgramDiscriminator(), turns, labels, groups) < 0.7


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1), st.integers(0, 3)), min_size=4, max_size=30))
def test_weighted_auc_is_that_of_repeated_rows(rows: list[tuple[int, int, int]]) -> None:
    repeated = [(s, y) for s, y, w in rows for _ in range(w)]
    scores, labels, weights = (np.array(column) for column in zip(*rows, strict=True))
    auc = weighted_auc(scores.astype(float), labels, weights[None].astype(float))[0]
    if len({y for _, y in repeated}) < 2:
        assert np.isnan(auc)
    else:
        assert auc == pytest.approx(roc_auc_score([y for _, y in repeated], [s for s, _ in repeated]))


def test_an_encoder_tells_a_template_apart() -> None:
    encoder = EncoderDiscriminator(load_language_model("tiny"))
    assert two_sample_auc(encoder, *sides(drawn(30, 1), template(30))) > 0.95


CASUAL = ("yeah", "dude", "gotta", "kinda", "lemme", "dunno", "nope", "cuz")
FORMAL = ("well", "miss", "ought", "quite", "allow", "doubt", "then", "yet")
"""Words as long as the casual ones, one by one."""


def styled(count: int, vocabulary: tuple[str, ...], seed: int = 0) -> list[Exchange]:
    """Replies of six words in orders that follow from the seed: the same places of any vocabulary."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(vocabulary))[:6] for _ in range(count)]
    return [exchange(" ".join(vocabulary[w] for w in order), i) for i, order in enumerate(orders)]


def test_a_head_separates_styles_that_the_language_model_alone_can_see() -> None:
    casual, formal = styled(120, CASUAL), styled(120, FORMAL)
    # as long, and none of the words was said before: the numbers say nothing
    assert [turn_numbers(*turn) for turn in casual] == [turn_numbers(*turn) for turn in formal]
    encoder = EncoderDiscriminator(load_language_model("tiny"))
    assert two_sample_auc(encoder, *sides(casual, formal)) > 0.95
    assert two_sample_auc(encoder, *sides(casual, styled(120, CASUAL, seed=1))) == pytest.approx(
        0.5, abs=0.15
    )


def test_the_language_model_of_an_encoder_stays_as_it_is() -> None:
    language_model: Any = load_language_model("tiny")
    before = {name: weight.clone() for name, weight in language_model.model.state_dict().items()}
    turns, labels, groups = sides(styled(12, CASUAL), styled(12, FORMAL))
    EncoderDiscriminator(language_model).fit(turns, labels, groups)
    assert all(weight.equal(before[name]) for name, weight in language_model.model.state_dict().items())
    assert all(weight.grad is None for weight in language_model.model.parameters())


def test_an_encoder_does_not_depend_on_the_batch() -> None:
    turns = [*drawn(7, 1), exchange("", 3), exchange("long " * 2000, 4)]
    one, many = (
        EncoderDiscriminator(load_language_model("tiny"), batch_size=n).features(turns) for n in (1, 9)
    )
    assert one == pytest.approx(many, abs=1e-4)


def test_bad_input_is_named() -> None:
    turns = drawn(4, 1)
    with pytest.raises(ValueError, match="labels must be 4 numbers, 1 for people"):
        NgramDiscriminator().fit(turns, [1, 1, 1, 1])
    with pytest.raises(ValueError, match="a side has 1 dialogue"):
        two_sample_auc(NgramDiscriminator(), turns, [1, 1, 1, 0], [0, 0, 1, 2])
    with pytest.raises(ValueError, match="call fit first"):
        NgramDiscriminator().logit(turns)
    with pytest.raises(ValueError, match="got str"):
        EncoderDiscriminator("tiny")


def test_nothing_to_judge_gives_nothing() -> None:
    turns, labels, _ = sides(drawn(10, 1), template(10))
    discriminator: FeatureDiscriminator = NgramDiscriminator().fit(turns, labels)
    assert discriminator.logit([]).shape == (0,)
