"""What metrics are made of: sums over dialogues, and figures of those sums.

Nearly every metric here depends on a set of dialogues only through sums over them (counts, histograms,
totals by turn). So each dialogue becomes one vector, and thousands of halves and resamples cost one matrix
product each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dialogue_gym.calibration.realism.resampling import Better, Evaluator, Floats, Plan
from dialogue_gym.calibration.realism.speech import Speaker, SpokenDialogue, SpokenTurn
from dialogue_gym.calibration.realism.validity import KEPT

NOTHING_SAID = "there is no turn in which the log's user speaks and the simulator does not just leave"

Measure: TypeAlias = Callable[[Any, Any, Plan], Floats]
"""From two sides (speakers, or dialogues that ran freely) and a plan to (1 + resamples, splits) figures."""


class NotAvailable(Exception):
    """A metric cannot be computed from this input; the message says why in one clause."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of realism.

    Attributes:
        name: unique.
        group: "fit", "diversity", "leakage", "style", "flow", "roles" or "outcome".
        better: which way is better; "equal" where people's own figure is best.
        unit: of the figure.
        of: what it compares: "turns" in the same contexts, or "dialogues" that ran freely.
        source: where the metric comes from.
        measure: computes it.
        bounds: values that it cannot pass.
        validity: its measured rank correlation with an exact divergence; None where it was not measured.
    """

    name: str
    group: str
    better: Better
    unit: str
    of: str
    source: str
    measure: Measure
    bounds: tuple[float, float] = (0.0, np.inf)
    validity: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it follows the exact divergence well enough to count in the verdict on a simulator."""
        return self.validity is not None and self.validity >= KEPT


def ratio(top: Floats, bottom: Floats) -> Floats:
    """Element by element; NaN where the bottom is 0."""
    unknown = np.full(np.broadcast(top, bottom).shape, np.nan)
    quotient: Floats = np.divide(top, bottom, out=unknown, where=bottom > 0)
    return quotient


def dialogue_sums(
    speaker: Speaker,
    of_turn: Callable[[SpokenTurn], Floats | tuple[float, float]],
    only_in_words: bool = True,
) -> Floats:
    """(dialogues, ...): the sum over each dialogue's turns of what ``of_turn`` gives.

    Raises:
        NotAvailable: there is no such turn.
    """
    rows = [
        [
            np.asarray(of_turn(turn), dtype=np.float64)
            for turn in dialogue.turns
            if turn.in_words or not only_in_words
        ]
        for dialogue in speaker.dialogues
    ]
    shape = next((np.shape(row[0]) for row in rows if row), None)
    if shape is None:
        raise NotAvailable(NOTHING_SAID)
    return np.array([np.sum(row, axis=0) if row else np.zeros(shape) for row in rows], dtype=np.float64)


def weighted(sums: Floats) -> Callable[[Floats], Floats]:
    """From weights (K, dialogues) to totals (K, ...)."""
    return lambda weights: np.asarray(np.tensordot(weights, sums, axes=1), dtype=np.float64)


def distance(vectors: Callable[[Any], Floats], between: Callable[[Floats, Floats], Floats]) -> Measure:
    """A distance of the totals of one side's half from those of the other side's other half."""

    def measure(a: Any, b: Any, plan: Plan) -> Floats:
        totals_a, totals_b = weighted(vectors(a)), weighted(vectors(b))
        evaluate: Evaluator = lambda w, v: between(totals_a(w), totals_b(v))  # noqa: E731
        return plan.halves(evaluate)

    return measure


def share(of_turn: Callable[[SpokenTurn], tuple[float, float]], only_in_words: bool = False) -> Measure:
    """A rate of one side over all its turns: sum of the first numbers by sum of the second."""

    def measure(a: Speaker, b: Speaker, plan: Plan) -> Floats:
        totals = weighted(dialogue_sums(a, of_turn, only_in_words))
        figures = plan.whole(lambda w, _: ratio(totals(w)[:, 0], totals(w)[:, 1]))
        if not np.isfinite(figures[0, 0]):
            raise NotAvailable("no turn of the log is of the kind that it counts")
        return figures

    return measure


def of_dialogues(speaker: Speaker, of_dialogue: Callable[[SpokenDialogue], ArrayLike]) -> Floats:
    """(dialogues, ...): what ``of_dialogue`` gives."""
    return np.array([of_dialogue(dialogue) for dialogue in speaker.dialogues], dtype=np.float64)


def earth_movers(a: Floats, b: Floats) -> Floats:
    """Wasserstein-1 distance of histograms over 0, 1, 2, ...; (K, bins) each, NaN where one is empty.

    In one dimension it is the area between the distribution functions (Vallender 1974).

    Example:
        >>> earth_movers(np.array([[1.0, 0, 0]]), np.array([[0, 0, 5.0]]))
        array([2.])
    """
    cumulative = [ratio(np.cumsum(x, axis=-1), x.sum(axis=-1, keepdims=True)) for x in (a, b)]
    return np.asarray(np.abs(cumulative[0] - cumulative[1]).sum(axis=-1), dtype=np.float64)


def jensen_shannon(a: Floats, b: Floats) -> Floats:
    """Jensen-Shannon divergence of two histograms in bits, 0 to 1 (Lin 1991); (K, bins) each.

    Example:
        >>> jensen_shannon(np.array([[1.0, 0]]), np.array([[0, 3.0]]))
        array([1.])
    """
    p, q = (ratio(x, x.sum(axis=-1, keepdims=True)) for x in (a, b))
    middle = (p + q) / 2

    def divergence(x: Floats) -> Floats:
        terms = np.where(x > 0, x, 1.0) / np.where(x > 0, middle, 1.0)
        return np.asarray(np.where(x > 0, x * np.log2(terms), x).sum(axis=-1), dtype=np.float64)

    return (divergence(p) + divergence(q)) / 2


def dice(a: Floats, b: Floats) -> Floats:
    """Mean over features of the Dice similarity 2 min(x, y) / (x + y); (K, features) of means >= 0 each.

    Two zeros are equal, hence 1. Features that are NaN on a side are left out.

    Example:
        >>> dice(np.array([[1.0, 0, 2]]), np.array([[1.0, 0, 1]])).round(3)
        array([0.889])
    """
    total = a + b
    similarity = np.where(total > 0, 2 * np.minimum(a, b) / np.where(total > 0, total, 1.0), 1.0)
    similarity = np.where(np.isnan(total), 0.0, similarity)
    return ratio(similarity.sum(axis=-1), np.isfinite(total).sum(axis=-1).astype(np.float64))


def histogram(values: Sequence[int], bins: int) -> Floats:
    """Counts of 0, 1, ... ``bins - 1``, what lies above in the last one."""
    return np.bincount(np.minimum(np.asarray(values, dtype=np.int64), bins - 1), minlength=bins).astype(float)
