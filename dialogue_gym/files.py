"""Files that are there as a whole or not at all, whatever kills the process that writes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Where to write the new content of a file: beside it, to take its place when the block ends well.

    Until then, and where the block raises, the file is what it was. Its folder is made. A kill leaves at
    most the one beside it, ``NAME.partial``, which the next write begins anew.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "figures.json"
        >>> with replacing(file) as beside:
        ...     _ = beside.write_text("1")
        ...     file.exists()
        False
        >>> file.read_text()
        '1'
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder; the name of a file would be right")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.partial")
    beside.unlink(missing_ok=True)
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, all of it or nothing; see ``replacing``.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
