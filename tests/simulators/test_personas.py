"""Personas and populations refuse values that cannot be."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, Population, ScriptedUser

PROBABILITIES = ("disclosure", "terseness", "politeness", "slip", "correction", "trust")
NO_PROBABILITY = ("a", None, True, -0.1, 1.1, math.nan, math.inf, [0.5])


def refuses(make: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^a {make.__name__.lower()}'s {name} must be ") as error:
        make(**{name: value})
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(f", got {value!r}")


@pytest.mark.parametrize("value", NO_PROBABILITY)
def test_what_is_no_probability_is_refused(value: Any) -> None:
    for name in PROBABILITIES:
        refuses(Persona, name, value)
        refuses(Population, name, (0.0, value))
        refuses(Population, name, (value, 1.0))
    for name in ("lowercase", "punctuation"):
        refuses(Population, name, value)


@pytest.mark.parametrize("bounds", [(0.6, 0.05), 0.5, (0.5,), (0.1, 0.2, 0.3), "ab", None, {0.1, 0.2}])
def test_what_are_no_bounds_is_refused(bounds: Any) -> None:
    for name in (*PROBABILITIES, "patience"):
        refuses(Population, name, bounds)


@pytest.mark.parametrize("value", ["8", None, 8.0, -1, True, math.nan])
def test_patience_counts_turns(value: Any) -> None:
    refuses(Persona, "patience", value)
    refuses(Population, "patience", (value, 14))
    refuses(Population, "patience", (14, 6))


@pytest.mark.parametrize("value", [0, 1.0, "no", None])
def test_switches_are_bools(value: Any) -> None:
    for name in ("lowercase", "punctuation"):
        refuses(Persona, name, value)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    st.lists(st.integers(0, 99), min_size=2, max_size=2).map(sorted),
    st.integers(0, 2**40),
)
def test_what_can_be_is_taken_and_drawn_from_json_too(bounds: Any, patience: Any, seed: int) -> None:
    population = Population(**dict.fromkeys(PROBABILITIES, tuple(bounds)), patience=tuple(patience))
    persona = population.draw(NoiseKey((seed,)))
    assert Population(**json.loads(json.dumps(population.to_dict()))).draw(NoiseKey((seed,))) == persona
    assert Persona(**json.loads(json.dumps(persona.to_dict()))) == persona


def test_a_scripted_user_refuses_them_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="a population's trust must be two numbers from 0 to 1"):
        ScriptedUser({"trust": 0.5})
