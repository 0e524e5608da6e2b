import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import SPLITS, Task, TaskSource, task_sources, task_to_dict
from dialogue_gym.tasks.documents import ProceduralDocuments
from dialogue_gym.tasks.jsonl import JsonLinesTasks, split_of
from dialogue_gym.tasks.word_problems import brief_of_question, canonical_form

DATA = Path(os.environ.get("DIALOGUE_GYM_DATA") or Path(__file__).parents[3] / "shared" / "data")
GSM8K = DATA / "gsm8k_test.jsonl"
ROW = {"question": "Tom has 12 cats. Ann has 5 dogs. How many pets are there?", "answer": "12+5\n#### 17"}
FACTS = [
    {"name": "day", "value": "Friday", "text": "it's on Friday", "slip": "Monday", "topics": ["Day", "when"]},
    {"name": "place", "value": "hall", "text": "it's at the hall"},
]
NOTICE = {"goal": "a notice", "facts": FACTS, "target": "We meet on Friday in the hall."}


def write(folder: Path, *rows: Any, name: str = "tasks.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


def every(source: JsonLinesTasks) -> list[Task]:
    # an empty split is an error to ask for, hence the private access
    return [task for split in SPLITS for task in source._tasks[split]]


def test_gsm8k_row_is_taken_apart(tmp_path: Path) -> None:
    (task,) = every(JsonLinesTasks(write(tmp_path, ROW), "math"))
    assert task.id == "tasks-1"
    assert task.brief.goal == "How many pets are there?"
    assert [(f.value, f.text, f.vague) for f in task.brief.facts] == [
        ("12", "Tom has 12 cats", "Tom has some cats"),
        ("5", "Ann has 5 dogs", "Ann has some dogs"),
    ]
    assert task.brief.facts[0].topics == ("tom", "cats")
    assert task.brief.unit == "pets"
    assert task.reference.answer == "17"


@pytest.mark.parametrize(
    ("last", "answer"),
    [("#### 1,234", "1234"), ("#### -3", "-3"), ("####5.50", "5.50"), ("#### $7", "7"), ("#### 8  \n", "8")],
)
def test_answers(tmp_path: Path, last: str, answer: str) -> None:
    (task,) = every(JsonLinesTasks(write(tmp_path, {**ROW, "answer": "so\n" + last}), "math"))
    assert task.reference.answer == answer


def test_equal_numbers_get_different_values() -> None:
    brief = brief_of_question(
        "Tom has 3 cats. Ann has 3 dogs. Ben has 3 dogs. Tom has 3 cats. How many pets?"
    )
    assert [fact.value for fact in brief.facts] == ["3", "3 dogs", "Ben has 3 dogs"]


def test_conditions_in_the_question_are_facts() -> None:
    before = brief_of_question("A pen costs $2. If Tom buys 4 of them, how much does he pay?")
    assert before.goal == "How much does he pay?"
    assert [fact.text for fact in before.facts] == ["A pen costs $2", "If Tom buys 4 of them"]
    assert before.unit == "dollars"
    after = brief_of_question("How many legs are there if he has 4 cows and 3 hens?")
    assert (after.goal, [fact.value for fact in after.facts]) == (
        "How many legs are there?",
        ["4 cows and 3"],
    )


def test_clauses_are_cut_only_where_both_stand_alone() -> None:
    texts = [
        fact.text for fact in brief_of_question("He eats 3 at home and bakes her cakes with 4. So?").facts
    ]
    assert texts == ["He eats 3 at home", "bakes her cakes with 4"]
    assert len(brief_of_question("He has 3 big cats and 4 very small dogs. So?").facts) == 1


def test_long_clauses_are_kept_whole() -> None:
    long = "He carries " + "very " * 100 + "heavy 3 big bags"
    texts = [fact.text for fact in brief_of_question(f"{long} and then eats all the 5 pies. So?").facts]
    assert texts == [long, "eats all the 5 pies"]


def test_ordinals_are_no_numbers_and_half_cannot_be_vague() -> None:
    brief = brief_of_question("On the 20th day the third man ate half of the 8 pies. How many left?")
    (fact,) = brief.facts
    assert (fact.value, fact.vague, fact.slip) == ("half of the 8", "", "half of the 9")


words = st.sampled_from(
    [
        "Tom",
        "has",
        "3",
        "12",
        "$4.50",
        "half",
        "cats",
        "and,",
        "if;",
        "how",
        "many?",
        "dogs.",
        "two",
        "1/2",
        "20%",
        "He",
        "2nd",
        "3.",
        "—",
    ]
)
questions = st.lists(words, min_size=1, max_size=150).map(" ".join) | st.text(min_size=1).filter(str.strip)


@given(questions)
@settings(max_examples=400)
def test_facts_of_any_text_are_well_formed_and_lose_no_number(question: str) -> None:
    brief = brief_of_question(question)
    values = [fact.value for fact in brief.facts]
    assert len(set(values)) == len(values)
    assert len({fact.name for fact in brief.facts}) == len(values)
    for fact in brief.facts:
        assert fact.value
        assert fact.value in fact.text
        assert fact.slip not in values
        assert fact.value not in fact.vague
    told = " ".join([brief.goal, *(fact.text for fact in brief.facts)])
    assert set(re.findall(r"[0-9]+", question)) <= set(re.findall(r"[0-9]+", told))


def test_canonical_forms_see_through_names_numbers_case_and_marks() -> None:
    same = ["Tom has 12 cats.", "Mary Ann  has five cats!", "Tom HAS $1,200.50 cats"]
    assert len({canonical_form(text) for text in same}) == 1
    assert canonical_form("Tom has 12 dogs") != canonical_form("Tom has 12 cats")


def test_hash_splits_80_10_10() -> None:
    found = [split_of(f"form {i}") for i in range(4000)]
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert abs(found.count(split) / 4000 - share) < 0.02


nouns = st.sampled_from(["cats", "dogs", "pens", "cups", "hats", "eggs", "jars", "bags", "keys", "maps"])
stories = st.builds(
    lambda name, a, x, b, y: f"{name} has {a} {x}. {name} buys {b} {y}. How many are there?",
    st.sampled_from(["Tom", "Mary Ann", "Ben"]),
    st.integers(0, 99),
    nouns,
    st.integers(0, 99),
    nouns,
)
rows = st.lists(st.tuples(stories, st.sampled_from([None, *SPLITS])), min_size=1, max_size=30)


@given(rows, st.integers(0, 2**40))
def test_a_test_task_is_never_drawn_in_training(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None]], seed: int
) -> None:
    named: dict[str, str] = {}
    data = []
    for question, split in rows:
        row = {"question": question, "answer": "#### 1"}
        if split:
            row["split"] = named.setdefault(canonical_form(question + " "), split)
        data.append(row)
    path = write(tmp_path_factory.getbasetemp(), *data, name="property.jsonl")
    source = JsonLinesTasks(path, "math")
    forms = {split: {canonical_form(task.brief.text) for task in source._tasks[split]} for split in SPLITS}
    assert sum(map(len, source._tasks.values())) == len(data)
    assert not forms["train"] & (forms["test"] | forms["validation"])
    assert not forms["validation"] & forms["test"]
    for split in SPLITS:
        if forms[split]:
            task = source.draw(split, NoiseKey((seed,)))
            assert task.split == split
            assert canonical_form(task.brief.text) in forms[split]
            assert task == JsonLinesTasks(path, "math").draw(split, NoiseKey((seed,)))


