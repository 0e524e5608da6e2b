"""Spaces for chat: text of any Unicode, and conversations."""

import copy
import string
from typing import Any

import gymnasium as gym
from gymnasium import spaces

LONGEST_TEXT = 2**31 - 1
"""Upper bound of message lengths in characters: out of reach, so that no text is outside a space."""

_SAMPLE_CHARACTERS = string.ascii_letters + string.digits + " .,?!"
_LONGEST_SAMPLE = 64


class Text(spaces.Text):
    """Text by length alone: membership looks at the type and the length, never at the characters.

    Gymnasium's own ``Text`` lists its characters, scans every member and cannot hold all of Unicode.
    Samples are short ASCII, so that a checker never sends a megabyte to a simulator. Lone surrogates
    are members too; environments replace them by U+FFFD when they take an action in.

    Args:
        max_length: longest member, in characters.
        min_length: shortest member; 0 because models do return the empty string.
        seed: for sampling.

    Example:
        >>> space = Text()
        >>> "café ☕" in space, "" in space, 3 in space
        (True, True, False)
        >>> Text(10)
        Text(0, 10)
    """

    def __init__(
        self, max_length: int = LONGEST_TEXT, *, min_length: int = 0, seed: int | None = None
    ) -> None:
        super().__init__(max_length, min_length=min_length, charset=_SAMPLE_CHARACTERS, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a ``str`` of an allowed length; constant time."""
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short ASCII text: at most 64 characters unless ``min_length`` asks for more."""
        if mask is None and probability is None:
            longest = max(self.min_length, min(self.max_length, _LONGEST_SAMPLE))
            mask = (int(self.np_random.integers(self.min_length, longest + 1)), None)
        return super().sample(mask=mask, probability=probability)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Text":
        """A space with a generator of its own; the table of characters never changes and is shared.

        Gymnasium copies the spaces of a single environment for every row of a vector environment.
        """
        other = copy.copy(self)
        other._np_random = copy.deepcopy(self._np_random, memo)
        return other

    def __repr__(self) -> str:
        return f"Text({self.min_length}, {self.max_length})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Text)
            and self.min_length == other.min_length
            and self.max_length == other.max_length
        )


def conversation_space(seed: int | None = None) -> gym.Space[tuple[Any, ...]]:
    """Tuples of ``{"role", "content"}`` dicts, any number of them.

    Example:
        >>> ({"role": "user", "content": "hi"},) in conversation_space()
        True
    """
    message = spaces.Dict({"role": Text(16), "content": Text()})
    return spaces.Sequence(message, seed=seed)
