"""Credit by turns: an advantage for every token from the rewards of the turns that follow."""

from collections.abc import Sequence
from typing import Any


def turn_advantages(rows: Sequence[dict[str, Any]], group_size: int, normalise: bool) -> list[list[float]]:
    """Return-to-go of each turn minus the mean over the group's dialogues that reached that turn.

    The per-turn form of the group baseline (GRPO, arXiv 2402.03300, section 4.1.3, process supervision).

    Args:
        rows: with ``turn_index`` (one per token, -1 where not sampled), ``turn_rewards`` and ``reward``
            (None: the dialogue counts in no baseline and gets zeros); groups are consecutive.
        group_size: dialogues a group.
        normalise: divide by the (unbiased) standard deviation of the peers plus 1e-4.

    Returns:
        For each row one number per token, 0.0 where not sampled.
    """
    advantages: list[list[float]] = []
    for start in range(0, len(rows), group_size):
        group = rows[start : start + group_size]
        returns = [_returns_to_go(row["turn_rewards"]) if row["reward"] is not None else [] for row in group]
        for row, own in zip(group, returns, strict=True):
            by_turn = [
                _advantage(own[t], [r[t] for r in returns if len(r) > t], normalise) for t in range(len(own))
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


def _advantage(value: float, peers: Sequence[float], normalise: bool) -> float:
    mean = sum(peers) / len(peers)
    if not normalise or len(peers) < 2:  # alone, a dialogue is its own mean and gets 0
        return value - mean
    variance = sum((peer - mean) ** 2 for peer in peers) / (len(peers) - 1)
    return float((value - mean) / (variance**0.5 + 1e-4))
