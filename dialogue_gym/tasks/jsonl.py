"""Tasks from JSON Lines files: GSM8K's fields and our own; splits that near-duplicates cannot straddle."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from dialogue_gym.dialogue import clean_text
from dialogue_gym.registry import nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.answers import marked_answer
from dialogue_gym.tasks.base import (
    SPLITS,
    Brief,
    Fact,
    Kind,
    Reference,
    Task,
    check_split,
    task_from_dict,
    task_sources,
)
from dialogue_gym.tasks.rows import check_file
from dialogue_gym.tasks.word_problems import brief_of_question, canonical_form

_COLUMNS = "; for fields of your own, columns= says what they are for"


def split_of(form: str) -> str:
    """The split of a canonical form: 80 % train, 10 % validation, 10 % test, by hash.

    Example:
        >>> split_of("N has 0 marbles")
        'train'
    """
    share = NoiseKey(("split", form)).uniform()
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"


class JsonLinesTasks:
    """Tasks of a UTF-8 file with one JSON object per line; blank lines are skipped.

    Three shapes of line, which can be mixed:

    - GSM8K's: ``question`` and ``answer``, whose last line is ``#### NUMBER`` (kind "math" only);
    - a simple one: ``goal``, ``facts`` (objects with ``name``, ``value``, ``text`` and perhaps ``vague``,
      ``slip``, ``topics``), ``answer`` for math or ``target`` for documents, and perhaps ``text``,
      ``unit``, ``genre``;
    - what ``task_to_dict`` gives.

    Each may have an ``id`` (else it is made from the file's name and the line) and a ``split``. Lines
    without ``split`` follow a line with the same canonical form that has one, or else its hash.

    Args:
        path: the file.
        kind: "math" or "document".

    Raises:
        ValueError: a bad line, ``FILE:LINE: what is wrong and what would be right``, or no line at all.
            Every line is checked before anything is kept.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | Path, kind: Kind) -> None:
        if kind not in task_sources:
            raise ValueError(f"unknown kind of task {kind!r}: {nearest(kind, task_sources)}")
        self.kind: Kind = kind
        self._path = str(path)
        check_file(Path(path))
        data = Path(path).read_bytes()
        self._digest = sha256(data).hexdigest()
        numbered = list(_read(self._path, data, kind))
        if not numbered:
            raise ValueError(f"{path}: no task in it; it should hold one JSON object per line")
        _check_ids(self._path, numbered)
        tasks = _assign_splits(self._path, numbered)
        self._tasks = {split: [task for task in tasks if task.split == split] for split in SPLITS}

    def draw(self, split: str, key: NoiseKey) -> Task:
        """The task of ``split`` that belongs to ``key``.

        Raises:
            ValueError: the split does not exist or is empty.
        """
        return key.child("row").choice(self.tasks(split))

    def tasks(self, split: str) -> Sequence[Task]:
        """All tasks of ``split``, in the file's order.

        Raises:
            ValueError: the split does not exist or is empty.
        """
        check_split(split)
        if not self._tasks[split]:
            sizes = ", ".join(f"{name} {len(tasks)}" for name, tasks in self._tasks.items())
            raise ValueError(
                f"{self._path}: no task in the split {split!r} (tasks: {sizes}); rows may name "
                "theirs in a field 'split'"
            )
        return tuple(self._tasks[split])

    def identity(self) -> dict[str, object]:
        """JSON-able name and options, for logs, with the SHA-256 of the file."""
        return {"name": "jsonl", "path": self._path, "sha256": self._digest}


