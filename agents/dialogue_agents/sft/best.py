"""Which of the logged dialogues are the best."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Literal

from dialogue_agents.imitation.logged import Weighted, by_prompt, check_comparable, read_dialogues


def best(rewards: Sequence[float], share: float) -> list[int]:
    """Numbers of the best values, in order: the share rounded up, and none that is as bad as the worst.

    Where all are alike none is better, and there is nothing to learn from them. Of equals the first count.

    Example:
        >>> best([0.0, 1.0, 0.5, 1.0, 0.0], share=0.5)
        [1, 2, 3]
        >>> best([1.0, 0.0, 0.0, 0.0], share=0.5), best([1.0, 1.0], share=0.5)
        ([0], [])
    """
    worst = min(rewards)
    ranked = sorted((i for i, reward in enumerate(rewards) if reward > worst), key=lambda i: -rewards[i])
    # a hair less, so that 0.1 of 30 are 3
    return sorted(ranked[: ceil(share * len(rewards) - 1e-9)])


def read_best(
    path: Path, env_id: str, share: float, best_of: Literal["prompt", "log"], held_out: str | None = None
) -> list[Weighted]:
    """The best scored dialogues of a log, each of the weight 1, in order; by turn rewards where it has them.

    Args:
        path: the log.
        env_id: the environment that its dialogues must be of.
        share: see ``best``.
        best_of: whether those of a prompt are compared, or all.
        held_out: the split that evaluation uses, whose tasks may not be trained on; None without one.

    Raises:
        FileNotFoundError: no such log.
        ValueError: one line about what cannot be used, with file and line; or no dialogue is better than
            those that it is compared with.
    """
    dialogues = read_dialogues(path, env_id, held_out)
    groups = [list(range(len(dialogues)))]
    if best_of == "prompt":
        groups = by_prompt(dialogues)
        check_comparable(path, groups)
    rewards = [sum(dialogue.paid) for dialogue in dialogues]
    chosen = sorted(group[i] for group in groups for i in best([rewards[j] for j in group], share))
    if not chosen:
        raise ValueError(
            f"{path}: no dialogue has a higher reward than those that it is compared with ({best_of=!s}), so "
            "that there is nothing to learn"
        )
    return [Weighted(dialogues[i], 1.0) for i in chosen]