def test_one_form_in_two_splits_is_an_error(tmp_path: Path) -> None:
    twin = {**ROW, "question": ROW["question"].replace("Tom", "Bob").replace("12", "7"), "split": "test"}
    path = write(tmp_path, {**ROW, "split": "train"}, "", twin)
    with pytest.raises(
        ValueError, match=r"tasks.jsonl:3: field 'split' is 'test', but line 1, .* in 'train'"
    ):
        JsonLinesTasks(path, "math")


def test_a_line_without_split_follows_its_twin(tmp_path: Path) -> None:
    for split in SPLITS:
        source = JsonLinesTasks(write(tmp_path, ROW, {**ROW, "split": split}), "math")
        assert len(source.tasks(split)) == 2


def test_simple_documents_and_own_shape(tmp_path: Path) -> None:
    notice = ProceduralDocuments().draw("test", NoiseKey((1,)))
    source = JsonLinesTasks(write(tmp_path, {**NOTICE, "split": "train"}, task_to_dict(notice)), "document")
    assert source.tasks("test") == (notice,)
    (task,) = source.tasks("train")
    assert task.reference.facts == ("Friday", "hall")
    assert task.brief.facts[0].topics == ("day", "when")
    assert task.brief.text == "it's on Friday. it's at the hall. a notice"


