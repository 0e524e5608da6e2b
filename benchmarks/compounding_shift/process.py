"""A finite dialogue process solved exactly, and the theorems' curves for two such processes.

A turn takes a state to the next one: the policy acts, the user replies, and both say where the dialogue
stands then. The state holds all of the history that act, reply and reward depend on. Everything is a sum of
matrix products in float64; nothing is sampled.

Turns are counted from 1. ``d_t`` is the distribution after turn t, ``e_i`` the expected total variation
between the two processes' turn i on the histories of the training process. The theorems are proved in
``docs/compounding-shift.md``.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
States = npt.NDArray[np.int64]
Shift = Literal["policy", "static", "simulator"]

POOLED = 200_000
"""At most this many different histories (of equal state and likelihood ratio counted once) are followed."""


@dataclass(frozen=True, slots=True)
class Process:
    """A dialogue between a policy and a user, both known.

    Attributes:
        start: (states,), the distribution of openings.
        policy: (states, acts), what the policy does.
        user: (states, acts, replies), how the user replies.
        following: (states, acts, replies) of int, the state that the turn leads to.

    Raises:
        ValueError: shapes that do not fit, or rows that are no distributions.
    """

    start: Floats
    policy: Floats
    user: Floats
    following: States

    def __post_init__(self) -> None:
        states, acts = self.policy.shape
        if self.start.shape != (states,) or self.user.shape[:2] != (states, acts):
            raise ValueError(
                f"start {self.start.shape}, policy {self.policy.shape} and user {self.user.shape} should be "
                "(states,), (states, acts) and (states, acts, replies)"
            )
        if self.following.shape != self.user.shape or not np.isin(self.following, np.arange(states)).all():
            raise ValueError(f"following should hold states below {states} in the shape of user")
        for name in ("start", "policy", "user"):
            rows = getattr(self, name)
            if (rows < 0).any() or not np.allclose(rows.sum(-1), 1.0):
                raise ValueError(f"each row of {name} should be a distribution")

    def turn(self) -> Floats:
        """(states, acts, replies): probability of what is said in a turn, state by state."""
        return self.policy[:, :, None] * self.user

    def kernel(self) -> Floats:
        """(states, states): where a turn leads."""
        states = len(self.start)
        result = np.zeros((states, states))
        origin = np.broadcast_to(np.arange(states)[:, None, None], self.following.shape)
        np.add.at(result, (origin, self.following), self.turn())
        return result

    def occupancies(self, horizon: int) -> Floats:
        """(horizon + 1, states): the distribution of the state at the opening and after each turn."""
        rows, kernel = [self.start], self.kernel()
        for _ in range(horizon):
            rows.append(rows[-1] @ kernel)
        return np.array(rows)


@dataclass(frozen=True, slots=True)
class Curves:
    """Two processes over the turns, each array (horizon,), index 0 for turn or horizon 1.

    Attributes:
        shift: what kind.
        per_turn: e_i, expected total variation of turn i given the history before it.
        largest: the greatest total variation of a turn in any state, which no e_i exceeds.
        error: total variation between the distributions of the state after turn t: what reward can see.
        history_error: total variation between the distributions of whole histories; it never falls.
        gap: summed reward of turns 1..H in training minus that in deployment.
        last_gap: the same when only the last turn of H is paid.
    """

    shift: Shift
    per_turn: Floats
    largest: float
    error: Floats
    history_error: Floats
    gap: Floats
    last_gap: Floats

    @property
    def error_bound(self) -> Floats:
        """Sum of e_i up to turn t, at most 1; for static contexts up to the turn before."""
        return np.minimum(1.0, _summed(self.shift, self.per_turn))

    @property
    def gap_bound(self) -> Floats:
        """The theorem's bound for each H: sum over i of (H - i + 1) e_i; (H - i) e_i for static contexts."""
        return np.cumsum(_summed(self.shift, self.per_turn))

    @property
    def uniform_bound(self) -> Floats:
        """The same with ``largest`` for every e_i: it times H (H + 1) / 2, or H (H - 1) / 2."""
        return np.cumsum(_summed(self.shift, np.full(len(self.per_turn), self.largest)))


def _summed(shift: Shift, per_turn: Floats) -> Floats:
    total = np.cumsum(per_turn)
    return np.concatenate([[0.0], total[:-1]]) if shift == "static" else total


