"""How many tokens a text has: as cl100k counts them, or estimated without its file."""

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

_PIECE = re.compile(r"\w+|[^\w\s]+")
_LETTERS, _BYTES, _MARKS = 8, 3, 2  # of a token: of plain words, of other scripts, of marks in a row


def estimate_tokens(text: str) -> int:
    """About the number of cl100k tokens: one for each word of eight letters or fewer, each mark or two.

    Example:
        >>> estimate_tokens("Understandably, it works.")
        6
    """
    return sum(map(_tokens, _PIECE.findall(text)))


def _tokens(piece: str) -> int:
    if not piece.isascii():
        return math.ceil(len(piece.encode()) / _BYTES)
    return math.ceil(len(piece) / (_LETTERS if piece[0].isalnum() or piece[0] == "_" else _MARKS))


def _estimate() -> Callable[[str], int]:
    return estimate_tokens


def _cl100k() -> Callable[[str], int]:
    try:
        import tiktoken
    except ImportError:
        raise ImportError('tokens="cl100k" needs tiktoken: pip install tiktoken') from None
    encoding = tiktoken.get_encoding("cl100k_base")
    return lambda text: len(encoding.encode(text, disallowed_special=()))


TOKEN_COUNTS: Mapping[str, Callable[[], Callable[[str], int]]] = MappingProxyType(
    {"cl100k": _cl100k, "estimate": _estimate}
)
