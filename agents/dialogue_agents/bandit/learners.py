"""Linear contextual bandits: LinUCB and Thompson sampling."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialogue_gym.seeding import NoiseKey

Floats = NDArray[np.float64]


class LinearBandit(ABC):
    """A ridge regression of the reward on the context for each arm, and a way to choose by it.

    Args:
        arms: how many, at least 1.
        size: of a context.
        exploration: how much is tried out, at least 0.

    Attributes:
        precision: (arms, size, size), the identity plus the sum of x xᵀ over the arm's contexts.
        moment: (arms, size), the sum of reward times x.
    """

    def __init__(self, arms: int, size: int, exploration: float) -> None:
        self.exploration = exploration
        self.precision: Floats = np.zeros((arms, size, size))
        self.precision[:] = np.eye(size)
        self.moment: Floats = np.zeros((arms, size))

    @property
    def means(self) -> Floats:
        """(arms, size), the regressions' coefficients."""
        return np.asarray(np.linalg.solve(self.precision, self.moment[..., None])[..., 0], np.float64)

    def best(self, context: Floats) -> int:
        """The arm that is expected to earn most; the first of equals."""
        return int(np.argmax(self.means @ context))

    @abstractmethod
    def explore(self, context: Floats, key: NoiseKey) -> int:
        """The arm to try; a function of what was learned, the context and the key."""

    def learn(self, context: Floats, arm: int, reward: float) -> None:
        """Take in what an arm earned in a context."""
        self.precision[arm] += np.outer(context, context)
        self.moment[arm] += reward * context

    def state(self) -> dict[str, Any]:
        """What was learned, JSON-able."""
        return {"precision": self.precision.tolist(), "moment": self.moment.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.precision, self.moment = np.array(state["precision"]), np.array(state["moment"])

    def _first(self, values: Floats, key: NoiseKey) -> int:
        """The largest value; which of equals, the key says, so that a batch does not try the same arm."""
        equal = np.flatnonzero(values >= values.max() - 1e-12)
        return int(equal[key.child("tie").integer(0, len(equal) - 1)])


class LinUCB(LinearBandit):
    """LinUCB with disjoint linear models (Li et al. 2010, arXiv 1003.0146, algorithm 1).

    An arm's value is ``mean·x + alpha sqrt(xᵀ A⁻¹ x)``; ``exploration`` is alpha.

    Example:
        >>> bandit = LinUCB(2, 1, exploration=0.0)
        >>> bandit.learn(np.ones(1), 1, 1.0)
        >>> bandit.means.tolist(), bandit.explore(np.ones(1), NoiseKey(("doc",)))
        ([[0.0], [0.5]], 1)
    """

    def explore(self, context: Floats, key: NoiseKey) -> int:
        """The arm with the largest upper confidence bound."""
        spread = np.linalg.solve(self.precision, np.broadcast_to(context[:, None], (*self.moment.shape, 1)))
        width = np.sqrt(np.maximum(spread[..., 0] @ context, 0.0))
        return self._first(self.means @ context + self.exploration * width, key)


class Thompson(LinearBandit):
    """Thompson sampling with linear payoffs (Agrawal and Goyal 2013, arXiv 1209.3352, algorithm 1).

    Coefficients are drawn from N(mean, v² A⁻¹); ``exploration`` is v. The paper has one regression for all
    arms; ours is that with contexts that are zero but for the arm's own block.
    """

    def explore(self, context: Floats, key: NoiseKey) -> int:
        """The best arm under coefficients drawn anew."""
        noise = key.child("coefficients").generator().standard_normal(self.moment.shape)
        # with A = L Lᵀ, noise times L⁻¹ has the covariance A⁻¹
        lower = np.linalg.cholesky(self.precision)
        drawn = np.linalg.solve(np.swapaxes(lower, 1, 2), noise[..., None])[..., 0]
        return self._first((self.means + self.exploration * drawn) @ context, key)


LEARNERS: dict[str, type[LinearBandit]] = {"linucb": LinUCB, "thompson": Thompson}


def make_learner(algorithm: str, arms: Sequence[str], size: int, exploration: float) -> LinearBandit:
    """A bandit that knows nothing yet."""
    return LEARNERS[algorithm](len(arms), size, exploration)
