"""Numbers that describe a dialogue to a policy which cannot read."""

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from dialogue_gym.dialogue import Conversation

Feature = Callable[[Conversation, int], float]
"""A number from 0 to 1, of the dialogue so far and the turns that its limit still allows."""

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NO = re.compile(r"\b(?:no|not|but|wait|sorry|wrong|sure|can't|don't|again|meant)\b", re.I)
_NOTHING = re.compile(
    r"\b(?:all i know|that's (?:it|all)|nothing else|everything|no idea|idk|don't know|not say)\b"
)
_MANY = 10
"""Turns and numbers are counted up to here."""
_LONG = math.log1p(60)


def _texts(conversation: Conversation, role: str) -> list[str]:
    return [message["content"] for message in conversation if message["role"] == role]


def _last(conversation: Conversation, role: str) -> str:
    return next((m["content"] for m in reversed(conversation) if m["role"] == role), "")


def _share(count: int) -> float:
    return min(count, _MANY) / _MANY


def turns_left(conversation: Conversation, left: int) -> float:
    """Share of the turn limit that is left."""
    taken = len(_texts(conversation, "assistant"))
    return left / max(left + taken, 1)


def turns_taken(conversation: Conversation, left: int) -> float:
    """The agent's messages, in tenths, up to ten: a user's patience is counted from the start."""
    return _share(len(_texts(conversation, "assistant")))


def numbers_told(conversation: Conversation, left: int) -> float:
    """Different numbers in the user's messages, in tenths, up to ten."""
    return _share(len({n for text in _texts(conversation, "user") for n in _NUMBER.findall(text)}))


def questions_asked(conversation: Conversation, left: int) -> float:
    """The agent's messages with a question mark, in tenths, up to ten."""
    return _share(sum("?" in text for text in _texts(conversation, "assistant")))


def agent_asked(conversation: Conversation, left: int) -> float:
    """Whether the agent's last message has a question mark."""
    return float("?" in _last(conversation, "assistant"))


def user_words(conversation: Conversation, left: int) -> float:
    """Words of the user's last message on a logarithmic scale: 1 stands for sixty words or more."""
    return min(1.0, math.log1p(len(_last(conversation, "user").split())) / _LONG)


def user_number(conversation: Conversation, left: int) -> float:
    """Whether the user's last message has a number."""
    return float(_NUMBER.search(_last(conversation, "user")) is not None)


def user_asks(conversation: Conversation, left: int) -> float:
    """Whether the user's last message has a question mark."""
    return float("?" in _last(conversation, "user"))


def user_objects(conversation: Conversation, left: int) -> float:
    """Whether the user's last message has a word of doubt or correction ("no", "but", "sorry")."""
    return float(_NO.search(_last(conversation, "user")) is not None)


def user_is_done(conversation: Conversation, left: int) -> float:
    """Whether the user's last message says that there is no more to tell ("that's all I know")."""
    return float(_NOTHING.search(_last(conversation, "user").lower()) is not None)


DEFAULT_FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            turns_left,
            turns_taken,
            numbers_told,
            questions_asked,
            agent_asked,
            user_words,
            user_number,
            user_asks,
            user_objects,
            user_is_done,
        )
    }
)
"""Features of English dialogues by name, whatever their task; none reads the meaning of a message."""


class FeatureReader:
    """Computes features of dialogues, in the order of their names.

    Args:
        features: functions by name; ``DEFAULT_FEATURES`` if None.

    Raises:
        ValueError: there is none, or one that is no function.

    Example:
        >>> read = FeatureReader({"turns_left": turns_left, "user_asks": user_asks})
        >>> read([{"role": "user", "content": "How many?"}], 12).tolist()
        [1.0, 1.0]
    """

    def __init__(self, features: Mapping[str, Feature] | None = None) -> None:
        self.features = dict(DEFAULT_FEATURES if features is None else features)
        if not self.features:
            raise ValueError("features must name at least one function")
        for name, function in self.features.items():
            if not callable(function):
                raise ValueError(f"feature {name!r} must be a function, got {type(function).__name__}")

    @property
    def space(self) -> spaces.Box:
        """From 0 to 1, float32, one number for each feature."""
        return spaces.Box(0.0, 1.0, (len(self.features),), np.float32)

    def __call__(self, conversation: Conversation, left: int) -> NDArray[np.float32]:
        """The features of one dialogue, a vector of float32.

        Raises:
            ValueError: a feature is not a number from 0 to 1; the message names it.
        """
        values = [function(conversation, left) for function in self.features.values()]
        for name, value in zip(self.features, values, strict=True):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"feature {name!r} must be a number from 0 to 1, got {value!r}")
        return np.array(values, dtype=np.float32)