def test_simple_math(tmp_path: Path) -> None:
    row = {"goal": "How many?", "facts": [{"name": "a", "value": "3", "text": "I have 3"}], "answer": "3"}
    (task,) = every(JsonLinesTasks(write(tmp_path, row), "math"))
    assert (task.reference.answer, task.brief.text) == ("3", "I have 3. How many?")


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("math", {"question": "What?"}, "field 'answer' is missing"),
        ("math", {**ROW, "answer": 3}, "field 'answer' is 3; it should be a text"),
        ("math", {**ROW, "answer": "it is 3"}, "field 'answer' has no number .* '#### NUMBER'"),
        ("math", {**ROW, "question": " "}, "field 'question' is empty"),
        ("math", {**ROW, "spilt": "test"}, r"field 'spilt' is unknown: did you mean 'split'\?"),
        ("math", {**ROW, "split": "tset"}, r"field 'split' is 'tset'; did you mean 'test'\?"),
        ("math", {**ROW, "split": ["test"]}, "field 'split' is "),
        ("math", "[1]", "a JSON list; a line should hold an object"),
        ("math", "{oops", "not JSON .* column 2"),
        ("math", "[" * 200_000, "nested too deep"),
        ("math", {}, r"field 'goal' is missing; .*; for fields of your own, columns= says what"),
        (
            "math",
            {**ROW, "difficulty": "easy"},
            "'difficulty' is unknown: .*; .* columns= says what",
        ),
        ("document", ROW, "field 'question' belongs to math"),
        (
            "document",
            {**NOTICE, "target": "We meet on Friday."},
            r"facts\[1\].value' 'hall' is not in 'target'",
        ),
        ("document", {**NOTICE, "facts": "Friday"}, "field 'facts' is 'Friday'; it should be a list"),
        ("document", {**NOTICE, "facts": [FACTS[0], FACTS[0]]}, r"field 'facts\[1\].name' is 'day' again"),
        (
            "document",
            {**NOTICE, "facts": [{**FACTS[0], "slip": "Friday"}]},
            r"facts\[0\].slip' is 'Friday', a right",
        ),
        (
            "document",
            {**NOTICE, "facts": [{**FACTS[0], "text": "it is soon"}]},
            r"facts\[0\].text' does not state the value 'Friday'",
        ),
        ("document", {**NOTICE, "facts": [{"name": "day"}]}, r"field 'facts\[0\].value' is missing"),
        ("document", {**NOTICE, "facts": [{**FACTS[0], "topics": "day"}]}, r"facts\[0\].topics' is 'day'"),
        (
            "document",
            {"brief": {"goal": "x", "text": "y"}},
            "field 'reference' is None; it should be an object",
        ),
        ("document", {"brief": {"goal": "x"}, "reference": {"text": "z"}}, "field 'brief.text' is missing"),
        (
            "document",
            {"brief": {"goal": "x", "text": "y"}, "reference": {}},
            "field 'reference.text' is missing",
        ),
        (
            "document",
            {"brief": {"goal": "x", "text": "y"}, "reference": {"text": "z"}, "kind": "math"},
            "field 'kind' is 'math'",
        ),
        (
            "document",
            {"brief": {"goal": "x", "text": "y"}, "reference": {"text": "z"}, "level": "2"},
            "field 'level' is '2'",
        ),
    ],
)
def test_bad_lines_name_file_line_and_field(tmp_path: Path, kind: Any, row: Any, message: str) -> None:
    good = ROW if kind == "math" else NOTICE
    with pytest.raises(ValueError, match=rf"tasks\.jsonl:2: .*{message}") as caught:
        JsonLinesTasks(write(tmp_path, good, row), kind)
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"empty\.jsonl: no task in it"):
        JsonLinesTasks(write(tmp_path, "", "  ", name="empty.jsonl"), "math")
    with pytest.raises(FileNotFoundError, match=r"absent\.jsonl"):
        JsonLinesTasks(tmp_path / "absent.jsonl", "math")
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(json.dumps(ROW).encode() + b'\n{"goal": "caf\xe9"}')
    with pytest.raises(ValueError, match=r"latin\.jsonl:2: byte 14 is not UTF-8"):
        JsonLinesTasks(latin, "math")
    with pytest.raises(ValueError, match=r"tasks\.jsonl:2: field 'id' 'a' is that of line 1 too"):
        JsonLinesTasks(write(tmp_path, {**ROW, "id": "a"}, {**ROW, "id": "a"}), "math")
    with pytest.raises(ValueError, match="unknown kind of task 'maths': did you mean 'math'"):
        JsonLinesTasks(write(tmp_path, ROW), "maths")  # type: ignore[arg-type]


