"""Tasks from the generators of the ``reasoning_gym`` package, which also judges the answers.

The text of the reference names the generator and the item, so that the scorer "reasoning_gym" can make the
item anew and ask the generator's own judge; see ``dialogue_gym.scoring.reasoning``.
"""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from dialogue_gym.registry import nearest
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Kind, Reference, Task, check_split, task_sources
from dialogue_gym.tasks.jsonl import split_of
from dialogue_gym.tasks.problems import brief_of_problem

_TRIES = 400  # items looked at for one of a split; one in ten is of the test
_CHECKED = 3
_OF_THE_HASH_SEED = frozenset(
    ("isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder")
)
"""Generators that go through sets of texts, whose order is another in each process."""
_OF_NO_SEED = frozenset(("list_functions",))
"""Generators that draw from the process's own noise."""


class ReasoningGymTasks:
    """Problems of one generator; splits by the hash of the question, so that none is in two.

    Environments judge them with the scorer "reasoning_gym" unless they are told otherwise.

    Args:
        dataset: a generator of reasoning_gym, such as "basic_arithmetic" or "knights_knaves".
        config: its settings.
        seed: of the generator.
        size: number of items that it makes, over all splits.

    Raises:
        ValueError: no such generator, settings that it does not take, one whose items come without an
            answer that its own judge accepts, or one that does not repeat itself.
        ImportError: reasoning_gym is not installed.
    """

    kind: Kind = "math"
    default_scorer = "reasoning_gym"

    def __init__(
        self, dataset: str, config: Mapping[str, Any] | None = None, seed: int = 0, size: int = 2000
    ) -> None:
        self._origin = {"dataset": dataset, "config": dict(config or {}), "seed": seed, "size": size}
        made = generator(json.dumps(self._origin, sort_keys=True))
        _check_repeats(dataset)
        for index in range(min(_CHECKED, size)):
            if not _checkable(made, made[index]):
                raise ValueError(
                    f"reasoning_gym's {dataset!r} gives no answer that can be checked: its own judge does "
                    "not accept the answer of an item; take another generator"
                )

    def draw(self, split: str, key: NoiseKey) -> Task:
        """The task of ``split`` that belongs to ``key``.

        Raises:
            ValueError: the split does not exist, or no item of it comes up.
        """
        check_split(split)
        origin = json.dumps(self._origin, sort_keys=True)
        made = generator(origin)
        for attempt in range(_TRIES):
            index = key.child("item", attempt).integer(0, len(made) - 1)
            item = made[index]
            if split_of(item["question"]) == split and _checkable(made, item):
                return self._task(item, index, split)
        raise ValueError(
            f"reasoning_gym's {self._origin['dataset']!r}: no task of the split {split!r} in {_TRIES} items; "
            "it has too few different ones"
        )

    def identity(self) -> dict[str, object]:
        """JSON-able name and options, for logs, with the version of reasoning_gym."""
        from importlib.metadata import version

        return {"name": "reasoning_gym", **self._origin, "version": version("reasoning_gym")}

    def _task(self, item: Mapping[str, Any], index: int, split: str) -> Task:
        name = str(self._origin["dataset"])
        origin = json.dumps({**self._origin, "index": index, "item": digest(item)}, sort_keys=True)
        return Task(
            id=f"{name}-{self._origin['seed']}-{index}",
            kind="math",
            brief=brief_of_problem(item["question"]),
            reference=Reference(answer=item["answer"], text=origin),
            split=split,
            family=name,
        )


def _check_repeats(dataset: str) -> None:
    """Raise ValueError for generators of which no seed would name a task."""
    remedy = "take another generator"
    if dataset in _OF_THE_HASH_SEED and not os.environ.get("PYTHONHASHSEED", "random").isdigit():
        remedy = f"start Python with PYTHONHASHSEED=0, or {remedy}"
    elif dataset not in _OF_NO_SEED:
        return
    raise ValueError(
        f"reasoning_gym's {dataset!r} makes other items in each process, so no seed names a task; {remedy}"
    )


def digest(item: Mapping[str, Any]) -> str:
    """What tells an item from others; the judge's subprocess takes it in the same way."""
    return sha256(f"{item['question']}\n{item['answer']}".encode()).hexdigest()[:16]


@lru_cache(maxsize=32)
def generator(origin: str) -> Any:
    """The generator that a JSON object with "dataset", "config", "seed" and "size" names; kept.

    Raises:
        ValueError: there is none, or it refuses the settings.
        ImportError: reasoning_gym is not installed.
    """
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise ImportError(
            'tasks from reasoning_gym need the package "reasoning-gym": pip install reasoning-gym'
        ) from None
    given = json.loads(origin)
    name, config = given["dataset"], given["config"]
    if name not in DATASETS:
        raise ValueError(f"reasoning_gym has no generator {name!r}: {nearest(str(name), DATASETS)}")
    try:
        return reasoning_gym.create_dataset(name, **{**config, "seed": given["seed"], "size": given["size"]})
    except (TypeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"reasoning_gym's {name!r} does not take these settings: {reason}") from None


def _checkable(made: Any, item: Mapping[str, Any]) -> bool:
    answer = item["answer"]
    return isinstance(answer, str) and bool(answer.strip()) and made.score_answer(answer, item) == 1


task_sources["math"].register("reasoning_gym", ReasoningGymTasks)
