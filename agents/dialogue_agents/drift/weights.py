"""What a logged dialogue is worth beside the others of its prompt."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path

from dialogue_gym.logs import PolicyRecord, policy_view, read_log


@dataclass(frozen=True, slots=True)
class Weighted:
    """A dialogue and how strongly it is imitated; the weights of a prompt's dialogues have the mean 1."""

    dialogue: PolicyRecord
    weight: float


def dialogue_return(dialogue: PolicyRecord, gamma: float, repeat_penalty: float) -> float:
    """The discounted reward of a scored dialogue minus a penalty for repeats.

    DRIFT's return (arXiv 2605.31455): the sum of ``gamma ** (t - 1) * r_t`` minus ``repeat_penalty * (1 -
    distinct replies / turns)``. The reward comes with the last turn. Its penalty for faults of format has no
    counterpart here.

    Example:
        >>> said = [
        ...     {"role": role, "content": text}
        ...     for role, text in (("user", "?"), ("assistant", "4"), ("user", "no"), ("assistant", "4"))
        ... ]
        >>> dialogue_return(PolicyRecord("MathChat-v0", said, "turn_limit", 1.0), 0.9, 0.5)
        0.65
    """
    said = [m["content"].strip() for m in dialogue.messages if m["role"] == "assistant"]
    reward = dialogue.reward or 0.0
    return gamma ** (len(said) - 1) * reward - repeat_penalty * (1 - len(set(said)) / len(said))


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

    Dialogues with the same first message have the same prompt: the policy's view, which is all that is
    learned from, knows no tasks.

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
    dialogues = [d for d in _checked(path, env_id, held_out) if d.scored and d.turns]
    prompts: defaultdict[str, list[int]] = defaultdict(list)
    for i, dialogue in enumerate(dialogues):
        prompts[dialogue.messages[0]["content"]].append(i)
    if all(len(group) < 2 for group in prompts.values()):
        raise ValueError(
            f"{path}: no two scored dialogues begin alike, so that there is nothing to compare; "
            "dialogue-gym collect --per-task 8 plays each task several times"
        )
    weights = [0.0] * len(dialogues)
    for group in prompts.values():
        returns = [dialogue_return(dialogues[i], gamma, repeat_penalty) for i in group]
        for i, weight in zip(group, group_weights(returns, beta), strict=True):
            weights[i] = weight
    return [Weighted(d, w) for d, w in zip(dialogues, weights, strict=True)]


def _checked(path: Path, env_id: str, held_out: str | None) -> Iterator[PolicyRecord]:
    for line, record in enumerate(read_log(path), 1):
        where = f"{path}:{line}: a dialogue"
        if record.env_id != env_id:
            raise ValueError(f"{where} of {record.env_id}, should be of {env_id} (--env)")
        if record.split == held_out:
            raise ValueError(
                f"{where} of the split {held_out!r}, which evaluation uses; give a log of another split, "
                "or another --eval-split"
            )
        yield policy_view(record)
