"""Rows of a data set, by split: from JSON Lines, JSON and Parquet files, folders and the dataset hub."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dialogue_gym.dialogue import clean_text
from dialogue_gym.language_models.quiet import quiet_hub

Row = Mapping[str, Any]
_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
_SUFFIXES = (".jsonl", ".json", ".parquet")


class Table(Protocol):
    """Rows with named columns; reading one row does not read the others."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Row:
        """One row."""
        ...

    def __iter__(self) -> Iterator[Row]:
        """All rows, in order."""
        ...

    def column(self, name: str) -> Sequence[Any]:
        """All values of one column."""
        ...


class ListTable:
    """Rows that are in memory; a column that a row lacks is None there."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self._rows = rows
        self.columns = tuple(dict.fromkeys(name for row in rows for name in row))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def column(self, name: str) -> Sequence[Any]:
        """All values of one column."""
        return [row.get(name) for row in self._rows]


class HubTable:
    """A split as the ``datasets`` library gives it; rows stay on the disk until they are asked for."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.columns: tuple[str, ...] = tuple(dataset.column_names)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Row:
        row: Row = self._dataset[index]
        return row

    def __iter__(self) -> Iterator[Row]:
        return iter(self._dataset)

    def column(self, name: str) -> Sequence[Any]:
        """All values of one column."""
        return list(self._dataset[name])


def read_tables(path: str | Path, config: str | None = None, revision: str | None = None) -> dict[str, Table]:
    """The splits of a data set by the names that they have there; a file is one split, named "all".

    Args:
        path: a file (``.jsonl``, ``.json`` with a list of objects, ``.parquet``), a folder of such files
            in the hub's layout or as ``save_to_disk`` wrote it, or the name of a set on the hub
            ("owner/name").
        config: the configuration of a set on the hub that has several.
        revision: the branch, tag or commit on the hub.

    Raises:
        ValueError: it cannot be read, or holds nothing; one line.
        ImportError: the extra that reads it is not installed.
        OSError: a file cannot be read.
    """
    given = Path(path)
    if given.is_file() or given.suffix in _SUFFIXES:
        tables: dict[str, Table] = {"all": _read_file(given)}
    else:
        tables = _load(str(path), config, revision)
    if not any(len(table) for table in tables.values()):
        raise ValueError(f"{path}: the set is empty; it should hold one task a row")
    return tables


def _read_file(path: Path) -> Table:
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"{path}: no data file that is known; it should end in {', '.join(_SUFFIXES)}")
    check_file(path)
    if path.suffix == ".parquet":
        return ListTable(_read_parquet(path))
    try:
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None
    if path.suffix == ".json":
        rows = _parse(text, str(path))
        if not isinstance(rows, list):
            raise ValueError(f"{path}: a JSON {type(rows).__name__}; it should be a list of objects")
        numbered: list[tuple[int, Any]] = list(enumerate(rows))
    else:
        lines = enumerate(text.split("\n"), 1)
        numbered = [(number, _parse(line, f"{path}:{number}")) for number, line in lines if line.strip()]
    for number, row in numbered:
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: a JSON {type(row).__name__}; a row should be an object")
    return ListTable([row for _, row in numbered])


def check_file(path: Path) -> None:
    """Raise OSError, one line, where there is no such file."""
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder; path= should name a file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError(f"{where}: JSON nested too deep; a row is a flat object") from None


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(f'{path}: Parquet files need pyarrow: pip install "dialogue-gym[hub]"') from None
    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path}: not a Parquet file ({_in_a_line(error)})") from None
    return rows


def _load(path: str, config: str | None, revision: str | None) -> dict[str, Table]:
    folder = Path(path)
    if not folder.is_dir() and not _HUB_NAME.fullmatch(path):
        raise ValueError(
            f"{path}: there is no such file or folder; a set on the hub is named as 'owner/name'"
        )
    try:
        import datasets
    except ImportError:
        raise ImportError(
            f'{path}: sets of the hub need "datasets": pip install "dialogue-gym[hub]"'
        ) from None
    saved = [name for name in ("dataset_dict.json", "state.json") if (folder / name).is_file()]
    try:
        with quiet_hub():
            if saved:
                loaded = datasets.load_from_disk(path)
            else:
                loaded = datasets.load_dataset(path, config, revision=revision)
    except Exception as error:  # the library's faults are of many kinds: file systems, networks, formats
        kind = "folder" if folder.is_dir() else "set on the hub"
        raise ValueError(
            f"{path}: this {kind} cannot be loaded ({_in_a_line(error.__cause__ or error)}); "
            "path= takes a file, a folder or the name of a set on the hub"
        ) from error
    splits = loaded if isinstance(loaded, Mapping) else {"all": loaded}
    return {str(name): HubTable(dataset) for name, dataset in splits.items()}


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def text_in(row: Row, column: str) -> str:
    """The text of a column, "" for null; numbers as they are written.

    Raises:
        TypeError: it holds something else, such as a list.
    """
    value = row.get(column)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(type(value).__name__)
    return clean_text(str(value)).strip()


class RowsOf:
    """Some rows of a table, in a given order."""

    def __init__(self, table: Table, numbers: Sequence[int]) -> None:
        self._table = table
        self._numbers = numbers
        self.columns = tuple(table.columns)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Row:
        return self._table[self._numbers[index]]

    def __iter__(self) -> Iterator[Row]:
        return (self._table[number] for number in self._numbers)

    def column(self, name: str) -> Sequence[Any]:
        """All values of one column."""
        values = self._table.column(name)
        return [values[number] for number in self._numbers]
