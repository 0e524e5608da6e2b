"""Tasks from the rows of a data set: columns, splits, and what is left out and why."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from dialogue_gym.registry import nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import SPLITS, Brief, Kind, Reference, Task, check_split
from dialogue_gym.tasks.jsonl import split_of
from dialogue_gym.tasks.rows import Row, Table, read_tables, text_in
from dialogue_gym.tasks.word_problems import canonical_form

_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_LONGEST = 20_000
_Place = tuple[str, int]  # the split's name in the set, and the row


@dataclass(frozen=True, slots=True)
class Shape:
    """How a row becomes a task.

    Attributes:
        kind: "math" or "document".
        columns: the columns that must be there, by what they are for; the first holds the text that makes
            two rows the same task.
        reference: what the scorer sees of a row; None where the row has no answer.
        brief: what the user sees of it.
        level: see ``Task``.
    """

    kind: Kind
    columns: Mapping[str, str]
    reference: Callable[[Row], Reference | None]
    brief: Callable[[Row], Brief]
    level: Callable[[Row], int] = lambda row: 0


class TableOptions(TypedDict, total=False):
    """What every source with a table takes; see ``TableTasks``."""

    config: str | None
    revision: str | None
    splits: Mapping[str, str] | None
    max_chars: int


def check_table_options(options: Mapping[str, object], where: str) -> None:
    """Raise ValueError, with the nearest names, for options that no table takes."""
    valid = ("path", *TableOptions.__annotations__)
    for option in options:
        if option not in valid:
            raise ValueError(f"{where} has no option {option!r}: {nearest(option, valid)}")


class TableTasks:
    """Tasks of a data set with columns; what cannot be played is left out, counted, and said once.

    Splits: those of the set, by their usual names ("dev" is validation). A set with one split, or a
    file, is divided by the hash of each row's canonical form: 80 % train, 10 % validation, 10 % test.
    Where one of the three is missing, it is a tenth of "train", by the same hash. ``splits`` says which
    is which instead; then nothing is divided.

    Args:
        shape: how a row becomes a task.
        path: a file, a folder or the name of a set on the hub; see ``read_tables``.
        config: the configuration of a set on the hub that has several.
        revision: the branch, tag or commit on the hub.
        splits: the set's split for each of ours, such as ``{"train": "all"}``.
        max_chars: rows whose columns hold more characters than this together are left out.
        name: what logs call the source.
        distinct: whether a text that comes again is left out, which is no fault and not reported.
        tables: the rows by split, where they have been read already.
        more: further options for ``identity``.

    Raises:
        ValueError: a column or a split is missing (the message names those there), or no row is left.
        ImportError: an extra that is needed to read it is not installed.
        OSError: a file cannot be read.

    Warns:
        UserWarning: rows are left out; how many, and why.
    """

    def __init__(
        self,
        shape: Shape,
        path: str | Path,
        *,
        config: str | None = None,
        revision: str | None = None,
        splits: Mapping[str, str] | None = None,
        max_chars: int = _LONGEST,
        name: str = "hub",
        distinct: bool = False,
        tables: Mapping[str, Table] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        if isinstance(max_chars, bool) or not isinstance(max_chars, int) or max_chars < 1:
            raise ValueError(f"max_chars must be an int of at least 1, got {max_chars!r}")
        self.kind: Kind = shape.kind
        self._shape = shape
        self._path = str(path)
        self._options: dict[str, object] = {
            "config": config,
            "revision": revision,
            "splits": splits and dict(splits),
            **(more or {}),
        }
        self._name = name
        self._tables = dict(read_tables(path, config, revision) if tables is None else tables)
        native = _native_splits(self._path, self._tables, splits)
        for split in native.values():
            check_columns(self._path, split, self._tables[split].columns, shape.columns)
        self._dropped: Counter[str] = Counter()
        self._seen: set[str] | None = set() if distinct else None
        self._hash = sha256()
        usable = {ours: self._usable(theirs, max_chars) for ours, theirs in native.items()}
        total = sum(len(self._tables[split]) for split in native.values())
        _report(self._path, self._dropped, total)
        self._digest = self._hash.hexdigest()
        del self._hash, self._seen  # of no more use, and a hash cannot be copied to another process
        self._places = usable if splits else self._divide(usable)

    def draw(self, split: str, key: NoiseKey) -> Task:
        """The task of ``split`` that belongs to ``key``.

        Raises:
            ValueError: the split does not exist or is empty.
        """
        return self._task(key.child("row").choice(self._at(split)), split)

    def tasks(self, split: str) -> Sequence[Task]:
        """All tasks of ``split``, in the set's order.

        Raises:
            ValueError: the split does not exist or is empty.
        """
        return tuple(self._task(place, split) for place in self._at(split))

    def identity(self) -> dict[str, object]:
        """JSON-able name and options, for logs; the hash is that of all texts and answers in use."""
        return {
            "name": self._name,
            "path": self._path,
            **{option: value for option, value in self._options.items() if value},
            "columns": dict(self._shape.columns),
            "rows": {split: len(places) for split, places in self._places.items()},
            "left_out": dict(self._dropped),
            "sha256": self._digest,
        }

    def _at(self, split: str) -> Sequence[_Place]:
        check_split(split)
        places = self._places.get(split, ())
        if not places:
            sizes = ", ".join(f"{name} {len(self._places.get(name, ()))}" for name in SPLITS)
            theirs = ", ".join(map(repr, self._tables))
            raise ValueError(
                f"{self._path}: no task in the split {split!r} (tasks: {sizes}); the set's own splits are "
                f"{theirs}, and splits={{{split!r}: ...}} takes one of them"
            )
        return places

    def _usable(self, split: str, max_chars: int) -> list[_Place]:
        """The rows that can be played; counts those that cannot."""
        places = []
        for number, row in enumerate(self._tables[split]):
            fault = self._fault(row, max_chars)
            if fault:
                self._dropped[fault] += 1
            elif self._is_new(row):
                places.append((split, number))
        return places

    def _fault(self, row: Row, max_chars: int) -> str:
        try:
            texts = [text_in(row, column) for column in self._shape.columns.values()]
        except TypeError as error:
            return f"with a {error} where a text should be"
        if sum(map(len, texts)) > max_chars:
            return f"longer than {max_chars:,} characters"
        if not texts[0]:
            return f"with nothing in the column {next(iter(self._shape.columns.values()))!r}"
        return "without an answer" if self._shape.reference(row) is None else ""

    def _is_new(self, row: Row) -> bool:
        text = self._text(row)
        if self._seen is not None:
            if text in self._seen:
                return False
            self._seen.add(text)
        reference = self._shape.reference(row)
        assert reference is not None
        self._hash.update(repr((text, reference.answer, reference.text)).encode())
        return True

    def _text(self, row: Row) -> str:
        return text_in(row, next(iter(self._shape.columns.values())))

    def _divide(self, usable: Mapping[str, list[_Place]]) -> dict[str, list[_Place]]:
        """Fill the splits that the set lacks; rows that differ in names and numbers only stay together."""
        if set(usable) == {"all"}:
            return self._sorted_by(usable["all"], split_of)
        missing = [split for split in SPLITS if split not in usable]
        if "train" not in usable or len(missing) != 1:
            return dict(usable)
        cut = self._sorted_by(usable["train"], lambda form: "rest" if split_of(form) == "test" else "train")
        return {**usable, "train": cut.get("train", []), missing[0]: cut.get("rest", [])}

    def _sorted_by(self, places: Sequence[_Place], split: Callable[[str], str]) -> dict[str, list[_Place]]:
        sorted_places: dict[str, list[_Place]] = {}
        for theirs, number in places:
            form = canonical_form(self._text(self._tables[theirs][number]))
            sorted_places.setdefault(split(form), []).append((theirs, number))
        return sorted_places

    def _task(self, place: _Place, split: str) -> Task:
        theirs, number = place
        row = self._tables[theirs][number]
        reference = self._shape.reference(row)
        assert reference is not None
        identity = f"{Path(self._path).stem}-{theirs}-{number}"
        level = self._shape.level(row)
        return Task(identity, self.kind, self._shape.brief(row), reference, split, level=level)


def _native_splits(
    path: str, tables: Mapping[str, Table], splits: Mapping[str, str] | None
) -> dict[str, str]:
    """The set's split for each of ours, or for "all" where there is but one."""
    there = ", ".join(map(repr, tables))
    if splits is not None:
        for ours, theirs in splits.items():
            check_split(ours)
            if theirs not in tables:
                raise ValueError(f"{path}: there is no split {theirs!r}; the set has {there}")
        if not splits:
            raise ValueError(f"{path}: splits is empty; it should name a split of the set, one of {there}")
        return dict(splits)
    filled = [name for name, table in tables.items() if len(table)]
    if len(filled) == 1:
        return {"all": filled[0]}
    named = {_NAMES[name.lower()]: name for name in filled if name.lower() in _NAMES}
    if "train" not in named:
        raise ValueError(
            f"{path}: the set has the splits {there}; say which is which: splits={{'train': {filled[0]!r}}}"
        )
    return named


def check_columns(path: str, split: str, there: Sequence[str], needed: Mapping[str, str]) -> None:
    """Raise ValueError, with the names of those there, for a column that is not."""
    for purpose, column in needed.items():
        if column not in there:
            names = ", ".join(map(repr, there))
            raise ValueError(
                f"{path}: no column {column!r} for the {purpose} in the split {split!r}; there are {names}"
            )


def _report(path: str, dropped: Counter[str], total: int) -> None:
    if not dropped:
        return
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items()))
    left_out = f"{path}: {dropped.total():,} of {total:,} rows left out: {reasons}"
    if dropped.total() == total:
        raise ValueError(f"{left_out}; no task is left")
    warnings.warn(left_out, stacklevel=2)
