"""What the study says: scores by arm, contrasts paired by seed, and gaps between users."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialogue_gym.seeding import NoiseKey

DECLARED = ("calibrated", "naive")
"""The one contrast that was declared in advance; all others are corrected for their number."""
ENOUGH_SEEDS = 5
_RESAMPLES = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """One arm's score minus another's.

    Attributes:
        arm: the first.
        against: the other.
        difference: mean over seeds.
        t_low: lower end of the 95 % t-interval over seeds; NaN for one seed.
        t_high: upper end.
        low: lower end of the 95 % bootstrap interval over seeds and dialogues.
        high: upper end.
        p: of the paired t-test, Holm-corrected unless declared; NaN for one seed.
        declared: whether it was declared in advance.
    """

    arm: str
    against: str
    difference: float
    t_low: float
    t_high: float
    low: float
    high: float
    p: float
    declared: bool


def scores(evaluation: Mapping[str, Any]) -> Floats:
    """The reward of each dialogue, NaN where it was not scored."""
    rewards = [outcome["reward"] for outcome in evaluation["outcomes"]]
    return np.array([np.nan if reward is None else reward for reward in rewards])


def contrasts(by_arm: Mapping[str, Sequence[Floats]]) -> list[Contrast]:
    """Every trained arm against the naive one, the declared contrast first.

    Args:
        by_arm: for each arm the scores of each seed's dialogues; dialogue i of a seed is one for all.
    """
    reference = DECLARED[1]
    if reference not in by_arm:
        return []
    others = [arm for arm in by_arm if arm != reference]
    raw = [_contrast(arm, reference, by_arm[arm], by_arm[reference]) for arm in others]
    extra = [c for c in raw if not c.declared]
    corrected = dict(zip([c.arm for c in extra], holm([c.p for c in extra]), strict=True))
    made = [Contrast(**{**asdict(c), "p": corrected.get(c.arm, c.p)}) for c in raw]
    return sorted(made, key=lambda c: not c.declared)


def _contrast(arm: str, against: str, a: Sequence[Floats], b: Sequence[Floats]) -> Contrast:
    from scipy import stats

    pairs = [x - y for x, y in zip(a, b, strict=True)]
    means = np.array([np.nanmean(pair) for pair in pairs])
    t_low = t_high = p = float("nan")
    if len(means) > 1 and means.std() > 0:
        test = stats.ttest_1samp(means, 0.0)
        interval = test.confidence_interval(0.95)
        t_low, t_high, p = float(interval.low), float(interval.high), float(test.pvalue)
    low, high = np.percentile(resampled(pairs, ("contrast", arm, against)), (2.5, 97.5))
    return Contrast(
        arm,
        against,
        float(means.mean()),
        t_low,
        t_high,
        float(low),
        float(high),
        p,
        (arm, against) == DECLARED,
    )


def resampled(by_seed: Sequence[Floats], key: tuple[str, ...]) -> Floats:
    """Means over resampled seeds of means over resampled dialogues; (resamples,)."""
    rng = NoiseKey(("study bootstrap", *key)).generator()
    means = []
    for _ in range(_RESAMPLES):
        seeds = rng.integers(0, len(by_seed), len(by_seed))
        drawn = [by_seed[s][rng.integers(0, len(by_seed[s]), len(by_seed[s]))] for s in seeds]
        means.append(np.mean([np.nanmean(part) for part in drawn]))
    return np.array(means)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979); NaN stays and does not count.

    Example:
        >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    known = [i for i, p in enumerate(p_values) if not np.isnan(p)]
    corrected, largest = list(p_values), 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(known) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
