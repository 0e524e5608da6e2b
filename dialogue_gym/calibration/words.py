"""Words of a text, and what they show at the level of patterns."""

import re
from collections.abc import Sequence
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_COMMON = frozenset(
    "a an the and or but of to in on at for with from by as is are was were be been it its this that these "
    "those i you he she we they me my your his her our their do does did have has had can could will would "
    "should how what when where who which why many much some there if then so not no than into about please "
    "need want write find get let just".split()
)


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, numbers among them; symbols are left out.

    Example:
        >>> words("It's 12, not 1/2!")
        ("it's", '12', 'not', '1', '2')
    """
    return tuple(_WORD.findall(text.lower()))


def content_words(text: str) -> frozenset[str]:
    """The words that say what a text is about: numbers, and words that are not among the commonest."""
    return frozenset(word for word in words(text) if word not in _COMMON)


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Runs of ``n`` tokens, in order."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
