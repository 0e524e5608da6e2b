"""Intervals and ceilings: random halves of the dialogues, and bootstrap resamples of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dialogue_gym.seeding import NoiseKey

Floats: TypeAlias = NDArray[np.float64]
Better = Literal["lower", "higher", "equal"]
Evaluator: TypeAlias = Callable[[Floats, Floats], Floats]
"""From weights of the dialogues, for one side and for the other, to a figure for each row of weights."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes:
        value: the figure.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Plain fields."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which dialogues are drawn how often, and which fall into which half; the same for every metric.

    Attributes:
        weights: (1 + resamples, dialogues); ones first, then how often each resample drew each dialogue.
        first: (splits, dialogues), 1.0 for the dialogues of the first half; the second half has as many.
        second: likewise.
    """

    weights: Floats
    first: Floats
    second: Floats

    @property
    def dialogues(self) -> int:
        """Number of dialogues."""
        return int(self.weights.shape[1])

    def halves(self, evaluate: Evaluator) -> Floats:
        """How one side's first halves differ from the other side's second halves; (1 + resamples, splits).

        Copies of a dialogue fall into one half, so that the two sides never share one.
        """
        return np.array([evaluate(w * self.first, w * self.second) for w in self.weights])

    def whole(self, evaluate: Evaluator) -> Floats:
        """A figure of all dialogues; (1 + resamples, 1)."""
        return evaluate(self.weights, self.weights)[:, None]


def make_plan(dialogues: int, *, resamples: int = 200, splits: int = 16, seed: int = 0) -> Plan:
    """A plan for so many dialogues; splits come in mirrored pairs.

    Raises:
        ValueError: fewer than 4 dialogues, 20 resamples or 2 splits.
    """
    for what, value, least in (
        ("dialogues", dialogues, 4), ("resamples", resamples, 20), ("splits", splits, 2)
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{value} {what}, needed are at least {least}")
    rng = NoiseKey(("realism", seed, "plan", dialogues)).generator()
    draws = rng.multinomial(dialogues, np.full(dialogues, 1 / dialogues), size=resamples)
    weights = np.vstack([np.ones(dialogues), draws]).astype(np.float64)
    half, one, other = dialogues // 2, [], []
    for _ in range(splits // 2):
        order = rng.permutation(dialogues)
        masks = np.zeros((2, dialogues))
        masks[0, order[:half]] = 1.0
        masks[1, order[half : 2 * half]] = 1.0
        one += [masks[0], masks[1]]
        other += [masks[1], masks[0]]
    return Plan(weights, np.array(one), np.array(other))


def interval(figures: Floats, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval | None:
    """The interval of a figure that is a mean over splits; None when there is no finite one.

    Resampling biases distances upward (copies make the halves smaller), for people and for simulators
    alike. So the resamples' percentiles are taken around their own mean and laid around the figure.

    Args:
        figures: (1 + resamples, splits), the figure itself first; what is not finite is left out.
        bounds: values that the ends cannot pass.

    Example:
        >>> interval(np.array([[2.0], [1.0], [2.0], [3.0]]), bounds=(1.5, 9.0))
        Interval(value=2.0, low=1.5, high=2.95)
    """
    means = _means(figures)
    return _around(means[0], means[1:], bounds)


def spread(figures: Floats, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval | None:
    """The figure with the range in which single halves and resamples of it lie.

    For figures such as ratios, which cancel over mirrored halves: their mean says nothing of how much
    two groups of people differ.
    """
    return _around(_means(figures)[0], figures[1:].ravel(), bounds)


def _around(value: float, boots: Floats, bounds: tuple[float, float]) -> Interval | None:
    boots = boots[np.isfinite(boots)]
    if not np.isfinite(value) or not len(boots):
        return None
    low, high = np.percentile(boots - boots.mean(), (2.5, 97.5)) + value
    low, high = np.clip((min(low, value), max(high, value)), *bounds)
    return Interval(float(value), float(low), float(high))


def excess(ours: Floats, theirs: Floats, better: Better) -> Interval | None:
    """How much worse or better a simulator's figure is than people's, from the same halves and resamples.

    Where people's own figure is best ("equal", ratios to people), what is compared is the distance from
    1, |ln ratio|, averaged over halves.
    """
    if better == "equal":
        with np.errstate(divide="ignore"):
            ours, theirs = np.abs(np.log(ours)), np.abs(np.log(theirs))
    return interval((_means(ours) - _means(theirs))[:, None])


def is_within(excess: Interval, better: Better) -> bool:
    """Whether a simulator is no worse than people, as far as the interval of its excess can tell."""
    return excess.high >= 0.0 if better == "higher" else excess.low <= 0.0


def _means(figures: Floats) -> Floats:
    """Means over splits of what is finite; NaN where nothing is."""
    known = np.isfinite(figures)
    sums, counts = np.where(known, figures, 0.0).sum(axis=1), known.sum(axis=1)
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return means
