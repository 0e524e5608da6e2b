"""The dialogues that are solved exactly: one that goes wrong for good, one that recovers, and random ones.

Two states: on track and off track. The agent asks or guesses; the user tells, misses the point, or sets
things right. A guess or a missed point leads off track. Off track, the user sets things right with the chance
``recovery`` a turn; at 0 the dialogue never comes back. The logging policy always asks, and real users always
tell: any difference is the shift under study.
"""

import numpy as np

from benchmarks.compounding_shift.process import Floats, Process

ON, OFF = 0, 1
ASK, GUESS = 0, 1
TELL, MISS, SET_RIGHT = 0, 1, 2
REWARD = np.array([1.0, 0.0])
"""A turn that ends on track pays 1."""


def dialogue(guess: float = 0.0, miss: float = 0.0, recovery: float = 0.0) -> Process:
    """The two-state dialogue.

    Args:
        guess: how often the policy guesses while on track.
        miss: how often the user misses the point while on track, asked or not.
        recovery: chance a turn to come back on track.

    Raises:
        ValueError: what should be a probability is none.
    """
    user = np.zeros((2, 2, 3))
    user[ON, :, [TELL, MISS]] = [[1 - miss], [miss]]
    user[OFF, :, [MISS, SET_RIGHT]] = [[1 - recovery], [recovery]]
    following = np.full((2, 2, 3), OFF)
    following[ON, ASK, [TELL, SET_RIGHT]] = ON
    following[OFF, :, SET_RIGHT] = ON
    policy = np.array([[1 - guess, guess], [1.0, 0.0]])
    return Process(np.array([1.0, 0.0]), policy, user, following)


def closed_error(shift: float, recovery: float, horizon: int) -> Floats:
    """(horizon,): the chance to be off track after each turn, where the other process never is.

    ``x_t = x_(t-1) (1 - recovery) + (1 - x_(t-1)) shift`` with ``x_0 = 0``; without recovery it is
    ``1 - (1 - shift)^t``.
    """
    turns = np.arange(1, horizon + 1)
    rate = shift + recovery
    if rate == 0:
        return np.zeros(horizon)
    return np.asarray(shift / rate * (1 - (1 - rate) ** turns), dtype=np.float64)


def closed_gap(shift: float, recovery: float, horizon: int) -> Floats:
    """(horizon,): the summed reward gap, the geometric sum of ``closed_error``."""
    turns = np.arange(1, horizon + 1)
    rate = shift + recovery
    if rate == 0:
        return np.zeros(horizon)
    slow = 1 - rate
    return np.asarray(shift / rate * (turns - slow * (1 - slow**turns) / rate), dtype=np.float64)


def random_process(
    rng: np.random.Generator, states: int = 6, acts: int = 3, replies: int = 3, concentration: float = 1.0
) -> Process:
    """A process drawn at random: every distribution Dirichlet, every consequence any state.

    Args:
        rng: the noise.
        states: how many.
        acts: how many.
        replies: how many.
        concentration: of the Dirichlet distributions; small makes policy and user nearly deterministic.
    """
    return Process(
        rng.dirichlet(np.ones(states)),
        rng.dirichlet(np.full(acts, concentration), states),
        rng.dirichlet(np.full(replies, concentration), (states, acts)),
        rng.integers(0, states, (states, acts, replies)),
    )


def mixed(rows: Floats, share: float, rng: np.random.Generator) -> Floats:
    """The distributions with ``share`` of each moved towards one outcome, drawn at random for each row."""
    chosen = np.eye(rows.shape[-1])[rng.integers(0, rows.shape[-1], rows.shape[:-1])]
    result: Floats = (1 - share) * rows + share * chosen
    return result
