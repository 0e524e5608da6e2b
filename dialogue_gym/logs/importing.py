"""Dialogues of others brought into the log format, with an account of every row that was read."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dialogue_gym.files import replacing
from dialogue_gym.logs.formats import READERS, form_of, read_row
from dialogue_gym.logs.languages import strangers
from dialogue_gym.logs.lines import MAX_LINE
from dialogue_gym.logs.readings import ENVIRONMENTS, Options, Read
from dialogue_gym.logs.records import SCHEMA_VERSION, DialogueRecord, _line, append
from dialogue_gym.logs.sources import BadRow, Row, read_rows
from dialogue_gym.registry import nearest

_EXAMPLES = 3  # of each reason, in the terminal


@dataclass(slots=True)
class Report:
    """What became of every row: ``read`` is ``kept`` and ``folded`` and ``dropped`` together.

    Attributes:
        read: rows, also those that could not be read; blank lines are none.
        kept: dialogues, by format.
        folded: rows that are parts of a dialogue that is kept from another row, by what they are.
        dropped: "FILE:LINE: what is wrong" of each row that is left out, by reason.
        language: the users' language, "" when it is not known.
        empty: files without a row.
    """

    read: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    folded: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    language: str = ""
    empty: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The account for a terminal, with the first rows of each reason."""
        lines = [f"{self.read:>8}  rows read", f"{self.kept.total():>8}  dialogues kept"]
        lines += [f"{count:>8}    from {form}" for form, count in sorted(self.kept.items())]
        lines += [f"{count:>8}  rows folded in: {what}" for what, count in sorted(self.folded.items())]
        lines += [f"{'':>8}  {path}: it is empty" for path in self.empty]
        lines.append(f"{sum(map(len, self.dropped.values())):>8}  rows dropped")
        for reason, rows in sorted(self.dropped.items()):
            lines.append(f"{len(rows):>8}    {reason}")
            lines += [" " * 14 + row for row in rows[:_EXAMPLES]]
            if len(rows) > _EXAMPLES:
                lines.append(" " * 14 + f"and {len(rows) - _EXAMPLES} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The whole account, every dropped row included, as JSON has it."""
        return {
            "read": self.read,
            "kept": dict(self.kept),
            "folded": dict(self.folded),
            "dropped": {reason: list(rows) for reason, rows in self.dropped.items()},
            "language": self.language,
            "empty": list(self.empty),
        }


@dataclass(slots=True)
class Imported:
    """Dialogues and the account of the rows they come from."""

    records: list[DialogueRecord]
    report: Report


def import_dialogues(
    paths: str | Path | Iterable[str | Path],
    *,
    format: str = "auto",
    env_id: str | None = None,
    strict: bool = False,
    languages: Literal["one", "any"] = "one",
    user: str = "unknown",
    whole: bool = False,
    max_line: int = MAX_LINE,
) -> Imported:
    """Read dialogues of any known format: JSON Lines, JSON arrays, Parquet, folders saved by ``datasets``.

    The conventions of people's logs are those of ``simulators.user_turns``. Ids count within a file,
    equal dialogues across files.

    Args:
        paths: files or folders.
        format: "auto" tells each row's format from its fields; else one of ``READERS``.
        env_id: the environment of chat ``messages`` rows, and of CollabLLM rows that do not show theirs.
        strict: whether the first bad row is an error; else it is left out and reported.
        languages: "one" drops dialogues whose users clearly write another language than most; "any" keeps
            them.
        user: who spoke as the user in chat ``messages`` rows; "people" only where people did.
        whole: whether chat ``messages`` rows are whole dialogues that the user left after the last message;
            else their ends count as unknown.
        max_line: bytes that one row's text may have.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: a package that a file needs is missing; the message names the extra.
        ValueError: an unknown option, a file that cannot be read as a whole, or a bad row if ``strict``.
    """
    for what, value, valid in (
        ("format", format, ("auto", *READERS)),
        ("languages", languages, ("one", "any")),
        ("environment", env_id, (None, *ENVIRONMENTS)),
    ):
        if value not in valid:
            raise ValueError(f"unknown {what} {value!r}: {nearest(str(value), filter(None, valid))}")
    if max_line < 1:
        raise ValueError(f"max_line is {max_line}, should be at least 1")
    importer = _Importer(format, Options(env_id, user, whole), strict, max_line)
    for path in [paths] if isinstance(paths, str | Path) else paths:
        importer.read(path)
    if languages == "one":
        importer.drop_strangers()
    kept = importer.kept
    importer.report.kept = Counter(form for form, _, _ in kept)
    return Imported([read.record for _, _, read in kept], importer.report)


def write_log(path: str | Path, records: Sequence[DialogueRecord], *, overwrite: bool = False) -> None:
    """Write a whole log or none: to a file beside it, which then takes its place. Its folder is made.

    Raises:
        FileExistsError: the log exists and ``overwrite`` is off.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")
    with replacing(path) as beside:
        append(beside, records, fsync=True)


class _Importer:
    """Rows in, records and the account out."""

    def __init__(self, form: str, options: Options, strict: bool, max_line: int) -> None:
        self.form, self.options, self.strict, self.max_line = form, options, strict, max_line
        self.report = Report()
        self.kept: list[tuple[str, Row, Read]] = []
        self._contents: dict[bytes, str] = {}

    def read(self, path: str | Path) -> None:
        """Take in one file."""
        ids: dict[str, str] = {}
        groups: dict[str, list[tuple[Row, Read]]] = {}
        before = self.report.read
        for row in read_rows(path, self.max_line):
            self.report.read += 1
            try:
                form, read = self._converted(row)
                if read.group is not None:
                    groups.setdefault(read.group, []).append((row, read))
                else:
                    self._keep(form, row, read, ids)
            except BadRow as problem:
                self._drop(row, problem)
        if self.report.read == before:
            self.report.empty.append(str(path))
        for row, read in self._best_of(groups):
            try:
                self._keep("collabllm", row, read, ids)
            except BadRow as problem:
                self._drop(row, problem)

    def drop_strangers(self) -> None:
        """Leave out dialogues in another language than most."""
        self.report.language, others = strangers([read.record for _, _, read in self.kept])
        for i, code in others.items():
            what = f"the user writes {code!r}, most of this log's users write {self.report.language!r}"
            self._drop(self.kept[i][1], BadRow("another language", what))
        self.kept = [kept for i, kept in enumerate(self.kept) if i not in others]

    def _converted(self, row: Row) -> tuple[str, Read]:
        if row.problem is not None:
            raise row.problem
        form = form_of(row.data or {}) if self.form == "auto" else self.form
        read = read_row(row, form, self.options)
        try:
            length = len(_line(read.record, row.where))
        except ValueError as error:
            raise BadRow("wrong fields", str(error).removeprefix(f"{row.where}: ")) from None
        if length > self.max_line:
            raise BadRow(
                "too long", f"makes a line of {length} bytes, more than the limit of {self.max_line}"
            )
        return form, read

    def _keep(self, form: str, row: Row, read: Read, ids: dict[str, str]) -> None:
        if read.id is not None and (first := ids.setdefault(read.id, row.where)) != row.where:
            raise BadRow("duplicate id", f"id {read.id!r} is that of {first}")
        content = _content(read.record, own=form == "dialogue_gym")
        if (first := self._contents.setdefault(content, row.where)) != row.where:
            raise BadRow("duplicate dialogue", f"the same dialogue as {first}")
        self.kept.append((form, row, read))

    def _drop(self, row: Row, problem: BadRow) -> None:
        message = f"{row.where}: {problem}"
        if self.strict:
            raise ValueError(message) from None
        self.report.dropped.setdefault(problem.reason, []).append(message)

    def _best_of(self, groups: dict[str, list[tuple[Row, Read]]]) -> Iterator[tuple[Row, Read]]:
        """The longest row of each conversation, of several the best; the others are counted."""
        for rows in groups.values():
            best = max(rows, key=_rank)
            yield best
            others = [read for row, read in rows if row is not best[0]]
            self.report.folded.update(_part(read, best[1]) for read in others)
            best[1].record.extra["other_answers"] = len(others)


def _rank(row_and_read: tuple[Row, Read]) -> tuple[int, float]:
    read = row_and_read[1]
    return len(read.record.messages), -float("inf") if read.score is None else read.score


def _part(read: Read, best: Read) -> str:
    """What a row is to the row that its conversation is kept from."""
    context, whole = read.record.messages[:-1], best.record.messages
    if context != whole[: len(context)]:
        return "another branch of a conversation"
    last = len(context) == len(whole) - 1
    return "another answer to the last turn" if last else "an earlier turn of a conversation"


def _content(record: DialogueRecord, own: bool) -> bytes:
    """A digest of what makes a dialogue the same: in our own log everything, elsewhere what was said."""
    what: Any = [record.env_id, record.extra.get("intent"), record.messages]
    text = _line(record, "").decode() if own else json.dumps(what, sort_keys=True)
    return hashlib.blake2b(f"{own}{SCHEMA_VERSION}{text}".encode(), digest_size=16).digest()
