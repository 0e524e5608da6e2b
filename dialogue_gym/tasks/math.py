"""Procedural math word problems with held-out template families."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Brief, Fact, Kind, Reference, Task, check_split, task_sources
from dialogue_gym.tasks.math_families import FAMILIES, ITEMS, NAMES, FactTemplate, Family


def evaluate(formula: str, numbers: Mapping[str, int]) -> int | None:
    """The value of a formula, read from left to right; None when a step is not a whole number >= 1.

    Example:
        >>> evaluate("a*b-c", {"a": 3, "b": 4, "c": 2})
        10
        >>> evaluate("a/b", {"a": 7, "b": 2}) is None
        True
    """
    value = numbers[formula[0]]
    for operator, slot in zip(formula[1::2], formula[2::2], strict=True):
        operand = numbers[slot]
        if operator == "/" and value % operand:
            return None
        value = {"+": value + operand, "-": value - operand, "*": value * operand, "/": value // operand}[
            operator
        ]
        if value < 1:
            return None
    return value


class ProceduralMath:
    """Generated word problems; every number, the answer included, is at most ``max_number``.

    Args:
        levels: steps per problem, any of 1, 2, 3.
        max_number: at least 12.

    Raises:
        ValueError: on levels or bounds out of range.

    Example:
        >>> task = ProceduralMath().draw("train", NoiseKey((0,)))
        >>> task.level, len(task.brief.facts)
        (1, 2)
    """

    kind: Kind = "math"

    def __init__(self, levels: Sequence[int] = (1,), max_number: int = 20) -> None:
        known = sorted({family.level for family in FAMILIES})
        if not levels or any(level not in known for level in levels):
            raise ValueError(f"levels must be chosen from {known}, got {list(levels)}")
        if max_number < 12:
            raise ValueError(
                f"max_number must be at least 12, so that every family has problems, got {max_number}"
            )
        self.levels = tuple(sorted(set(levels)))
        self.max_number = max_number

    def families(self, split: str) -> list[Family]:
        """The families of a split; no family is in two."""
        check_split(split)
        return [f for f in FAMILIES if f.split == split and f.level in self.levels]

    def draw(self, split: str, key: NoiseKey) -> Task:
        """A problem of one of the split's families."""
        family = key.child("family").choice(self.families(split))
        numbers, answer = self._numbers(family, key)
        first = key.child("name").integer(0, len(NAMES) - 1)
        other = (first + key.child("other").integer(1, len(NAMES) - 1)) % len(NAMES)
        words = {"n": NAMES[first], "m": NAMES[other], "i": key.child("item").choice(ITEMS)}
        facts = self._facts(family, numbers, words)
        goal = family.goal.format(**words)
        text = " ".join(_sentence(fact.text) for fact in facts) + " " + goal
        identity = "-".join([family.name, *map(str, numbers.values()), *words.values()])
        return Task(
            id=identity,
            kind="math",
            brief=Brief(goal, facts, text, unit=family.unit.format(**words)),
            reference=Reference(answer=str(answer)),
            split=split,
            family=family.name,
            level=family.level,
        )

    def identity(self) -> dict[str, object]:
        """Name and options."""
        return {"name": "procedural", "levels": list(self.levels), "max_number": self.max_number}

    def _numbers(self, family: Family, key: NoiseKey) -> tuple[dict[str, int], int]:
        """Distinct numbers >= 2 whose result is within bounds; rejection sampling under the key."""
        slots = [fact.slot for fact in family.facts]
        rng = key.child("numbers").generator()
        while True:
            drawn = [int(v) for v in rng.integers(2, self.max_number + 1, size=len(slots))]
            numbers = dict(zip(slots, drawn, strict=True))
            answer = evaluate(family.formula, numbers)
            if answer is not None and 2 <= answer <= self.max_number and len(set(drawn)) == len(drawn):
                return numbers, answer

    def _facts(
        self, family: Family, numbers: Mapping[str, int], words: Mapping[str, str]
    ) -> tuple[Fact, ...]:
        taken = set(numbers.values())
        facts = []
        for template in family.facts:
            slip = next(v for v in range(numbers[template.slot] + 1, self.max_number + 9) if v not in taken)
            taken.add(slip)
            facts.append(make_fact(template, numbers[template.slot], slip, words))
        return tuple(facts)


def make_fact(template: FactTemplate, value: int, slip: int, words: Mapping[str, str]) -> Fact:
    """Fill a fact's template."""
    filled: dict[str, Any] = {**words, template.slot: value}
    topics = dict.fromkeys(template.topics.format(**words).lower().split())
    return Fact(
        template.name,
        str(value),
        template.text.format(**filled),
        template.vague.format(**words),
        str(slip),
        tuple(topics),
    )


def canonical_form(text: str) -> str:
    """The text with names, things and numbers masked: equal for problems of one template.

    Example:
        >>> canonical_form("Tom has 12 marbles.") == canonical_form("Mei has 3 eggs.")
        True
    """
    masked = re.sub(r"\d+", "#", text)
    masked = re.sub("|".join(NAMES), "N", masked)
    return re.sub("|".join(ITEMS), "I", masked).lower()


def _sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:] + "."


task_sources["math"].register("procedural", ProceduralMath)
