"""Data sets by name: GSM8K, MATH-Hard, CollabLLM's, Medium articles, and any with a map of its columns."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

from dialogue_gym.registry import nearest
from dialogue_gym.tasks.answers import ANSWER_FORMS
from dialogue_gym.tasks.articles import brief_of_document
from dialogue_gym.tasks.base import Brief, Kind, Reference, TaskSource, task_sources
from dialogue_gym.tasks.jsonl import JsonLinesTasks
from dialogue_gym.tasks.problems import brief_of_problem
from dialogue_gym.tasks.rows import Row, text_in
from dialogue_gym.tasks.tables import Shape, TableOptions, TableTasks, check_table_options
from dialogue_gym.tasks.word_problems import brief_of_question

_LEVEL = re.compile(r"(?:Level )?(\d+)")


def gsm8k(path: str = "openai/gsm8k", **options: Unpack[TableOptions]) -> TableTasks:
    """GSM8K (Cobbe et al., 2021): grade-school word problems with a worked solution, ``#### n`` at its end.

    Args:
        path: the set on the hub, or a file or folder with the columns ``question`` and ``answer``.
        **options: see ``TableTasks``.
    """
    if path == "openai/gsm8k":
        options = {"config": "main", **options}
    check_table_options(options, "math task source 'gsm8k'")
    shape = math_shape({"question": "question", "answer": "answer"}, "marked", brief_of_question)
    return TableTasks(shape, path, name="gsm8k", **options)


def math_hard(path: str = "lighteval/MATH-Hard", **options: Unpack[TableOptions]) -> TableTasks:
    """The level-5 problems of MATH (Hendrycks et al., 2021); the answer is boxed in the solution.

    Args:
        path: the set on the hub, or a file or folder with the columns ``problem`` and ``solution``.
        **options: see ``TableTasks``.
    """
    check_table_options(options, "math task source 'lighteval/MATH-Hard'")
    shape = math_shape({"question": "problem", "answer": "solution"}, "boxed")
    return TableTasks(shape, path, name="lighteval/MATH-Hard", **options)


def collabllm_math(
    path: str = "collabllm/collabllm-multiturn-math-hard", **options: Unpack[TableOptions]
) -> TableTasks:
    """The problems behind CollabLLM's logged math dialogues (2502.00640); each problem once.

    Args:
        path: the set on the hub ("...-large" too), or a file or folder with the columns
            ``single_turn_prompt`` and ``single_turn_completion``.
        **options: see ``TableTasks``.
    """
    name = "collabllm/collabllm-multiturn-math-hard"
    check_table_options(options, f"math task source {name!r}")
    columns = {"question": "single_turn_prompt", "answer": "single_turn_completion"}
    return TableTasks(math_shape(columns, "any"), path, name=name, distinct=True, **options)


def math_table(
    path: str,
    columns: Mapping[str, str] | None = None,
    answer_form: str = "any",
    **options: Unpack[TableOptions],
) -> TableTasks:
    """Problems from any table.

    Args:
        path: a set on the hub, a folder or a file.
        columns: what holds the "question" and the "answer"; by default columns of these names.
        answer_form: how the answer is given: "marked" (``#### n``), "boxed", or "any".
        **options: see ``TableTasks``.
    """
    check_table_options(options, "math task source 'hub'")
    named = _columns(columns, ("question", "answer"), {"question": "question", "answer": "answer"})
    return TableTasks(math_shape(named, answer_form), path, **options)


def math_shape(
    columns: Mapping[str, str],
    answer_form: str,
    brief: Callable[[str], Brief] = brief_of_problem,
) -> Shape:
    """Rows that hold a problem and its solution.

    Raises:
        ValueError: no such form of answer.
    """
    if answer_form not in ANSWER_FORMS:
        raise ValueError(f"unknown answer_form {answer_form!r}: {nearest(str(answer_form), ANSWER_FORMS)}")
    find = ANSWER_FORMS[answer_form]

    def reference(row: Row) -> Reference | None:
        answer = find(text_in(row, columns["answer"]))
        return None if answer is None else Reference(answer=answer)

    return Shape("math", columns, reference, lambda row: brief(text_in(row, columns["question"])), _level)


def _level(row: Row) -> int:
    match = _LEVEL.fullmatch(str(row.get("level", "")))
    return int(match[1]) if match else 0


def document_table(
    path: str, columns: Mapping[str, str] | None = None, **options: Unpack[TableOptions]
) -> TableTasks:
    """Documents from any table; the briefs are made from the texts, see ``brief_of_document``.

    Args:
        path: a set on the hub, a folder or a file.
        columns: what holds the "text" (by default a column of this name) and perhaps the "title", the
            "goal" and the "genre".
        **options: see ``TableTasks``.
    """
    check_table_options(options, "document task source 'hub'")
    named = _columns(columns, ("text", "title", "goal", "genre"), {"text": "text"})
    return TableTasks(document_shape(named), path, **options)


def document_shape(columns: Mapping[str, str]) -> Shape:
    """Rows that hold a text, and perhaps its title, what was asked for and its genre."""

    def reference(row: Row) -> Reference:
        return Reference(text=text_in(row, columns["text"]))

    def brief(row: Row) -> Brief:
        return brief_of_document(**{purpose: text_in(row, column) for purpose, column in columns.items()})

    return Shape("document", columns, reference, brief)


def _columns(
    given: Mapping[str, str] | None, valid: tuple[str, ...], default: Mapping[str, str]
) -> dict[str, str]:
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"columns must map what is needed to names of columns, got {given!r:.60}")
    for purpose in given or {}:
        if purpose not in valid:
            raise ValueError(f"columns has no place for a {purpose!r}: {nearest(str(purpose), valid)}")
    merged = {**default, **(given or {})}
    return {purpose: merged[purpose] for purpose in valid if purpose in merged}


def _jsonl(kind: Kind, table: Callable[..., TaskSource]) -> Callable[..., TaskSource]:
    def jsonl(path: str | Path, columns: Mapping[str, str] | None = None, **options: Any) -> TaskSource:
        if columns is None and not options:
            return JsonLinesTasks(path, kind)
        return table(str(path), columns, **options)

    return jsonl


_TABLES: dict[Kind, Callable[..., TaskSource]] = {"math": math_table, "document": document_table}
for _kind, _table in _TABLES.items():
    task_sources[_kind].register("hub", _table)
    task_sources[_kind].register("parquet", _table)
    task_sources[_kind].register("jsonl", _jsonl(_kind, _table))
task_sources["math"].register("gsm8k", gsm8k)
task_sources["math"].register("lighteval/MATH-Hard", math_hard)
task_sources["math"].register("collabllm/collabllm-multiturn-math-hard", collabllm_math)
