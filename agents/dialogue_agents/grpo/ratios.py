"""One importance ratio for several tokens: those of a turn, or all that the policy sampled in a dialogue.

A unit is what has one ratio. Units are given as integers (B, T), equal within a unit of a row, -1 where a
token is in none.
"""

from collections.abc import Sequence
from typing import Literal

import torch


def make_units(
    turn_index: Sequence[Sequence[int]], mask: torch.Tensor, level: Literal["turn", "sequence"]
) -> torch.Tensor:
    """Units of a batch, int64 of the mask's shape.

    Args:
        turn_index: turn of each token; a list for each row, which may be shorter than the mask's.
        mask: (B, T), 1 where a token is trained; the others are in no unit.
        level: whether a unit is a turn or the row.
    """
    units = torch.zeros_like(mask, dtype=torch.int64)
    if level == "turn":
        for row, turns in enumerate(turn_index):
            units[row, : len(turns)] = torch.tensor(turns, device=mask.device)
    return units.masked_fill(mask == 0, -1)


def unit_means(values: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """At each token the mean of ``values`` over its unit, (B, T); what stands outside units means nothing.

    Example:
        >>> unit_means(torch.tensor([[1.0, 3.0, 9.0, 5.0]]), torch.tensor([[0, 0, -1, 1]]))[0, [0, 1, 3]]
        tensor([2., 2., 5.])
    """
    return _unit_sums(values, units) / _unit_sums(torch.ones_like(values), units)


def unit_log_probs(new: torch.Tensor, old: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Behaviour log-probabilities against which each token has the ratio of its unit.

    The ratio of a unit is the geometric mean of its tokens' (GSPO, arXiv 2507.18071, section 4.1; for turns
    GSsPO, arXiv 2602.01202). A token's gradient is that of its own log-probability at this ratio: GSPO-token
    (section 4.3), which is GSPO where the unit has one advantage, and lets the turns of a sequence have
    their own.

    Args:
        new: log-probabilities under the weights that are trained, without gradient, (B, T).
        old: those under which the tokens were sampled.
        units: of the batch.
    """
    return torch.where(units >= 0, new - unit_means(new - old, units), new)


def truncated_weights(
    own: torch.Tensor, behaviour: torch.Tensor, units: torch.Tensor | None, cap: float
) -> torch.Tensor:
    """What a token counts for where an engine sampled it: min(own / behaviour probability, cap), (B, T).

    Truncated importance sampling (Ionides, JCGS 17(2), 2008): the gradient is that of the trainer's policy,
    up to the bias of the cap. A unit has one weight, as it has one ratio: the geometric mean of its tokens'.

    Args:
        own: the trainer's log-probabilities under the weights that the engine had, (B, T).
        behaviour: the engine's.
        units: of the batch; None where each token is one.
        cap: at least 1.

    Example:
        >>> own, behaviour = torch.tensor([[-1.0, -0.5]]), torch.tensor([[-1.5, -3.0]])
        >>> truncated_weights(own, behaviour, None, cap=2.0)
        tensor([[1.6487, 2.0000]])
    """
    gaps = own - behaviour
    return (gaps if units is None else unit_means(gaps, units)).exp().clamp(max=cap)


def unit_shares(units: torch.Tensor) -> torch.Tensor:
    """The share of each token in its unit, (B, T) and 0 outside of units; a row's sum is its number of units.

    Example:
        >>> unit_shares(torch.tensor([[0, 0, -1, 1]]))
        tensor([[0.5000, 0.5000, 0.0000, 1.0000]])
    """
    return (units >= 0) / _unit_sums(torch.ones_like(units, dtype=torch.float32), units)


def _unit_sums(values: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    sums = values.new_zeros(values.shape[0], int(units.max()) + 2)
    return sums.scatter_add(1, units + 1, values).gather(1, units + 1)
