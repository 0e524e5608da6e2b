"""Medium articles with CollabLLM's filter: ``Kamaljp/medium_articles`` as MediumDocEdit-Chat takes it."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from dialogue_gym.registry import nearest
from dialogue_gym.tasks.base import task_sources
from dialogue_gym.tasks.rows import RowsOf, Table, read_tables
from dialogue_gym.tasks.sets import document_shape
from dialogue_gym.tasks.tables import TableOptions, TableTasks, check_columns, check_table_options
from dialogue_gym.tasks.token_counts import TOKEN_COUNTS

_NAME = "Kamaljp/medium_articles"
_SEED = 42  # CollabLLM's shuffle


def medium_articles(
    path: str = _NAME,
    train_ratio: float = 0.02,
    test_ratio: float = 0.005,
    max_tokens: int = 512,
    tokens: str = "estimate",
    **options: Unpack[TableOptions],
) -> TableTasks:
    """The newest short articles, chosen as CollabLLM does (2502.00640 and its code).

    Of the rows with a time stamp the newest ``train_ratio + test_ratio`` are shuffled with seed 42 and
    divided; longer articles are left out after that, which is no fault and not reported. A tenth of "train"
    becomes validation. Where CollabLLM's user holds the whole article, ours holds what
    ``brief_of_document`` makes of it.

    Args:
        path: the set on the hub, or a file or folder with the columns ``text``, ``title``, ``timestamp``.
        train_ratio: share of the articles with a time stamp.
        test_ratio: the same for the test.
        max_tokens: of the longest article that is kept.
        tokens: how they are counted: "cl100k" as CollabLLM does (needs tiktoken and its file, which it
            fetches), or "estimate", which needs neither.
        **options: see ``TableTasks``; ``splits`` is of no use here.

    Raises:
        ValueError: as ``TableTasks``; or a ratio that cannot be, or so few articles that none is chosen.
        ImportError: "cl100k" without tiktoken.
    """
    check_table_options(options, f"document task source {_NAME!r}")
    if options.get("splits"):
        raise ValueError(
            f"{_NAME} makes its splits by itself, from train_ratio and test_ratio; leave out splits"
        )
    _check_ratios(train_ratio, test_ratio, max_tokens)
    if tokens not in TOKEN_COUNTS:
        raise ValueError(f"unknown way to count tokens {tokens!r}: {nearest(str(tokens), TOKEN_COUNTS)}")
    tables = read_tables(path, options.get("config"), options.get("revision"))
    shape = document_shape({"text": "text", "title": "title"})
    name, table = _only(path, tables)
    check_columns(path, name, table.columns, {**shape.columns, "time": "timestamp"})
    chosen = _newest(path, table.column("timestamp"), train_ratio, test_ratio)
    short = _short(table, max_tokens, TOKEN_COUNTS[tokens]())
    kept = {split: [i for i in numbers if short(i)] for split, numbers in chosen.items()}
    for split, numbers in kept.items():
        if not numbers:
            raise ValueError(
                f"{path}: none of the {len(chosen[split]):,} articles chosen for {split!r} has at most "
                f"{max_tokens} tokens; raise max_tokens or {split}_ratio"
            )
    rows = {split: RowsOf(table, numbers) for split, numbers in kept.items()}
    more = {
        "train_ratio": train_ratio,
        "test_ratio": test_ratio,
        "max_tokens": max_tokens,
        "tokens": tokens,
    }
    return TableTasks(shape, path, name=_NAME, tables=rows, more=more, **options)


def _check_ratios(train_ratio: float, test_ratio: float, max_tokens: int) -> None:
    numbers = all(isinstance(ratio, int | float) and ratio > 0 for ratio in (train_ratio, test_ratio))
    if not numbers or train_ratio + test_ratio > 1:
        raise ValueError(
            "train_ratio and test_ratio must be above 0 and together at most 1, "
            f"got {train_ratio!r} and {test_ratio!r}"
        )
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise ValueError(f"max_tokens must be an int of at least 1, got {max_tokens!r}")


def _only(path: str, tables: Mapping[str, Table]) -> tuple[str, Table]:
    """The split that all articles are in."""
    name = "train" if "train" in tables else next(iter(tables))
    if len(tables) > 1 and name != "train":
        raise ValueError(f"{path}: no split 'train', which holds all articles; there are {', '.join(tables)}")
    return name, tables[name]


def _newest(path: str, stamps: Sequence[Any], train_ratio: float, test_ratio: float) -> dict[str, list[int]]:
    """The numbers of the rows of each split, in CollabLLM's order."""
    stamped = [i for i, stamp in enumerate(stamps) if stamp is not None]
    stamped.sort(key=lambda i: str(stamps[i]))
    train, test = int(len(stamped) * train_ratio), int(len(stamped) * test_ratio)
    if not train or not test:
        raise ValueError(
            f"{path}: of {len(stamped):,} articles with a time stamp, train_ratio={train_ratio} takes "
            f"{train} and test_ratio={test_ratio} takes {test}; raise them, so that each takes one at least"
        )
    recent = stamped[-(train + test) :]
    random.Random(_SEED).shuffle(recent)
    return {"train": recent[test:], "test": recent[:test]}


def _short(table: Table, max_tokens: int, count: Callable[[str], int]) -> Callable[[int], bool]:
    return lambda number: count(str(table[number]["text"] or "")) <= max_tokens


task_sources["document"].register(_NAME, medium_articles)
