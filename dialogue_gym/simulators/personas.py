"""Personas: how a user behaves, and populations that they are drawn from."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from dialogue_gym.seeding import NoiseKey

_PROBABILITIES = ("disclosure", "terseness", "politeness", "slip", "correction", "trust")
_SWITCHES = ("lowercase", "punctuation")


@dataclass(frozen=True, slots=True)
class Persona:
    """How one user behaves; every field is a probability or a small number, plain data.

    Attributes:
        disclosure: probability that each fact is told in the opening.
        terseness: probability that a reply is cut to its bare content ("12").
        politeness: probability of a polite word in a reply.
        slip: probability that a fact is first told with a wrong value.
        correction: probability per turn that a slip is then corrected.
        trust: probability of accepting an answer that looks right; see ``ScriptedUser``.
        patience: turns after which the user may walk away.
        lowercase: whether the user writes without capitals.
        punctuation: whether the user ends sentences with punctuation.

    Raises:
        ValueError: a value that cannot be, in one line with the field's name.

    Example:
        >>> Persona(trust=1.5)
        Traceback (most recent call last):
        ValueError: a persona's trust must be a number from 0 to 1, got 1.5
    """

    disclosure: float = 0.5
    terseness: float = 0.4
    politeness: float = 0.15
    slip: float = 0.05
    correction: float = 0.7
    trust: float = 0.85
    patience: int = 8
    lowercase: bool = True
    punctuation: bool = False

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            _check(_is_probability(getattr(self, name)), self, name, "a number from 0 to 1")
        _check(_is_count(self.patience), self, "patience", "an int of at least 0")
        for name in _SWITCHES:
            _check(isinstance(getattr(self, name), bool), self, name, "a bool")

    def to_dict(self) -> dict[str, float | int | bool]:
        """Plain JSON-able fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Population:
    """A distribution over personas: independent fields, each uniform between two bounds.

    Attributes:
        disclosure: bounds of the field of that name; likewise the rest.
        lowercase: probability that a persona writes in lower case.
        punctuation: probability that a persona punctuates.

    Raises:
        ValueError: a value that cannot be, or bounds in the wrong order, in one line with the field's name.
    """

    disclosure: tuple[float, float] = (0.05, 0.6)
    terseness: tuple[float, float] = (0.2, 0.7)
    politeness: tuple[float, float] = (0.0, 0.3)
    slip: tuple[float, float] = (0.0, 0.1)
    correction: tuple[float, float] = (0.5, 0.9)
    trust: tuple[float, float] = (0.7, 0.95)
    patience: tuple[int, int] = (6, 14)
    lowercase: float = 0.6
    punctuation: float = 0.5

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            fits = _are_bounds(getattr(self, name), _is_probability)
            _check(fits, self, name, "two numbers from 0 to 1, the lower one first")
        fits = _are_bounds(self.patience, _is_count)
        _check(fits, self, "patience", "two ints of at least 0, the lower one first")
        for name in _SWITCHES:
            _check(_is_probability(getattr(self, name)), self, name, "a number from 0 to 1")

    def to_dict(self) -> dict[str, list[float] | float]:
        """Plain JSON-able fields; bounds as lists, as JSON gives them back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def draw(self, key: NoiseKey) -> Persona:
        """The persona that belongs to ``key``; fields rounded to two digits so that JSON is exact."""

        def between(name: str) -> float:
            low, high = getattr(self, name)
            return float(round(low + (high - low) * key.child(name).uniform(), 2))

        return Persona(
            disclosure=between("disclosure"),
            terseness=between("terseness"),
            politeness=between("politeness"),
            slip=between("slip"),
            correction=between("correction"),
            trust=between("trust"),
            patience=key.child("patience").integer(*self.patience),
            lowercase=key.child("lowercase").uniform() < self.lowercase,
            punctuation=key.child("punctuation").uniform() < self.punctuation,
        )


def _check(fits: bool, owner: Persona | Population, name: str, right: str) -> None:
    if not fits:
        kind = type(owner).__name__.lower()
        raise ValueError(f"a {kind}'s {name} must be {right}, got {getattr(owner, name)!r}")


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_bounds(value: Any, fits: Callable[[Any], bool]) -> bool:
    """Whether these are two values that fit, in order; a list is what JSON gives back."""
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and all(map(fits, value)) and value[0] <= value[1]
