import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.program import Chooser, KeyedChooser, choose, enumerate_paths, flip

weights = st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=4).filter(any)


def walk(chooser: Chooser, tree: list[list[float]]) -> tuple[int, ...]:
    """A program whose decisions depend on those before: each index says how many levels to skip."""
    taken: list[int] = []
    level = 0
    while level < len(tree):
        index = chooser.pick(f"level {level}", tree[level])
        taken.append(index)
        level += 1 + (index == 1)
    return tuple(taken)


@given(st.lists(weights, max_size=5))
def test_paths_are_all_there_once_and_sum_to_one(tree: list[list[float]]) -> None:
    paths = enumerate_paths(lambda chooser: walk(chooser, tree))
    assert math.isclose(sum(probability for _, probability in paths), 1.0)
    assert all(probability > 0 for _, probability in paths)
    assert len({result for result, _ in paths}) == len(paths)


@given(st.lists(weights, max_size=5), st.integers())
def test_what_is_sampled_is_a_path(tree: list[list[float]], seed: int) -> None:
    sampled = walk(KeyedChooser(NoiseKey((seed,))), tree)
    assert sampled in dict(enumerate_paths(lambda chooser: walk(chooser, tree)))
    assert sampled == walk(KeyedChooser(NoiseKey((seed,))), tree)


def test_samples_follow_the_weights() -> None:
    tree = [[1.0, 3.0], [0.0, 1.0, 1.0], [0.2, 0.8]]
    expected = dict(enumerate_paths(lambda chooser: walk(chooser, tree)))
    n = 4000
    counts = dict.fromkeys(expected, 0)
    for i in range(n):
        counts[walk(KeyedChooser(NoiseKey((i,))), tree)] += 1
    statistic = sum((counts[k] - n * p) ** 2 / (n * p) for k, p in expected.items())
    assert statistic < 4 * len(expected)


@given(st.floats(0, 1), st.integers())
def test_certain_flips_are_certain(probability: float, seed: int) -> None:
    chooser = KeyedChooser(NoiseKey((seed,)))
    assert not flip(chooser, "never", 0.0)
    assert flip(chooser, "always", 1.0)
    assert isinstance(flip(chooser, "sometimes", probability), bool)


def test_the_same_decision_made_twice_is_drawn_twice() -> None:
    draws = {
        tuple(flip(chooser, "coin", 0.5) for _ in range(2))
        for chooser in (KeyedChooser(NoiseKey((i,))) for i in range(50))
    }
    assert len(draws) == 4


def test_one_option_is_no_decision() -> None:
    assert enumerate_paths(lambda chooser: choose(chooser, "only", ["x"])) == [("x", 1.0)]
    options = enumerate_paths(lambda chooser: choose(chooser, "which", ["x", "y"]))
    assert options == [("x", pytest.approx(0.5)), ("y", pytest.approx(0.5))]