def _read(path: str, data: bytes, kind: Kind) -> Iterator[tuple[int, Task]]:
    """Line numbers from 1 and the tasks there; ``split`` is "" where the line names none."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            try:
                yield number, _task(_row(line), kind, f"{Path(path).stem}-{number}")
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}); one object per line") from None
    except RecursionError:
        raise ValueError("JSON nested too deep; a task is a flat object") from None
    if not isinstance(row, dict):
        raise ValueError(f"a JSON {type(row).__name__}; a line should hold an object")
    cleaned: dict[str, Any] = _clean(row)
    return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return {_clean(k): _clean(v) for k, v in value.items()} if isinstance(value, dict) else value


def _task(row: dict[str, Any], kind: Kind, default_id: str) -> Task:
    row.setdefault("id", default_id)
    split = row.setdefault("split", "")
    if split != "" and split not in SPLITS:
        raise ValueError(f"field 'split' is {split!r}; {nearest(str(split), SPLITS)}")
    if "brief" in row:
        return _own_task(row, kind)
    if "question" in row:
        return _gsm8k_task(row, kind)
    return _simple_task(row, kind)


def _check_fields(
    row: Mapping[str, Any], required: Sequence[str], optional: Sequence[str], at: str = ""
) -> None:
    """Raise ValueError unless ``row`` has all required fields, filled, no unknown ones, and only texts."""
    for name in required:
        if name not in row:
            raise ValueError(f"field '{at}{name}' is missing; it should be a text{'' if at else _COLUMNS}")
    for name, value in row.items():
        if name not in (*required, *optional):
            offer = nearest(name, (*required, *optional))
            raise ValueError(f"field '{at}{name}' is unknown: {offer}{'' if at else _COLUMNS}")
        if not isinstance(value, str):
            raise ValueError(f"field '{at}{name}' is {value!r:.40}; it should be a text")
        if name in required and not value.strip():
            raise ValueError(f"field '{at}{name}' is empty; it should be a text")


def _simple_task(row: dict[str, Any], kind: Kind) -> Task:
    outcome = "answer" if kind == "math" else "target"
    rest = {name: value for name, value in row.items() if name != "facts"}
    _check_fields(rest, ("goal", outcome, "id"), ("split", "text", "unit", "genre"))
    facts = _facts(row.get("facts", []), "facts")
    told = " ".join(_sentence(fact.text) for fact in facts)
    text = row.get("text", f"{told} {row['goal']}".strip())
    if kind == "math":
        reference = Reference(answer=row["answer"])
    else:
        for i, fact in enumerate(facts):
            if fact.value not in row["target"]:
                raise ValueError(
                    f"field 'facts[{i}].value' {fact.value!r:.40} is not in 'target'; it should be"
                )
        reference = Reference(text=row["target"], facts=tuple(fact.value for fact in facts))
    brief = Brief(row["goal"], facts, text, unit=row.get("unit", ""), genre=row.get("genre", ""))
    return Task(row["id"], kind, brief, reference, row["split"])


def _sentence(text: str) -> str:
    return text if text[-1] in ".!?" else text + "."


def _own_task(row: dict[str, Any], kind: Kind) -> Task:
    nested = {name: row.get(name) for name in ("brief", "reference")}
    for name, value in nested.items():
        if not isinstance(value, dict):
            raise ValueError(f"field '{name}' is {value!r:.40}; it should be an object")
    brief, reference = dict(row["brief"]), dict(row["reference"])
    level = row.get("level", 0)
    if not isinstance(level, int) or isinstance(level, bool) or level < 0:
        raise ValueError(f"field 'level' is {level!r:.40}; it should be a whole number, 0 or more")
    flat = {name: value for name, value in row.items() if name not in ("brief", "reference", "level")}
    _check_fields({"kind": kind, **flat}, ("id", "kind"), ("split", "family"))
    if flat.get("kind", kind) != kind:
        raise ValueError(f"field 'kind' is {flat['kind']!r}; this source has tasks of the kind {kind!r}")
    _facts(brief.pop("facts", []), "brief.facts")
    _check_fields(brief, ("goal", "text"), ("unit", "genre"), "brief.")
    values = reference.pop("facts", [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"field 'reference.facts' is {values!r:.40}; it should be a list of texts")
    needed, other = ("answer", "text") if kind == "math" else ("text", "answer")
    _check_fields(reference, (needed,), (other,), "reference.")
    return task_from_dict({**row, "kind": kind, "brief": {"facts": [], **row["brief"]}})


def _facts(rows: Any, at: str) -> tuple[Fact, ...]:
    if not isinstance(rows, list):
        raise ValueError(f"field '{at}' is {rows!r:.40}; it should be a list of objects")
    facts = tuple(_fact(row, f"{at}[{i}]") for i, row in enumerate(rows))
    values = {fact.value for fact in facts}
    for i, fact in enumerate(facts):
        for name in ("name", "value"):
            if getattr(fact, name) in [getattr(earlier, name) for earlier in facts[:i]]:
                raise ValueError(
                    f"field '{at}[{i}].{name}' is {getattr(fact, name)!r:.40} again; use another"
                )
        if fact.slip in values:
            raise ValueError(f"field '{at}[{i}].slip' is {fact.slip!r:.40}, a right value; use a wrong one")
    return facts


def _fact(row: Any, at: str) -> Fact:
    if not isinstance(row, dict):
        raise ValueError(
            f"field '{at}' is {row!r:.40}; it should be an object with 'name', 'value' and 'text'"
        )
    topics = row.get("topics", [])
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise ValueError(f"field '{at}.topics' is {topics!r:.40}; it should be a list of words")
    texts = {name: value for name, value in row.items() if name != "topics"}
    _check_fields(texts, ("name", "value", "text"), ("vague", "slip"), f"{at}.")
    if texts["value"].casefold() not in texts["text"].casefold():
        raise ValueError(f"field '{at}.text' does not state the value {texts['value']!r:.40}; it should")
    return Fact(**texts, topics=tuple(topic.lower() for topic in topics))


def _gsm8k_task(row: dict[str, Any], kind: Kind) -> Task:
    if kind != "math":
        raise ValueError("field 'question' belongs to math; a document has 'goal' and 'target'")
    _check_fields(row, ("question", "answer", "id"), ("split",))
    answer = marked_answer(row["answer"])
    if answer is None:
        raise ValueError("field 'answer' has no number at its end; its last line should be '#### NUMBER'")
    return Task(
        id=row["id"],
        kind="math",
        brief=brief_of_question(row["question"]),
        reference=Reference(answer=answer),
        split=row["split"],
        level=row["answer"].count("<<"),
    )


def _check_ids(path: str, numbered: Sequence[tuple[int, Task]]) -> None:
    first: dict[str, int] = {}
    for number, task in numbered:
        if first.setdefault(task.id, number) != number:
            raise ValueError(
                f"{path}:{number}: field 'id' {task.id!r:.60} is that of line {first[task.id]} too"
            )


def _assign_splits(path: str, numbered: Sequence[tuple[int, Task]]) -> list[Task]:
    forms = [canonical_form(f"{task.brief.text} {task.reference.text}") for _, task in numbered]
    named: dict[str, tuple[int, str]] = {}
    for form, (number, task) in zip(forms, numbered, strict=True):
        if task.split:
            other, split = named.setdefault(form, (number, task.split))
            if split != task.split:
                raise ValueError(
                    f"{path}:{number}: field 'split' is {task.split!r}, but line {other}, the same task but "
                    f"for names and numbers, is in {split!r}; put both in one split"
                )
    return [
        replace(task, split=named[form][1] if form in named else split_of(form))
        for form, (_, task) in zip(forms, numbered, strict=True)
    ]
