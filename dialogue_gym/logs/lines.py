"""Lines of a file that may be too long to hold."""

from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE = 16 * 2**20
"""Bytes that a line of a log may have, its end included."""

_CHUNK = 2**16


def bounded_lines(file: BinaryIO, limit: int = MAX_LINE) -> Iterator[tuple[bytes, int]]:
    r"""The lines of a file, with their ends, each with its length in bytes.

    A line of more than ``limit`` bytes comes as ``b""``: it is read past in pieces and never held whole.

    Example:
        >>> from io import BytesIO
        >>> list(bounded_lines(BytesIO(b"one\nthirteen\nx"), limit=5))
        [(b'one\n', 4), (b'', 9), (b'x', 1)]
    """
    while line := file.readline(limit + 1):
        length = len(line)
        if length > limit:
            ended, line = line.endswith(b"\n"), b""
            length += 0 if ended else _skip_line(file)
        yield line, length


def _skip_line(file: BinaryIO) -> int:
    """Read to the end of the line; the number of bytes read."""
    skipped = 0
    while chunk := file.readline(_CHUNK):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped
