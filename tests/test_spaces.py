"""Text by length and conversations."""

import copy
import pickle

import pytest
from gymnasium.vector.utils import batch_space, create_empty_array
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.spaces import Text, conversation_space

any_text = st.text(st.characters(exclude_categories=()))


@given(any_text)
def test_any_unicode_is_a_member(text):
    assert text in Text()
    assert ({"role": "user", "content": text},) in conversation_space()


@given(any_text, st.integers(0, 5), st.integers(0, 5))
def test_membership_is_by_length(text, shortest, more):
    space = Text(shortest + more, min_length=shortest)
    assert (text in space) == (shortest <= len(text) <= shortest + more)


@pytest.mark.parametrize("value", [None, 3, b"x", ["x"], ("x",)])
def test_other_types_are_no_members(value):
    assert value not in Text()


@given(st.integers(0, 2**31 - 1))
def test_samples_are_short_ascii_and_seeded(seed):
    sample = Text(seed=seed).sample()
    assert sample.isascii()
    assert len(sample) <= 64
    assert sample == Text(seed=seed).sample()
    assert sample in Text()


def test_samples_respect_the_bounds():
    space = Text(102, min_length=100, seed=1)
    assert all(space.sample() in space for _ in range(20))


@pytest.mark.parametrize("space", [Text(9), conversation_space(), batch_space(conversation_space(), 3)])
def test_copies_and_pickles_are_equal(space):
    assert copy.deepcopy(space) == space == pickle.loads(pickle.dumps(space))


def test_unequal_spaces():
    assert Text(3) != Text(4)
    assert Text(3, min_length=1) != Text(3)
    assert Text(3) != conversation_space()


def test_repr_is_small():
    assert len(repr(conversation_space())) < 150


@pytest.mark.parametrize(
    "value",
    [
        [],
        ({"role": "user"},),
        ({"role": "user", "content": 3},),
        ({"role": "user", "content": "x", "extra": "y"},),
        ("hi",),
        "hi",
    ],
)
def test_what_is_no_conversation(value):
    assert value not in conversation_space()


def test_batches_are_tuples_of_rows():
    assert create_empty_array(conversation_space(), 2) == ((), ())
    assert create_empty_array(Text(), 2) == ("", "")
    sample = batch_space(conversation_space(), 2).sample()
    assert all(row in conversation_space() for row in sample)


def test_a_copy_goes_on_by_itself():
    space = Text(seed=1)
    other = copy.deepcopy(space)
    drawn = [space.sample() for _ in range(3)]
    assert [other.sample() for _ in range(3)] == drawn
    assert copy.deepcopy(space) == space
    other.seed(2)
    assert other.sample() != space.sample()
