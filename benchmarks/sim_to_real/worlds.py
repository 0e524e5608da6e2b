"""The toy's people: reference populations drawn from a prior, and the cooperative users that prompts give."""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.calibration.world import COOPERATIVE
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ScriptedUser
from dialogue_gym.simulators.personas import Population
from dialogue_gym.tasks.base import Kind

CONCENTRATION = 20.0
"""Of the beta distributions of a population's centres: a standard deviation of about 0.1 at one half."""
_SHARES = ("disclosure", "terseness", "politeness", "slip", "correction", "trust")


def reference_population(kind: Kind, seed: int) -> Population:
    """A population of the prior, around the default one, made after SimulatorArena's counts.

    Each field's range is moved as a whole: its middle is drawn from a beta distribution around the
    centre's, and patience moves by up to three turns.
    """
    rng = NoiseKey(("reference population", kind, seed)).generator()
    centre = ScriptedUser().populations[kind]
    fields: dict[str, Any] = {}
    for name in _SHARES:
        low, high = getattr(centre, name)
        fields[name] = _moved(low, high, _beta(rng, (low + high) / 2))
    for name in ("lowercase", "punctuation"):
        fields[name] = _beta(rng, getattr(centre, name))
    step = int(rng.integers(-3, 4))
    fields["patience"] = (centre.patience[0] + step, centre.patience[1] + step)
    return replace(centre, **fields)


def _beta(rng: np.random.Generator, mean: float) -> float:
    return float(rng.beta(CONCENTRATION * mean, CONCENTRATION * (1 - mean)))


def _moved(low: float, high: float, middle: float) -> tuple[float, float]:
    half = min((high - low) / 2, middle, 1 - middle)
    return middle - half, middle + half


def naive_population(reference: Population, strength: float) -> Population:
    """Between the reference (strength 0) and users who tell everything at once and agree (strength 1).

    Raises:
        ValueError: a strength that is no share.

    Example:
        >>> naive_population(Population(), 0.0) == Population()
        True
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be a share from 0 to 1, got {strength}")
    fields: dict[str, Any] = {}
    for name, extreme in COOPERATIVE.items():
        own = getattr(reference, name)
        if isinstance(own, tuple):
            between = [(1 - strength) * a + strength * b for a, b in zip(own, extreme, strict=True)]
            fields[name] = tuple(round(x) for x in between) if name == "patience" else tuple(between)
        else:
            fields[name] = (1 - strength) * own + strength * extreme
    return Population(**fields)
