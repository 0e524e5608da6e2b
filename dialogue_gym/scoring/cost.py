"""What an agent's words cost: an optional price per word and per token."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dialogue_gym.dialogue import Conversation


def assistant_texts(conversation: Conversation) -> list[str]:
    """The agent's messages, in order."""
    return [message["content"] for message in conversation if message["role"] == "assistant"]


@dataclass(frozen=True)
class Cost:
    """Prices in reward units for all of the agent's messages of a dialogue.

    Attributes:
        per_word: price of one word (words are what ``str.split`` gives).
        per_token: price of one token.
        count_tokens: the number of tokens in a text; needed when tokens have a price.

    Raises:
        ValueError: a price is negative or not finite, or tokens have a price but no counter.

    Example:
        >>> cost = Cost(per_word=0.5)
        >>> cost.metrics([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello there"}])
        {'words': 2.0, 'cost': 1.0}
    """

    per_word: float = 0.0
    per_token: float = 0.0
    count_tokens: Callable[[str], int] | None = None

    def __post_init__(self) -> None:
        for name, price in (("word", self.per_word), ("token", self.per_token)):
            if not (isinstance(price, int | float) and math.isfinite(price) and price >= 0):
                raise ValueError(f"cost_per_{name} is {price!r}; it should be a finite number, 0 or more")
        if self.per_token and self.count_tokens is None:
            raise ValueError("cost_per_token is set without count_tokens; pass a function from text to int")

    def metrics(self, conversation: Conversation) -> dict[str, float]:
        """``words``, ``cost`` and, where there is a counter, ``tokens`` of the agent's messages."""
        texts = assistant_texts(conversation)
        words = float(sum(len(text.split()) for text in texts))
        counted = {} if self.count_tokens is None else {"tokens": self._tokens(texts, self.count_tokens)}
        cost = self.per_word * words + self.per_token * counted.get("tokens", 0.0)
        return {"words": words, **counted, "cost": cost}

    def identity(self) -> dict[str, Any]:
        """JSON-able prices."""
        return {"cost_per_word": self.per_word, "cost_per_token": self.per_token}

    @staticmethod
    def _tokens(texts: Sequence[str], count: Callable[[str], int]) -> float:
        return float(sum(count(text) for text in texts))
