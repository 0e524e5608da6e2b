"""Rows of files that others made: JSON Lines, JSON arrays, Parquet, and data sets saved to a folder."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from dialogue_gym.logs.lines import MAX_LINE, bounded_lines

_BOM = b"\xef\xbb\xbf"
_ARRAY_LIMIT = 64  # a JSON array is read whole: this many rows' limits of it at most
_UNDECODED = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of bytes that are not UTF-8
_SPACE = re.compile(r"\s*")


class BadRow(ValueError):
    """A row that cannot be used.

    Attributes:
        reason: the kind of fault, the same for all rows that share it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    Attributes:
        path: the file or folder.
        where: how errors name the row: ``FILE:LINE``, or ``FILE: row N`` where there are no lines.
        number: its line, or its row where there are no lines; from 1.
        data: the row; None when it could not be read.
        problem: why it could not be read.
        split: the split that it was stored under, "" when unknown.
    """

    path: Path
    where: str
    number: int
    data: dict[str, Any] | None
    problem: BadRow | None = None
    split: str = ""


def read_rows(path: str | Path, limit: int = MAX_LINE) -> Iterator[Row]:
    """The rows of a file or of a data set's folder, in order, bad ones with their problem.

    Lines are read one at a time and those beyond the limit are never held. A JSON array is read whole;
    what follows an element that is no JSON cannot be found and is left unread, which the problem says.

    Args:
        path: ``*.parquet``, a folder that ``datasets`` saved, or JSON.
        limit: bytes that one line (of a JSON array: one element, in characters) may have.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: a Parquet file or a data set, without the packages that read them.
        ValueError: the file as a whole is not what it looks like.
    """
    path = Path(path)
    if path.is_dir():
        return _dataset_rows(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    with open(path, "rb") as file:
        head = file.read(4096).removeprefix(_BOM)
    if path.suffix == ".parquet" or head.startswith(b"PAR1"):
        return _parquet_rows(path)
    return _array_rows(path, limit) if head.lstrip().startswith(b"[") else _line_rows(path, limit)


# JSON ----------------------------------------------------------------------------------------------


def _line_rows(path: Path, limit: int) -> Iterator[Row]:
    with open(path, "rb") as file:
        for number, (line, length) in enumerate(bounded_lines(file, limit), 1):
            where = f"{path}:{number}"
            try:
                if length > limit:
                    raise _too_long(length, limit, "bytes")
                line = line.removeprefix(_BOM) if number == 1 else line
                if line.strip():
                    yield Row(path, where, number, _row_of(_parse_line(line)))
            except BadRow as problem:
                yield Row(path, where, number, None, problem)


def _parse_line(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        if not line.endswith(b"\n"):
            raise BadRow("half-written last line", "the last line is half written") from None
        if isinstance(error, UnicodeDecodeError):
            raise BadRow("not UTF-8", f"not UTF-8 (byte {error.start}), should be UTF-8 text") from None
        raise BadRow("broken line", f"not JSON ({error}), should be one JSON object") from None


def _array_rows(path: Path, limit: int) -> Iterator[Row]:
    size = path.stat().st_size
    if size > _ARRAY_LIMIT * limit:
        raise ValueError(f"{path}: a JSON array of {size} bytes is too much to read whole; use JSON Lines")
    text = path.read_bytes().removeprefix(_BOM).decode(errors="surrogateescape")
    position, line, counted = _skip_space(text, text.index("[") + 1), 1, 0
    number = 0
    while not text.startswith("]", position):
        number += 1
        line, counted = line + text.count("\n", counted, position), position
        where = f"{path}:{line} (row {number})"
        try:
            data, position = _array_element(text, position)
        except BadRow as broken:
            yield Row(path, where, number, None, broken)
            return
        try:
            yield Row(path, where, number, _checked_element(text[counted:position], data, limit))
        except BadRow as fault:
            yield Row(path, where, number, None, fault)
    end = _skip_space(text, position + 1)
    if end < len(text):
        problem = BadRow("broken line", "text after the end of the JSON array")
        yield Row(path, f"{path}:{1 + text.count(chr(10), 0, end)}", number + 1, None, problem)


def _array_element(text: str, position: int) -> tuple[Any, int]:
    """One element and the position of the next one, or of the closing bracket."""
    try:
        data, position = json.JSONDecoder().raw_decode(text, position)
        position = _skip_space(text, position)
        if text.startswith(",", position):
            return data, _skip_space(text, position + 1)
        if text.startswith("]", position):
            return data, position
        raise ValueError("neither a comma nor a closing bracket follows")
    except (ValueError, RecursionError) as error:
        what = f"not JSON ({error}); nothing after it in this array can be read"
        raise BadRow("broken line", what) from None


def _checked_element(source: str, data: Any, limit: int) -> dict[str, Any]:
    if len(source) > limit:
        raise _too_long(len(source), limit, "characters")
    if _UNDECODED.search(source):
        raise BadRow("not UTF-8", "has bytes that are not UTF-8, should be UTF-8 text")
    return _row_of(data)


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _too_long(length: int, limit: int, unit: str) -> BadRow:
    return BadRow("too long", f"has {length} {unit}, more than the limit of {limit}")


# tables --------------------------------------------------------------------------------------------


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError:
        raise _missing("pyarrow", path) from None
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            batches = (batch.to_pylist() for batch in table.iter_batches(batch_size=64))
            yield from _table_rows(path, chain.from_iterable(batches))
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None


def _dataset_rows(path: Path) -> Iterator[Row]:
    try:
        import datasets
    except ImportError:
        raise _missing("datasets", path) from None
    try:
        stored = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{path}: not a data set saved by datasets ({str(error).splitlines()[0]})") from None
    if isinstance(stored, datasets.DatasetDict):
        for split, rows in stored.items():
            yield from _table_rows(path, rows, str(split))
    else:
        yield from _table_rows(path, stored)


def _table_rows(path: Path, rows: Iterable[Any], split: str = "") -> Iterator[Row]:
    for number, data in enumerate(rows, 1):
        where = f"{path}: {split} row {number}" if split else f"{path}: row {number}"
        try:
            yield Row(path, where, number, _row_of(data), split=split)
        except BadRow as problem:
            yield Row(path, where, number, None, problem, split)


def _missing(package: str, path: Path) -> ImportError:
    return ImportError(f'{path} needs {package} to be read: pip install "dialogue-gym[agents]"')


# any row -------------------------------------------------------------------------------------------


def _row_of(data: Any) -> dict[str, Any]:
    """The row, if it is an object whose numbers are all numbers."""
    if not isinstance(data, dict):
        raise BadRow("no object", f"a JSON {type(data).__name__}, should be one JSON object")
    todo = [(str(name), value) for name, value in data.items()]
    while todo:
        name, value = todo.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise BadRow("not a number", f"field {name!r}: is {value}, should be a finite number or null")
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            todo.extend((name, item) for item in inner)
    return data
