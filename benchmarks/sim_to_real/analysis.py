"""What the study says: scores by arm, contrasts paired by seed, and how users rank policies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sim_to_real.arms import REFERENCE
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
        by_seed: the differences of the seeds.
        t_low: lower end of the 95 % t-interval over seeds; None for one seed.
        t_high: upper end.
        low: lower end of the 95 % bootstrap interval over seeds and dialogues.
        high: upper end.
        p: of the paired t-test, Holm-corrected unless declared; None for one seed.
        declared: whether it was declared in advance.
    """

    arm: str
    against: str
    difference: float
    by_seed: list[float]
    t_low: float | None
    t_high: float | None
    low: float
    high: float
    p: float | None
    declared: bool

    @property
    def shown(self) -> bool:
        """Whether both intervals lie on one side of zero."""
        if self.t_low is None or self.t_high is None:
            return False
        return min(self.t_low, self.low) > 0 or max(self.t_high, self.high) < 0


def scores(evaluation: Mapping[str, Any]) -> Floats:
    """The reward of each dialogue, NaN where it was not scored."""
    rewards = [outcome["reward"] for outcome in evaluation["outcomes"]]
    return np.array([np.nan if reward is None else reward for reward in rewards])


def summary(by_seed: Sequence[Floats], key: tuple[str, ...]) -> dict[str, Any]:
    """Mean over seeds with a bootstrap interval over seeds and dialogues.

    Args:
        by_seed: each seed's values.
        key: names the draws.
    """
    means = [float(np.nanmean(part)) for part in by_seed]
    low, high = np.percentile(resampled(by_seed, key), (2.5, 97.5))
    return {"mean": float(np.mean(means)), "low": float(low), "high": float(high), "by_seed": means}


def contrasts(by_arm: Mapping[str, Sequence[Floats]]) -> list[Contrast]:
    """Every arm against naive, and every other against calibrated; the declared contrast first.

    Args:
        by_arm: for each arm the scores of each seed's dialogues; dialogue i of a seed is one for all.
    """
    first, second = DECLARED
    pairs = [(arm, second) for arm in by_arm if arm != second and second in by_arm]
    pairs += [(first, arm) for arm in by_arm if arm not in DECLARED and first in by_arm]
    raw = [_contrast(a, b, by_arm[a], by_arm[b]) for a, b in pairs]
    extra = holm([np.nan if c.p is None or c.declared else c.p for c in raw])
    made = [
        c if c.declared or c.p is None else Contrast(**{**asdict(c), "p": p})
        for c, p in zip(raw, extra, strict=True)
    ]
    return sorted(made, key=lambda c: not c.declared)


def _contrast(arm: str, against: str, a: Sequence[Floats], b: Sequence[Floats]) -> Contrast:
    from scipy import stats

    pairs = [x - y for x, y in zip(a, b, strict=True)]
    means = np.array([np.nanmean(pair) for pair in pairs])
    t_low = t_high = p = None
    if len(means) > 1 and np.ptp(means) > 1e-9:  # equal but for rounding: no spread to go by
        test = stats.ttest_1samp(means, 0.0)
        interval = test.confidence_interval(0.95)
        t_low, t_high, p = float(interval.low), float(interval.high), float(test.pvalue)
    low, high = (float(x) for x in np.percentile(resampled(pairs, ("contrast", arm, against)), (2.5, 97.5)))
    difference, declared = float(means.mean()), (arm, against) == DECLARED
    return Contrast(arm, against, difference, means.tolist(), t_low, t_high, low, high, p, declared)


def verdict(found: Sequence[Contrast], seeds: int, where: str) -> str:
    """What the declared contrast says, in a sentence; no claim with few seeds.

    Args:
        found: all contrasts.
        seeds: of the study.
        where: what kind of world the claim is about.
    """
    declared = next((c for c in found if c.declared), None)
    if declared is None:
        return f"The declared contrast, {DECLARED[0]} against {DECLARED[1]}, needs both arms."
    if seeds < ENOUGH_SEEDS:
        return f"Warning: {seeds} of at least {ENOUGH_SEEDS} seeds; that is too few for a claim."
    said = f"{DECLARED[0]} minus {DECLARED[1]} is {declared.difference:+.3f}"
    if not declared.shown:
        return f"{where.capitalize()} no difference is shown: {said}, and an interval includes zero."
    ahead = DECLARED[0] if declared.difference > 0 else DECLARED[1]
    return f"{where.capitalize()} the {ahead} arm is ahead: {said}, and both intervals exclude zero."


def resampled(by_seed: Sequence[Floats], key: tuple[str, ...]) -> Floats:
    """Means over resampled seeds of means over resampled dialogues; (resamples,).

    Args:
        by_seed: each seed's values, one for each dialogue.
        key: names the draws.
    """
    rng = NoiseKey(("study bootstrap", *key)).generator()
    sizes = np.array([len(part) for part in by_seed])
    values = np.full((len(by_seed), sizes.max()), np.nan)
    for row, part in zip(values, by_seed, strict=True):
        row[: len(part)] = part
    seeds = rng.integers(0, len(by_seed), (len(by_seed), _RESAMPLES))
    means = [_resampled_means(values, sizes, drawn, rng) for drawn in seeds]
    result: Floats = np.mean(means, axis=0)
    return result


def _resampled_means(
    values: Floats, sizes: NDArray[np.int64], seeds: NDArray[np.int64], rng: np.random.Generator
) -> Floats:
    """For each drawn seed the mean of as many of its values as it has, drawn anew."""
    size = sizes[seeds, None]
    index = (rng.random((len(seeds), values.shape[1])) * size).astype(np.int64)
    drawn = values[seeds[:, None], index]
    drawn[np.arange(values.shape[1]) >= size] = np.nan
    result: Floats = np.nanmean(drawn, axis=1)
    return result


def ranks(policies: Sequence[Mapping[str, Any]], user: str) -> dict[str, Any]:
    """Spearman's rank correlation of policies' scores under a user and under the reference.

    Args:
        policies: each with its "seed" and "scores" by user.
        user: whose ranking is compared.

    Returns:
        "all", over policies of all seeds together, and "low" and "high" of its 95 % interval, seeds
        resampled, None for one seed; "within", the mean of each seed's own. None where scores are all equal.
    """
    by_seed: dict[int, list[tuple[float, float]]] = {}
    for policy in policies:
        pair = (policy["scores"][user], policy["scores"][REFERENCE])
        by_seed.setdefault(policy["seed"], []).append(pair)
    groups = list(by_seed.values())
    rng = NoiseKey(("study ranks", user)).generator()
    drawn = [
        spearman([pair for i in rng.integers(0, len(groups), len(groups)) for pair in groups[i]])
        for _ in range(_RESAMPLES // 4)
    ]
    known = [r for r in drawn if r is not None]
    low = high = None
    if known and len(groups) > 1:
        low, high = (float(x) for x in np.percentile(known, (2.5, 97.5)))
    within = [r for r in map(spearman, groups) if r is not None]
    together = spearman([pair for group in groups for pair in group])
    return {"all": together, "low": low, "high": high, "within": float(np.mean(within)) if within else None}


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None where a side is constant.

    Example:
        >>> round(spearman([(0.1, 1), (0.2, 2), (0.3, 2)]), 3)
        0.866
        >>> spearman([(0.1, 1), (0.1, 2)]) is None
        True
    """
    from scipy import stats

    a, b = (stats.rankdata(side) for side in zip(*pairs, strict=True))
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


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
