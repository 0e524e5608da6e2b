"""What a dialogue is about: the task, split into what the user knows and what the scorer knows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, runtime_checkable

from dialogue_gym.registry import Registry, nearest
from dialogue_gym.seeding import NoiseKey

Kind = Literal["math", "document"]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that the user knows and may hold back.

    Attributes:
        name: a short label, unique in the brief ("start", "date").
        value: the value as it is said ("12", "Friday"); unique in the brief.
        text: a clause that states it, as a person would say it ("Tom has 12 marbles").
        vague: the same clause without the value ("Tom has some marbles"); "" when it can only be left out.
        slip: a wrong value that a careless user may say first; never equal to any fact's value.
        topics: lower-case words that a question about this fact would use.
    """

    name: str
    value: str
    text: str
    vague: str = ""
    slip: str = ""
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Brief:
    """What the user knows and wants; the reference is not in it.

    Attributes:
        goal: what the user asks for ("How many marbles does Tom have now?").
        facts: what the user can tell.
        text: the whole problem or request as one text.
        unit: what a numeric answer counts ("marbles"), "" when there is none.
        genre: the kind of document ("invitation"), "" for math.
    """

    goal: str
    facts: tuple[Fact, ...]
    text: str
    unit: str = ""
    genre: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Reference:
    """What only the scorer sees. Its repr shows nothing, so that it cannot leak into logs or errors.

    Attributes:
        answer: the right answer of a math problem.
        text: the target text of a document.
        facts: values that the document must contain.
    """

    answer: str = ""
    text: str = ""
    facts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Reference(hidden)"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to talk about.

    Attributes:
        id: unique in its source.
        kind: which environment it belongs to.
        brief: what the user knows.
        reference: what the scorer knows.
        split: "train", "validation" or "test".
        family: the template family (procedural tasks), "" for tasks from files.
        level: number of steps for math, 0 when unknown.
    """

    id: str
    kind: Kind
    brief: Brief
    reference: Reference
    split: str
    family: str = ""
    level: int = 0


@runtime_checkable
class TaskSource(Protocol):
    """Where tasks come from. ``draw`` is a pure function of its arguments.

    A source whose tasks want a scorer of their own names it in an attribute ``default_scorer``.
    """

    kind: Kind

    def draw(self, split: str, key: NoiseKey) -> Task:
        """The task of ``split`` that belongs to ``key``.

        Raises:
            ValueError: when the split does not exist or is empty.
        """
        ...

    def identity(self) -> dict[str, object]:
        """JSON-able name and options, for logs."""
        ...


ENV_IDS: dict[Kind, str] = {"math": "MathChat-v0", "document": "DocEditChat-v0"}


def registries(what: str) -> dict[Kind, Registry[Any]]:
    """A registry for each kind of task; an unknown name that is the other's is said to be."""
    made: dict[Kind, Registry[Any]] = {kind: Registry(f"{kind} {what}") for kind in ENV_IDS}
    for kind, registry in made.items():
        registry.elsewhere = {
            f"a {other} {what}, for {ENV_IDS[other]}": made[other] for other in made if other != kind
        }
    return made


task_sources: dict[Kind, Registry[TaskSource]] = registries("task source")


def check_split(split: str, available: Sequence[str] = SPLITS) -> None:
    """Raise ValueError, with the valid names, when ``split`` is not available."""
    if split not in available:
        raise ValueError(f"unknown split {split!r}: {nearest(str(split), available)}")


def task_to_dict(task: Task) -> dict[str, Any]:
    """The task as JSON gives it back, reference included: for the laboratory, never for a policy."""
    data: dict[str, Any] = json.loads(json.dumps(task, default=_fields_of))  # tuples become lists
    return data


def _fields_of(part: Task | Brief | Reference | Fact) -> dict[str, Any]:
    return {field.name: getattr(part, field.name) for field in fields(part)}


def task_from_dict(data: Mapping[str, Any]) -> Task:
    """The inverse of ``task_to_dict``.

    Raises:
        ValueError: a field is missing or unknown; the message names it.
    """
    try:
        brief = dict(data["brief"])
        facts = tuple(Fact(**{**f, "topics": tuple(f.get("topics", ()))}) for f in brief.pop("facts"))
        reference = dict(data["reference"])
        reference["facts"] = tuple(reference.get("facts", ()))
        rest = {k: v for k, v in data.items() if k not in ("brief", "reference")}
        task = Task(brief=Brief(facts=facts, **brief), reference=Reference(**reference), **rest)
    except KeyError as error:
        raise ValueError(f"a task needs the field {error}") from None
    except TypeError as error:
        raise ValueError(f"not a task: {error}") from None
    parts: tuple[Task | Brief | Reference | Fact, ...] = (task, task.brief, task.reference, *facts)
    for part in parts:
        _check_texts(part)
    return task


def _check_texts(part: Task | Brief | Reference | Fact) -> None:
    """Raise ValueError where a field that holds a text holds something else."""
    for field in fields(part):
        # the value stays out of the message: it may be the reference's
        if field.type in (str, Kind) and not isinstance(getattr(part, field.name), str):
            raise ValueError(f"not a task: field {field.name!r} of {type(part).__name__} must be a text")
