"""An n-gram model of people's turns: bytes, interpolated by Witten and Bell's method.

Bytes, so that it gives every text of any script a probability: 256 values and an end make 257 symbols,
and the shortest context falls back on the uniform distribution over them. Longer contexts mix in by
Witten, Bell (1991), "The zero-frequency problem", method C, as interpolated in Chen, Goodman (1998):

    P(s | h) = (count(h s) + kinds(h) P(s | h without its first byte)) / (count(h) + kinds(h))

where ``kinds(h)`` is the number of different symbols seen after ``h``. It sums to one over all byte
strings, hence to at most one over all texts.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

END = 256
_START = 257  # stands before the text; never predicted


class ByteNgram:
    """Texts' natural-log probabilities, the end of the text included.

    Args:
        texts: what it learns from; may be empty.
        order: a symbol depends on this many minus one before it.
        symbols: size of the alphabet, end included; symbol ``symbols - 1`` is the end. For tests.

    Raises:
        ValueError: the order is below 1.

    Example:
        >>> model = ByteNgram(["yes", "yes", "no"], order=3)
        >>> model.log_prob("yes") > model.log_prob("no") > model.log_prob("maybe")
        True
    """

    def __init__(self, texts: Iterable[str], order: int = 6, symbols: int = END + 1) -> None:
        if order < 1:
            raise ValueError(f"order must be at least 1, got {order}")
        self.order, self.symbols = order, symbols
        self._after: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for text in texts:
            padded, first = self._padded(text.encode()), order - 1
            for i in range(first, len(padded)):
                for length in range(order):
                    self._after[tuple(padded[i - length : i])][padded[i]] += 1

    def log_prob(self, text: str) -> float:
        """Natural-log probability of the whole text and of ending after it."""
        return self.log_prob_of_bytes(text.encode())

    def log_prob_of_bytes(self, symbols: Sequence[int]) -> float:
        """The same of symbols below the end's."""
        padded, first = self._padded(symbols), self.order - 1
        return sum(
            math.log(self._share(padded[i], tuple(padded[i - first : i]))) for i in range(first, len(padded))
        )

    def _padded(self, symbols: Sequence[int]) -> list[int]:
        return [_START] * (self.order - 1) + [*symbols, self.symbols - 1]

    def _share(self, symbol: int, context: tuple[int, ...]) -> float:
        share = 1.0 / self.symbols
        for length in range(len(context) + 1):
            seen = self._after.get(context[len(context) - length :])
            if seen is None:  # then no longer context was seen either
                break
            share = (seen[symbol] + len(seen) * share) / (seen.total() + len(seen))
        return share


def fit_ngram(dialogues: Sequence[Sequence[str]], orders: Sequence[int] = (2, 3, 4, 5, 6, 8)) -> ByteNgram:
    """A model of all texts, its order chosen on every fifth dialogue and then fitted again with it.

    Args:
        dialogues: the texts of each; one dialogue's texts are on one side of the choice.
        orders: candidates.
    """

    def held_out(order: int) -> float:
        model = ByteNgram([t for i, d in enumerate(dialogues) if i % 5 for t in d], order)
        return sum(model.log_prob(t) for d in dialogues[::5] for t in d)

    return ByteNgram([t for d in dialogues for t in d], max(orders, key=held_out))
