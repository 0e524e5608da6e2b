import ast
import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import SPLITS, ProceduralMath, Task, task_from_dict, task_sources, task_to_dict
from dialogue_gym.tasks.math import canonical_form, evaluate
from dialogue_gym.tasks.math_families import FAMILIES

EVERYTHING = ProceduralMath(levels=(1, 2, 3), max_number=40)
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
FORMULAS = {family.name: family.formula for family in FAMILIES}


def by_the_book(formula: str, numbers: dict[str, int]) -> float:
    """The value of a formula by the usual rules of precedence, through Python's own parser."""

    def value(node: Any) -> float:
        if isinstance(node, ast.BinOp):
            return OPERATIONS[type(node.op)](value(node.left), value(node.right))
        return numbers[node.id]

    return value(ast.parse(formula, mode="eval").body)


def draws(source: ProceduralMath, split: str, n: int) -> list[Task]:
    return [source.draw(split, NoiseKey((split, i))) for i in range(n)]


def test_no_family_is_in_two_splits_and_every_split_has_every_level() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for split in SPLITS:
        assert {family.level for family in EVERYTHING.families(split)} == {1, 2, 3}
        assert all(family.split == split for family in EVERYTHING.families(split))
    assert sum(len(EVERYTHING.families(split)) for split in SPLITS) == len(FAMILIES)


def test_splits_share_no_canonical_form_and_every_family_is_reachable() -> None:
    forms: dict[str, set[str]] = {}
    for split in SPLITS:
        tasks = draws(EVERYTHING, split, 2000)
        assert {task.family for task in tasks} == {f.name for f in EVERYTHING.families(split)}
        assert all(task.split == split for task in tasks)
        forms[split] = {canonical_form(task.brief.text) for task in tasks}
        assert len(forms[split]) == len(EVERYTHING.families(split))
    assert not forms["train"] & forms["test"]
    assert not forms["train"] & forms["validation"]
    assert not forms["validation"] & forms["test"]


@pytest.mark.parametrize(
    ("levels", "max_number"), [((1,), 12), ((1,), 20), ((2,), 12), ((3,), 12), ((1, 2, 3), 100)]
)
def test_numbers_are_bounded_and_the_answer_is_right(levels: tuple[int, ...], max_number: int) -> None:
    source = ProceduralMath(levels, max_number)
    for split in SPLITS:
        for task in draws(source, split, 150):
            values = [int(fact.value) for fact in task.brief.facts]
            numbers = dict(zip(FORMULAS[task.family][::2], values, strict=True))
            assert int(task.reference.answer) == by_the_book(FORMULAS[task.family], numbers)
            assert all(2 <= value <= max_number for value in (*values, int(task.reference.answer)))
            assert task.level in levels
            assert len(values) == task.level + 1


def test_values_and_slips_cannot_be_mistaken_for_each_other() -> None:
    for split in SPLITS:
        for task in draws(EVERYTHING, split, 300):
            values = [fact.value for fact in task.brief.facts]
            slips = [fact.slip for fact in task.brief.facts]
            assert len({*values, *slips}) == 2 * len(values)
            for fact in task.brief.facts:
                assert fact.value in fact.text.split()
                assert fact.vague
                assert not any(c.isdigit() for c in fact.vague)
                assert fact.text.lower() in task.brief.text.lower()
            assert "{" not in task.brief.text
            assert task.brief.text.endswith(task.brief.goal)
            assert task.brief.unit


@given(st.integers(0, 2**52), st.sampled_from(SPLITS))
def test_a_draw_is_a_function_of_split_and_key(seed: int, split: str) -> None:
    task = EVERYTHING.draw(split, NoiseKey((seed,)))
    assert ProceduralMath(levels=(3, 2, 1, 1), max_number=40).draw(split, NoiseKey((seed,))) == task
    assert task_from_dict(task_to_dict(task)) == task


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=4))
def test_a_formula_has_its_value_or_none(numbers: dict[str, int]) -> None:
    for formula in set(FORMULAS.values()):
        value = evaluate(formula, numbers)
        if value is not None:
            assert value == by_the_book(formula, numbers)
            assert value >= 1


def test_a_formula_without_a_whole_positive_value_has_none() -> None:
    assert evaluate("a-b", {"a": 3, "b": 3}) is None
    assert evaluate("a/b", {"a": 7, "b": 3}) is None
    assert evaluate("a-b+c", {"a": 3, "b": 5, "c": 9}) is None


def test_tasks_are_many_and_their_ids_tell_them_apart() -> None:
    tasks = draws(ProceduralMath(), "train", 2000)
    by_id = {task.id: task for task in tasks}
    assert len(by_id) > 1800
    assert all(by_id[task.id] == task for task in tasks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": [4]}, r"levels must be chosen from \[1, 2, 3\], got \[4\]"),
        ({"levels": []}, "levels must be chosen from"),
        ({"max_number": 11}, "max_number must be at least 12"),
        ({"level": [1]}, "has no option 'level': did you mean 'levels'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_sources["math"].build({"name": "procedural", **options})


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown split 'tset': did you mean 'test'"):
        ProceduralMath().draw("tset", NoiseKey((0,)))


def test_identity_names_the_options() -> None:
    assert EVERYTHING.identity() == {"name": "procedural", "levels": [1, 2, 3], "max_number": 40}
