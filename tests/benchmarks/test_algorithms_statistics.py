"""Comparisons over few runs, by rliable's definitions, against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.algorithms.statistics import interquartile_mean, interval, probability_of_improvement


def table(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def test_interquartile_mean_by_hand() -> None:
    """Of eight scores of two environments the two lowest and the two highest are left out."""
    scores = table([0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [3.0, 4.0])
    assert interquartile_mean(scores) == pytest.approx((2 + 3 + 4 + 8) / 4)
    assert interquartile_mean(table([1.0], [2.0], [6.0])) == pytest.approx(3.0)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_interquartile_mean_is_scipy_s_trimmed_mean(scores: list[float]) -> None:
    """Which rliable uses."""
    assert interquartile_mean(table(*([x] for x in scores))) == pytest.approx(stats.trim_mean(scores, 0.25))


def test_probability_of_improvement_by_hand() -> None:
    """Six pairs in the first environment (3 won, 1 tied), in the second all won: (3.5 / 6 + 1) / 2."""
    first, second = table([1.0, 5.0], [3.0, 6.0], [2.0, 7.0]), table([2.0, 1.0], [1.5, 0.0])
    won = (0 + 0 + 1 + 1 + 0.5 + 1) / 6
    assert probability_of_improvement(first, second) == pytest.approx((won + 1) / 2)


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=8), st.lists(st.integers(0, 4), min_size=2, max_size=8)
)
def test_probability_of_improvement_is_mann_whitney_s(first: list[int], second: list[int]) -> None:
    a, b = (table(*([float(x)] for x in side)) for side in (first, second))
    p = probability_of_improvement(a, b)
    assert p == pytest.approx(stats.mannwhitneyu(first, second).statistic / (len(first) * len(second)))
    assert p + probability_of_improvement(b, a) == pytest.approx(1.0)


def test_intervals_resample_runs_within_environments() -> None:
    """Environments are never mixed: where each has equal runs, nothing varies, however far apart they are."""
    scores = table(*([0.0, 1.0] for _ in range(4)))
    assert interval(interquartile_mean, [scores], ("same",)) == (0.5, 0.5)
    varied = table([0.0], [1.0])
    low, high = interval(interquartile_mean, [varied], ("varied",))
    assert (low, high) == (0.0, 1.0)
    assert interval(interquartile_mean, [varied], ("varied",)) == (low, high)
    assert interval(interquartile_mean, [table([0.0, 1.0])], ("one",)) == (None, None)


def test_intervals_cover_as_often_as_they_say() -> None:
    """Ten runs, 95 %: percentile intervals of so few are a little too narrow, and not by much."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        low, high = interval(interquartile_mean, [rng.normal(size=(10, 1))], ("cover",))
        assert low is not None
        assert high is not None
        covered += low <= 0.0 <= high
    assert covered >= 48
