"""Credit by turns: an advantage for every token from the rewards of the turns that follow."""

from collections.abc import Sequence
from typing import Any, Literal


def turn_advantages(
    rows: Sequence[dict[str, Any]],
    group_size: int,
    form: Literal["turn_return", "turn_baseline"],
    normalise: bool,
) -> list[list[float]]:
    """Return-to-go of each turn minus a mean over the group.

    "turn_return" takes the mean over all turns of the group, as process supervision in GRPO does with
    rewards (arXiv 2402.03300, section 4.1.3); "turn_baseline" over those with the same number, in the
    dialogues that reached it. Returns by turn are those of GTPO (arXiv 2511.14846) without its discount,
    turns against their peers the idea of MT-GRPO (arXiv 2505.11821), which compares single rewards: sums of
    these would favour short dialogues.

    Args:
        rows: with ``turn_index`` (one per token, -1 where not sampled), ``turn_rewards`` and ``reward``
            (None: the dialogue counts in no baseline and gets zeros); groups are consecutive.
        group_size: dialogues a group.
        form: of the baseline.
        normalise: divide by the (unbiased) standard deviation of what the mean is over, plus 1e-4.

    Returns:
        For each row one number per token, 0.0 where not sampled.

    Example:
        >>> rows = [
        ...     {"turn_index": [0, -1, 1], "turn_rewards": [3.0, 0.0], "reward": 3.0},
        ...     {"turn_index": [0], "turn_rewards": [3.0], "reward": 3.0},
        ... ]
        >>> turn_advantages(rows, 2, "turn_return", normalise=False)  # returns 3, 0 and 3
        [[1.0, 0.0, -2.0], [1.0]]
        >>> turn_advantages(rows, 2, "turn_baseline", normalise=False)
        [[0.0, 0.0, 0.0], [0.0]]
    """
    advantages: list[list[float]] = []
    for start in range(0, len(rows), group_size):
        group = rows[start : start + group_size]
        returns = [_returns_to_go(row["turn_rewards"]) if row["reward"] is not None else [] for row in group]
        for row, own in zip(group, returns, strict=True):
            by_turn = [
                _advantage(value, _peers(returns, turn, form), normalise) for turn, value in enumerate(own)
            ]
            advantages.append([by_turn[t] if 0 <= t < len(by_turn) else 0.0 for t in row["turn_index"]])
    return advantages


def _returns_to_go(rewards: Sequence[float]) -> list[float]:
    returns: list[float] = []
    total = 0.0
    for reward in reversed(rewards):
        total += reward
        returns.append(total)
    return returns[::-1]


def _peers(returns: Sequence[Sequence[float]], turn: int, form: str) -> list[float]:
    """The returns of a group that one of this turn is compared with."""
    if form == "turn_return":
        return [value for own in returns for value in own]
    return [own[turn] for own in returns if len(own) > turn]


def _advantage(value: float, peers: Sequence[float], normalise: bool) -> float:
    mean = sum(peers) / len(peers)
    if not normalise or len(peers) < 2:  # alone, a turn is its own mean and gets 0
        return value - mean
    variance = sum((peer - mean) ** 2 for peer in peers) / (len(peers) - 1)
    return float((value - mean) / (variance**0.5 + 1e-4))
