"""Keyed noise: every random choice is a function of a key, never of what was drawn before.

A key is a path such as ``(seed, "reply", turn, "style")``. Equal paths give equal draws, on any
machine, in any order and in any batch, so a dialogue can be resumed in the middle or played beside
other dialogues without changing. The hash is BLAKE2b (RFC 7693).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_MASK_52 = (1 << 52) - 1


@dataclass(frozen=True, slots=True)
class NoiseKey:
    """A name for one random draw; ``child`` derives independent keys from it.

    Example:
        >>> key = NoiseKey((7,)).child("reply", 2)
        >>> key.uniform() == NoiseKey((7, "reply", 2)).uniform()
        True
        >>> 0.0 <= key.uniform() < 1.0
        True
    """

    path: tuple[int | str, ...]

    def child(self, *parts: int | str) -> "NoiseKey":
        """The key further down the path."""
        return NoiseKey(self.path + parts)

    def bits(self) -> int:
        """64 random bits, as an int in [0, 2**64); fit to seed another generator."""
        # repr keeps 1 and "1" apart and separates the parts without ambiguity
        return int.from_bytes(blake2b(repr(self.path).encode(), digest_size=8).digest(), "little")

    def seed(self) -> int:
        """A seed in [0, 2**52), which survives JSON readers that know only doubles."""
        return self.bits() & _MASK_52

    def uniform(self) -> float:
        """A number in [0, 1) with 53 random bits."""
        return (self.bits() >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """An int in [low, high], both ends included (bias below 2**-40 for spans below 2**24)."""
        return low + self.bits() % (high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        """One item, each as likely as the others."""
        return items[self.bits() % len(items)]

    def generator(self) -> np.random.Generator:
        """A NumPy generator for many draws under this key."""
        return np.random.Generator(np.random.PCG64(self.bits()))