def test_empty_and_unknown_splits(tmp_path: Path) -> None:
    source = JsonLinesTasks(write(tmp_path, {**ROW, "split": "test"}), "math")
    with pytest.raises(ValueError, match=r"no task in the split 'train' \(tasks: train 0, .* test 1\)"):
        source.draw("train", NoiseKey((0,)))
    with pytest.raises(ValueError, match="unknown split 'tests': did you mean 'test'"):
        source.draw("tests", NoiseKey((0,)))


@pytest.mark.parametrize(
    "piece", ["He has 3 cats and ", "and ", "a, how 3 ", "Tom ran. ", "9", ", if ", "x. 3 "]
)
def test_huge_lines_load_quickly(tmp_path: Path, piece: str) -> None:
    row = {"question": piece * (300_000 // len(piece)) + "?", "answer": "#### 1"}
    start = time.process_time()
    assert len(every(JsonLinesTasks(write(tmp_path, row), "math"))) == 1
    assert time.process_time() - start < 10


def test_marks_of_other_systems_and_lone_surrogates(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    row = {**ROW, "question": "Tom \ud800 has 3. So?"}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(row).encode() + b"\r\n\r\n")
    (task,) = every(JsonLinesTasks(path, "math"))
    assert task.brief.text == "Tom \ufffd has 3. So?"


def test_registered_for_both_kinds(tmp_path: Path) -> None:
    path = str(write(tmp_path, ROW))
    source = task_sources["math"].build({"name": "jsonl", "path": path})
    assert isinstance(source, TaskSource)
    identity = source.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["path"] == path
    notices = str(write(tmp_path, NOTICE, name="n.jsonl"))
    assert task_sources["document"].build({"name": "jsonl", "path": notices}).kind == "document"


@pytest.mark.skipif(not GSM8K.exists(), reason="needs gsm8k_test.jsonl in the folder DIALOGUE_GYM_DATA")
def test_all_of_gsm8k_loads() -> None:
    source = JsonLinesTasks(GSM8K, "math")
    tasks = every(source)
    assert len(tasks) == 1319
    assert sum(1 for task in tasks if not task.brief.facts) < 10
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", task.reference.answer) for task in tasks)
    assert 100 < len(source.tasks("test")) < 165