def compare(
    training: Process, deployment: Process, reward: Floats, horizon: int, shift: Shift, histories: bool = True
) -> Curves:
    """The curves of two processes.

    Args:
        training: whose histories are learned from: the log's policy, or the simulated user.
        deployment: whose histories are met: the evaluated policy with the real user.
        reward: (states,), from 0 to 1, paid after each turn.
        horizon: number of turns.
        shift: "static" lets the deployed policy give the last reply of each history, as training on logged
            contexts does; otherwise just a name.
        histories: also follow whole histories, which can be very many; else ``history_error`` is NaN.

    Raises:
        ValueError: rewards outside [0, 1], processes of other openings or states, or too many histories.
    """
    if reward.min() < 0 or reward.max() > 1:
        raise ValueError(f"rewards should be from 0 to 1, got {reward.min():g} to {reward.max():g}")
    if not np.array_equal(training.start, deployment.start):
        raise ValueError("both processes should have the same openings: tasks do not shift")
    if not np.array_equal(training.following, deployment.following):
        raise ValueError("both processes should have the same states and consequences")
    logged, met = training.occupancies(horizon), deployment.occupancies(horizon)
    apart = total_variation(training.turn(), deployment.turn(), axes=(1, 2))
    seen = logged[:-1] @ deployment.kernel() if shift == "static" else logged[1:]
    whole = history_errors(training, deployment, horizon) if histories else np.full(horizon, np.nan)
    if shift == "static":  # the last turn is the same in both, so it adds nothing
        whole = np.concatenate([[0.0], whole[:-1]])
    paid = (seen - met[1:]) @ reward
    return Curves(
        shift,
        per_turn=logged[:-1] @ apart,
        largest=float(apart.max()),
        error=total_variation(seen, met[1:]),
        history_error=whole,
        gap=np.cumsum(paid),
        last_gap=paid,
    )


def total_variation(p: Floats, q: Floats, axes: tuple[int, ...] = (-1,)) -> Floats:
    """Half the summed absolute difference over ``axes``.

    Example:
        >>> float(total_variation(np.array([0.5, 0.5]), np.array([0.75, 0.25])))
        0.25
    """
    result: Floats = np.abs(p - q).sum(axes) / 2
    return result


def history_errors(training: Process, deployment: Process, horizon: int) -> Floats:
    """(horizon,): total variation between whole histories after each turn.

    Histories of equal state and likelihood ratio have equal futures in both processes, so they are pooled:
    sums of absolute differences stay as they are.

    Raises:
        ValueError: more than ``POOLED`` histories remain apart.
    """
    state = np.arange(len(training.start))
    pair = np.stack([training.start, deployment.start])
    turns = np.stack([training.turn(), deployment.turn()])
    errors = []
    for number in range(1, horizon + 1):
        if state.size * turns[0, 0].size > POOLED:
            raise ValueError(f"{state.size} different histories before turn {number}: too many to follow")
        pair = (pair[:, :, None, None] * turns[:, state]).reshape(2, -1)
        state, pair = _pool(training.following[state].ravel(), pair)
        errors.append(float(total_variation(pair[0], pair[1])))
    return np.array(errors)


def _pool(state: States, pair: Floats) -> tuple[States, Floats]:
    possible = pair.sum(0) > 0
    state, pair = state[possible], pair[:, possible]
    # the share of training in both is the ratio without infinities; rounding costs at most its precision
    share = np.round(pair[0] / pair.sum(0), 12)
    kinds, which = np.unique(np.stack([state, share]), axis=1, return_inverse=True)
    pooled: Floats = np.stack([np.bincount(which.ravel(), side, kinds.shape[1]) for side in pair])
    return kinds[0].astype(np.int64), pooled


def exponent(curve: Floats, low: int, high: int) -> float | None:
    """Slope of ln curve over ln H from ``low`` to ``high``, least squares; None where a value is 0.

    Example:
        >>> round(exponent(np.arange(1.0, 13.0) ** 2, 4, 12), 6)
        2.0
    """
    part = np.abs(curve[low - 1 : high])
    if len(part) < 2 or (part <= 0).any():
        return None
    return float(np.polyfit(np.log(np.arange(low, high + 1)), np.log(part), 1)[0])
