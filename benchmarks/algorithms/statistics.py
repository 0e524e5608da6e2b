"""Comparing algorithms over few runs: the definitions of rliable (Agarwal et al. 2021, arXiv 2108.13264).

Scores are (runs, environments); runs of an environment are exchangeable, environments are strata.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dialogue_gym.seeding import NoiseKey

RESAMPLES = 2000
Floats = NDArray[np.float64]


def interquartile_mean(scores: Floats) -> float:
    """The mean of the middle half of all scores, environments taken together.

    A quarter of the scores, rounded down, is left out on each side (``scipy.stats.trim_mean`` at 0.25, as
    rliable has it); with fewer than four it is the mean.

    Example:
        >>> interquartile_mean(np.array([[0.0], [0.4], [0.6], [9.0]]))
        0.5
    """
    flat = np.sort(scores, axis=None)
    cut = len(flat) // 4
    return float(flat[cut : len(flat) - cut].mean())


def probability_of_improvement(first: Floats, second: Floats) -> float:
    """How likely a run of the first is better than one of the second, in an environment drawn at random.

    The Mann-Whitney statistic of each environment over the number of pairs, ties count one half; then the
    mean over environments.

    Example:
        >>> probability_of_improvement(np.array([[0.2], [0.6]]), np.array([[0.2], [0.4]]))
        0.625
    """
    gaps = first[:, None, :] - second[None, :, :]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=(0, 1)).mean())


def interval(
    statistic: Callable[..., float], scores: Sequence[Floats], key: tuple[str, ...]
) -> tuple[float, float] | tuple[None, None]:
    """The 95 % percentile interval of a stratified bootstrap; None where there is but one run.

    Runs are drawn anew with replacement within each environment, and for each algorithm apart.

    Args:
        statistic: of as many tables of scores as there are.
        scores: tables (runs, environments).
        key: names the draws.
    """
    if min(len(table) for table in scores) < 2:
        return None, None
    rng = NoiseKey(("algorithms bootstrap", *key)).generator()
    found = [statistic(*(_resampled(table, rng) for table in scores)) for _ in range(RESAMPLES)]
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def _resampled(scores: Floats, rng: np.random.Generator) -> Floats:
    drawn: Floats = np.take_along_axis(scores, rng.integers(0, len(scores), scores.shape), axis=0)
    return drawn
