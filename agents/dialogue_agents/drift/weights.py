"""What a logged dialogue is worth beside the others of its prompt."""

from collections.abc import Sequence
from math import exp
from pathlib import Path

from dialogue_agents.imitation.logged import Weighted, by_prompt, check_comparable, read_dialogues
from dialogue_gym.logs import PolicyRecord


def dialogue_return(dialogue: PolicyRecord, gamma: float, repeat_penalty: float) -> float:
    """The discounted reward of a scored dialogue minus a penalty for repeats.

    DRIFT's return (arXiv 2605.31455): the sum of ``gamma ** (t - 1) * r_t`` minus ``repeat_penalty * (1 -
    distinct replies / turns)``. The reward comes with the last turn, unless the log has turn rewards. Its
    penalty for faults of format has no counterpart here.

    Example:
        >>> said = [
        ...     {"role": role, "content": text}
        ...     for role, text in (("user", "?"), ("assistant", "4"), ("user", "no"), ("assistant", "4"))
        ... ]
        >>> dialogue_return(PolicyRecord("MathChat-v0", said, "turn_limit", 1.0), 0.9, 0.5)
        0.65
    """
    said = [m["content"].strip() for m in dialogue.messages if m["role"] == "assistant"]
    earned = sum(gamma**turn * reward for turn, reward in enumerate(dialogue.paid))
    return earned - repeat_penalty * (1 - len(set(said)) / len(said))


def group_weights(returns: Sequence[float], beta: float) -> list[float]:
    """``exp((return - best) / beta)`` over its mean; equal returns weigh 1 each.

    Example:
        >>> [round(weight, 3) for weight in group_weights([1.0, 0.9, 0.0], beta=0.1)]
        [2.193, 0.807, 0.0]
    """
    best = max(returns)
    raw = [exp((value - best) / beta) for value in returns]
    mean = sum(raw) / len(raw)
    return [value / mean for value in raw]


def read_weighted(
    path: Path, env_id: str, beta: float, gamma: float, repeat_penalty: float, held_out: str | None = None
) -> list[Weighted]:
    """The scored dialogues of a log with their weights, in order.

    Args:
        path: the log.
        env_id: the environment that its dialogues must be of.
        beta: see ``group_weights``.
        gamma: see ``dialogue_return``.
        repeat_penalty: see there.
        held_out: the split that evaluation uses, whose tasks may not be trained on; None without one.

    Raises:
        FileNotFoundError: no such log.
        ValueError: one line about what cannot be used, with file and line.
    """
    dialogues = read_dialogues(path, env_id, held_out)
    prompts = by_prompt(dialogues)
    check_comparable(path, prompts)
    weights = [0.0] * len(dialogues)
    for group in prompts:
        returns = [dialogue_return(dialogues[i], gamma, repeat_penalty) for i in group]
        for i, weight in zip(group, group_weights(returns, beta), strict=True):
            weights[i] = weight
    return [Weighted(d, w) for d, w in zip(dialogues, weights, strict=True)]
