"""The exact likelihood of a scripted population: what its users say, whoever of them is speaking.

A log of a population does not show personas. The probability of a reply given the dialogue so far is then
that of the persona's reply, averaged over all personas as likely as the dialogue so far makes them::

    p(reply | history) = sum_z p(z) p(history | z) p(reply | history, z) / sum_z p(z) p(history | z)

The sum is exact, not sampled. Each decision of a scripted user's program depends on at most one field of
the persona, and the fields are drawn independently, each from a finite grid (two digits). So the
likelihood of a dialogue is a sum, over the ways in which the program can have said it, of products of one
factor for each decision, and each field is summed out alone.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from dialogue_gym.simulators.base import ReplyLogProb
from dialogue_gym.simulators.personas import Population
from dialogue_gym.simulators.program import enumerate_factors
from dialogue_gym.simulators.scripted import ScriptedUser, run_program
from dialogue_gym.simulators.user_turns import UserTurn


@dataclass(frozen=True, slots=True, order=True)
class _Linear:
    """A probability as a linear function of one field of the persona: ``offset + scale * field``."""

    name: str
    scale: float = 1.0
    offset: float = 0.0

    def __mul__(self, other: float) -> "_Linear":
        return _Linear(self.name, self.scale * other, self.offset * other)

    def __rsub__(self, other: float) -> "_Linear":
        return _Linear(self.name, -self.scale, other - self.offset)


@dataclass(frozen=True, slots=True)
class _OpenPersona:
    """Stands for all personas of one style and patience: probabilities are left open."""

    lowercase: bool
    punctuation: bool
    patience: int
    disclosure: _Linear = _Linear("disclosure")
    terseness: _Linear = _Linear("terseness")
    politeness: _Linear = _Linear("politeness")
    slip: _Linear = _Linear("slip")
    correction: _Linear = _Linear("correction")
    trust: _Linear = _Linear("trust")


_Ways = Counter[tuple[_Linear, ...]]
"""A polynomial in the persona's fields: for each product of factors its coefficient."""


class PopulationLikelihood:
    """Exact log-probabilities of a scripted population's replies, the persona unknown.

    Args:
        user: the population, as the scripted user that draws from it.

    Example:
        >>> from dialogue_gym.simulators import ScriptedUser
        >>> likelihood = PopulationLikelihood(ScriptedUser())
    """

    def __init__(self, user: ScriptedUser) -> None:
        self.populations = user.populations

    def log_prob(self, turns: Sequence[UserTurn]) -> list[ReplyLogProb]:
        """For each turn of one dialogue, in order and from the opening on, given all turns before it.

        Args:
            turns: ``user_turns`` of a record whose beginning is known.

        Returns:
            Of each turn the natural-log probability of stopping as it does and of its text given that;
            ``-inf`` where no persona says it, and the personas' posterior stays as it was.

        Raises:
            ValueError: the turns do not begin with an opening.
        """
        if turns and not turns[0].is_opening:
            raise ValueError("the first turn must be the opening; what was said before says who is speaking")
        population = self.populations[turns[0].request.kind] if turns else Population()
        state = {persona: _Ways({(): weight}) for persona, weight in _styles(population)}
        results = []
        for turn in turns:
            result, following = _advance(population, state, turn)
            results.append(result)
            state = following or state
        return results


def _styles(population: Population) -> list[tuple[_OpenPersona, float]]:
    """Every style and patience with its probability."""
    low, high = population.patience
    result = []
    for lowercase, punctuation, patience in product((True, False), (True, False), range(low, high + 1)):
        weight = (population.lowercase if lowercase else 1 - population.lowercase) * (
            population.punctuation if punctuation else 1 - population.punctuation
        )
        if weight:
            result.append((_OpenPersona(lowercase, punctuation, patience), weight / (high - low + 1)))
    return result


def _advance(
    population: Population, state: dict[_OpenPersona, _Ways], turn: UserTurn
) -> tuple[ReplyLogProb, dict[_OpenPersona, _Ways]]:
    """The log-probability of a turn, and the state after it: empty where it is impossible."""
    before = stops = 0.0
    following: dict[_OpenPersona, _Ways] = {}
    programs: dict[tuple[Any, ...], tuple[_Ways, _Ways]] = {}
    for persona, ways in state.items():
        tired = turn.index > persona.patience
        style = (persona.lowercase, persona.punctuation, tired)
        if style not in programs:
            programs[style] = _said(persona, turn)
        said, as_stopped = programs[style]
        before += _total(population, ways)
        stops += _total(population, _times(ways, as_stopped))
        if said:
            following[persona] = _times(ways, said)
    both = sum(_total(population, ways) for ways in following.values())
    if not both:
        return ReplyLogProb(math.log(min(1.0, stops / before)) if stops > 0 else -math.inf, -math.inf), {}
    return ReplyLogProb(math.log(min(1.0, stops / before)), math.log(min(1.0, both / stops))), following


def _said(persona: Any, turn: UserTurn) -> tuple[_Ways, _Ways]:
    """The ways in which this persona says just this, and those in which it stops or goes on like this."""
    request = replace(turn.request, persona=persona)
    said: _Ways = Counter()
    as_stopped: _Ways = Counter()
    for reply, factors in enumerate_factors(lambda chooser: run_program(request, chooser)):
        if reply.stop != turn.reply.stop:
            continue
        constant = math.prod(f for f in factors if not isinstance(f, _Linear))
        key = tuple(sorted(f for f in factors if isinstance(f, _Linear)))
        as_stopped[key] += constant
        if reply.text == turn.reply.text:
            said[key] += constant
    return said, as_stopped


def _times(left: _Ways, right: _Ways) -> _Ways:
    result: _Ways = Counter()
    for (a, x), (b, y) in product(left.items(), right.items()):
        result[tuple(sorted(a + b))] += x * y
    return result


def _total(population: Population, ways: _Ways) -> float:
    """The polynomial with every field summed out."""
    return sum(constant * _expectation(population, factors) for factors, constant in ways.items())


def _expectation(population: Population, factors: tuple[_Linear, ...]) -> float:
    by_field: defaultdict[str, list[_Linear]] = defaultdict(list)
    for factor in factors:
        by_field[factor.name].append(factor)
    return math.prod(
        _moment(*getattr(population, name), tuple(factors)) for name, factors in by_field.items()
    )


@lru_cache(maxsize=65_536)
def _moment(low: float, high: float, factors: tuple[_Linear, ...]) -> float:
    """The mean of a product of functions of one field, which is uniform, then rounded to two digits."""
    values, weights = _grid(low, high)
    result = weights.copy()
    for factor in factors:
        result *= factor.offset + factor.scale * values
    return float(result.sum())


@lru_cache(maxsize=256)
def _grid(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """The values that ``Population.draw`` can give a field, and their probabilities."""
    if low == high:
        return np.array([round(low, 2)]), np.ones(1)
    values = np.arange(round(100 * low) - 1, round(100 * high) + 2) / 100
    upper, lower = np.minimum(values + 0.005, high), np.maximum(values - 0.005, low)
    weights = np.clip(upper - lower, 0.0, None) / (high - low)
    return values[weights > 0], weights[weights > 0]
