"""A reply as a small probabilistic program: sampling runs it once, likelihood runs every path.

A program is a function that takes a ``Chooser`` and asks it for each random decision. With a
``KeyedChooser`` every decision comes from the noise key; ``enumerate_paths`` runs the program through
all of its decisions with their probabilities. Both read the same code, so they cannot disagree.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from dialogue_gym.seeding import NoiseKey

T = TypeVar("T")


class Chooser(Protocol):
    """Makes the decisions of a program."""

    def pick(self, name: str, weights: Sequence[float]) -> int:
        """An index, with probability proportional to its weight. Weights are >= 0, not all 0."""
        ...


def flip(chooser: Chooser, name: str, probability: float) -> bool:
    """True with the given probability."""
    return chooser.pick(name, (probability, 1.0 - probability)) == 0


def choose(chooser: Chooser, name: str, options: Sequence[T]) -> T:
    """One of the options, each as likely as the others."""
    return options[chooser.pick(name, (1.0,) * len(options))] if len(options) > 1 else options[0]


class KeyedChooser:
    """Decisions from a noise key; the name and the count of a decision make its own key."""

    def __init__(self, key: NoiseKey) -> None:
        self._key = key
        self._count = 0

    def pick(self, name: str, weights: Sequence[float]) -> int:
        """Inverse-CDF sampling with one keyed uniform number."""
        self._count += 1
        threshold = self._key.child(name, self._count).uniform() * sum(weights)
        for index, weight in enumerate(weights):
            threshold -= weight
            if threshold < 0:
                return index
        return max(i for i, weight in enumerate(weights) if weight > 0)


class _Replay:
    """Follows a given prefix of decisions, then takes the first possible option of each new one."""

    def __init__(self, prefix: Sequence[int]) -> None:
        self.taken: list[int] = []
        self.options: list[list[int]] = []
        self.factors: list[Any] = []
        self._prefix = prefix

    def pick(self, name: str, weights: Sequence[float]) -> int:
        numbers = all(isinstance(weight, int | float) for weight in weights)
        possible = [i for i, weight in enumerate(weights) if not numbers or weight > 0]
        depth = len(self.taken)
        index = self._prefix[depth] if depth < len(self._prefix) else possible[0]
        self.taken.append(index)
        self.options.append(possible)
        self.factors.append(weights[index] / sum(weights) if numbers else weights[index])
        return index


def enumerate_paths(program: Callable[[Chooser], T]) -> list[tuple[T, float]]:
    """Every path of a program with its probability; paths may share a result.

    Example:
        >>> enumerate_paths(lambda chooser: "heads" if flip(chooser, "coin", 0.25) else "tails")
        [('heads', 0.25), ('tails', 0.75)]
    """
    return [(result, math.prod(factors)) for result, factors in enumerate_factors(program)]


def enumerate_factors(program: Callable[[Chooser], T]) -> list[tuple[T, list[Any]]]:
    """Every path of a program with the probabilities of its decisions, in order.

    A probability may be any object that takes part in ``1.0 - probability``; it comes back as it is.
    """
    results: list[tuple[T, list[Any]]] = []
    prefix: list[int] | None = []
    while prefix is not None:
        replay = _Replay(prefix)
        results.append((program(replay), replay.factors))
        prefix = _next_prefix(replay)
    return results


def _next_prefix(replay: _Replay) -> list[int] | None:
    """The decisions up to the last one that has another option, with that option taken."""
    for depth in range(len(replay.taken) - 1, -1, -1):
        later = [i for i in replay.options[depth] if i > replay.taken[depth]]
        if later:
            return [*replay.taken[:depth], later[0]]
    return None
