import copy
import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import dialogue_gym  # noqa: F401
from dialogue_gym.rollout import play
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import SPLITS, TableTasks, TaskSource, task_sources
from dialogue_gym.tasks.word_problems import canonical_form

DATA = Path(os.environ.get("DIALOGUE_GYM_DATA") or Path(__file__).parents[3] / "shared" / "data")
GSM8K = DATA / "gsm8k_test.jsonl"
needs_gsm8k = pytest.mark.skipif(not GSM8K.exists(), reason="needs gsm8k_test.jsonl in DIALOGUE_GYM_DATA")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def build(name: str, path: Path, kind: Any = "math", **options: Any) -> TableTasks:
    source = task_sources[kind].build({"name": name, "path": str(path), **options})
    assert isinstance(source, TableTasks)
    assert isinstance(source, TaskSource)
    identity = source.identity()
    assert json.loads(json.dumps(identity)) == identity
    return source


def gsm8k_rows(number: int, noun: str = "cats") -> list[dict[str, Any]]:
    things = ["cats", "dogs", "pens", "cups", "hats", "eggs", "jars", "bags", "keys", "maps", "toys", "nuts"]
    return [
        {
            "question": f"Tom has {i} {things[i % 12]} {things[i // 12 % 12]}. Ann has 5 {noun}. How many?",
            "answer": f"{i}+5=<<{i}+5={i + 5}>>\n#### {i + 5:,}",
        }
        for i in range(number)
    ]


MATH = {
    "problem": r"Let $x = \frac{1}{2}$. Let $y = 3x^2$. Find $x + y$.",
    "level": "Level 5",
    "solution": r"So $x+y = \boxed{\frac{5}{4}}$.",
    "type": "Algebra",
}


def math_rows(number: int) -> list[dict[str, Any]]:
    words = "red blue green gray pink teal gold navy lime rust plum sand".split()
    return [
        MATH | {"problem": f"Let the {words[i % 12]} {words[i // 12]} $x = {i}$. Find $x$."}
        for i in range(number)
    ]


def test_gsm8k_as_the_hub_lays_it_out(tmp_path: Path) -> None:
    write(tmp_path / "main" / "train-00000-of-00001.parquet", gsm8k_rows(120))
    write(tmp_path / "main" / "test-00000-of-00001.parquet", gsm8k_rows(9, "rats"))
    source = build("gsm8k", tmp_path / "main")
    tasks = {split: source.tasks(split) for split in SPLITS}
    assert len(tasks["test"]) == 9
    assert len(tasks["train"]) + len(tasks["validation"]) == 120
    assert 2 < len(tasks["validation"]) < 30
    forms = {split: {canonical_form(task.brief.text) for task in tasks[split]} for split in SPLITS}
    assert not forms["train"] & forms["validation"]
    first = next(task for task in tasks["test"] if task.id == "main-test-2")
    assert first.reference.answer == "7"
    assert [fact.value for fact in first.brief.facts] == ["2", "5"]
    again = build("gsm8k", tmp_path / "main")
    assert [again.draw("train", NoiseKey((i,))) for i in range(20)] == [
        source.draw("train", NoiseKey((i,))) for i in range(20)
    ]


def test_math_hard_and_its_levels(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", math_rows(100))
    write(tmp_path / "test.jsonl", [MATH])
    source = build("lighteval/MATH-Hard", tmp_path)
    (task,) = source.tasks("test")
    assert (task.reference.answer, task.level) == (r"\frac{5}{4}", 5)
    assert task.brief.goal == "Find $x + y$."
    assert [fact.value for fact in task.brief.facts] == [r"Let $x = \frac{1}{2}$", "Let $y = 3x^2$"]
    assert source.tasks("validation")


def collabllm_rows() -> list[dict[str, Any]]:
    return [
        {
            "prompt": [{"role": "user", "content": "hi"}],
            "completion": "hello",
            "conv_id": conversation,
            "score": 0.5,
            "single_turn_prompt": row["problem"],
            "single_turn_completion": row["solution"],
            "single_turn_metadata": json.dumps({"level": "Level 5", "type": "Algebra"}),
            "turn_id": turn,
        }
        for conversation, row in enumerate(math_rows(60))
        for turn in (1, 3, 5)
    ]


def test_collabllm_has_each_problem_once(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train-00000-of-00001.parquet", collabllm_rows())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = build("collabllm/collabllm-multiturn-math-hard", tmp_path)
    tasks = [task for split in SPLITS for task in source.tasks(split)]
    assert len({task.brief.text for task in tasks}) == len(tasks) == 60
    assert {task.reference.answer for task in tasks} == {r"\frac{5}{4}"}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".json"])
def test_files_with_a_map_of_columns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    rows = [{"ask": f"What is {i} plus one?", "result": i + 1} for i in range(60)]
    write(path, rows)
    if suffix == ".json":
        path.write_text(json.dumps(rows))
    name = suffix[1:] if suffix != ".json" else "hub"
    source = build(name, path, columns={"question": "ask", "answer": "result"})
    assert sum(len(places) for places in source._places.values()) == 60
    task = source.tasks("train")[0] if source._places.get("train") else source.tasks("test")[0]
    assert task.reference.answer == str(int(task.id.rpartition("-")[2]) + 1)


def test_a_saved_set_and_named_splits(tmp_path: Path) -> None:
    import datasets

    easy, hard = datasets.Dataset.from_list(gsm8k_rows(8)), datasets.Dataset.from_list(gsm8k_rows(4, "rats"))
    datasets.DatasetDict({"easy": easy, "hard": hard}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ValueError, match=r"the set has the splits 'easy', 'hard'; say which is which"):
        build("gsm8k", tmp_path / "saved")
    source = build("gsm8k", tmp_path / "saved", splits={"train": "easy", "test": "hard"})
    assert [len(source.tasks(split)) for split in ("train", "test")] == [8, 4]
    with pytest.raises(
        ValueError, match=r"no task in the split 'validation' \(tasks: train 8, .*'easy', 'hard'"
    ):
        source.draw("validation", NoiseKey((0,)))
    with pytest.raises(ValueError, match="there is no split 'medium'; the set has 'easy', 'hard'"):
        build("gsm8k", tmp_path / "saved", splits={"train": "medium"})
    with pytest.raises(ValueError, match="unknown split 'tests': did you mean 'test'"):
        build("gsm8k", tmp_path / "saved", splits={"tests": "hard"})


def article(i: int, length: int = 60, stamp: str | None = "x") -> dict[str, Any]:
    words = "garden tool window river market copper winter signal paper bridge".split()
    told = (f"{words[(i + j) % 10].title()} {words[i * j % 9]} went away." for j in range(length // 4))
    text = f"The {words[i % 10]} of {words[i // 10 % 10]} and {words[i // 100]}. " + " ".join(told)
    return {
        "title": f"Why {words[i % 10]} number {i} matters",
        "text": text,
        "url": "u",
        "authors": "a",
        "timestamp": stamp and f"2021-{i // 28 + 1:02}-{i % 28 + 1:02} 10:00:00+00:00",
        "tags": "t",
    }


def test_medium_takes_the_newest_short_articles(tmp_path: Path) -> None:
    rows = [article(i, stamp=None if i % 10 == 9 else "x") for i in range(300)]
    rows[295] = article(295, length=3000)
    write(tmp_path / "train.parquet", rows)
    source = build(
        "Kamaljp/medium_articles", tmp_path, "document", train_ratio=0.2, test_ratio=0.1, max_tokens=200
    )
    numbers = {split: {task.reference.text for task in source.tasks(split)} for split in ("train", "test")}
    stamped = [i for i in range(300) if i % 10 != 9]
    newest = {rows[i]["text"] for i in stamped[-(54 + 27) :]} - {rows[295]["text"]}
    assert (
        numbers["train"] | numbers["test"] | {task.reference.text for task in source.tasks("validation")}
        == newest
    )
    assert 26 <= len(source.tasks("test")) <= 27
    task = source.tasks("test")[0]
    assert task.brief.genre == "article"
    assert task.brief.goal.startswith('an article with the title "Why ')
    assert source.identity()["tokens"] == "estimate"


def test_medium_says_what_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [article(i) for i in range(20)])
    name = "Kamaljp/medium_articles"
    with pytest.raises(ValueError, match=r"of 20 articles .* takes 0 .* takes 0; raise them"):
        build(name, path, "document")
    with pytest.raises(ValueError, match="at most 3 tokens; raise max_tokens or train_ratio"):
        build(name, path, "document", train_ratio=0.5, test_ratio=0.2, max_tokens=3)
    with pytest.raises(ValueError, match="unknown way to count tokens 'cl100': did you mean 'cl100k'"):
        build(name, path, "document", tokens="cl100")
    with pytest.raises(ValueError, match=r"no column 'timestamp' for the time .* there are 'title', 'text'"):
        build(name, write(tmp_path / "b.jsonl", [{"title": "x", "text": "y"}]), "document")
    with pytest.raises(ValueError, match="train_ratio and test_ratio must be above 0"):
        build(name, path, "document", train_ratio=0)


def test_documents_from_any_table(tmp_path: Path) -> None:
    rows = [{"body": article(i)["text"], "head": f"Piece {i}", "sort": "essay"} for i in range(30)]
    path = write(tmp_path / "d.jsonl", rows)
    columns = {"text": "body", "title": "head", "genre": "sort"}
    source = build("jsonl", path, "document", columns=columns)
    task = source.tasks("train")[0]
    assert task.brief.goal.startswith('an essay with the title "Piece ')
    assert task.reference.facts == ()
    env = gym.make("DocEditChat-v0", tasks={"name": "jsonl", "path": str(path), "columns": columns})
    observation, _ = env.reset(seed=3)
    assert "essay" in observation[0]["content"].lower()
    env.step("What points should it cover?")


# what can be wrong with a set ------------------------------------------------------------------------


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"problem": "a", "result": "b"}])
    with pytest.raises(ValueError, match=r"no column 'question' for the question .* 'problem', 'result'"):
        build("gsm8k", path)
    with pytest.raises(ValueError, match="columns has no place for a 'questoin': did you mean 'question'"):
        build("hub", path, columns={"questoin": "problem"})
    with pytest.raises(ValueError, match=r"no option 'pat': did you mean 'path'"):
        task_sources["math"].build({"name": "gsm8k", "pat": str(path)})
    with pytest.raises(ValueError, match="unknown answer_form 'box': did you mean 'boxed'"):
        build("hub", path, answer_form="box")


def test_empty_sets(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n \n")
    with pytest.raises(ValueError, match="the set is empty"):
        build("gsm8k", path)
    import pyarrow

    schema = pyarrow.schema([("question", pyarrow.string()), ("answer", pyarrow.string())])
    pyarrow.parquet.write_table(schema.empty_table(), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="the set is empty"):
        build("gsm8k", tmp_path / "x.parquet")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="this folder cannot be loaded"):
        build("gsm8k", tmp_path / "nothing")


def test_rows_without_answers_are_counted(tmp_path: Path) -> None:
    bad = [{"question": "How many?", "answer": "it is 4"}, {"question": "How many?", "answer": None}]
    path = write(tmp_path / "x.jsonl", [*gsm8k_rows(40), *bad])
    with pytest.warns(UserWarning, match=r"x\.jsonl: 2 of 42 rows left out: 2 without an answer$"):
        source = build("gsm8k", path)
    assert source.identity()["left_out"] == {"without an answer": 2}
    with pytest.raises(ValueError, match=r"2 of 2 rows left out: 2 without an answer; no task is left"):
        build("gsm8k", write(tmp_path / "y.jsonl", bad))


def test_huge_odd_and_blank_rows_are_counted(tmp_path: Path) -> None:
    odd: list[dict[str, Any]] = [
        {"question": "very " * 10_000 + "long?", "answer": "#### 1"},
        {"question": ["a", "list"], "answer": "#### 1"},
        {"question": " ", "answer": "#### 1"},
    ]
    path = write(tmp_path / "x.jsonl", [*gsm8k_rows(40), *odd])
    message = (
        "3 of 43 rows left out: 1 longer than 20,000 characters, 1 with a list where a text should be, "
        "1 with nothing in the column 'question'"
    )
    with pytest.warns(UserWarning, match=message):
        build("gsm8k", path)
    with pytest.warns(UserWarning, match="left out: .* longer than 80 characters"):
        build("gsm8k", path, max_chars=80)
    with pytest.raises(ValueError, match="max_chars must be an int of at least 1"):
        build("gsm8k", path, max_chars=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"question": "a"}\n{oops', r"x\.jsonl:2: not JSON"),
        ("x.jsonl", b"[1]", r"x\.jsonl:1: a JSON list"),
        ("x.jsonl", b'{"question": "caf\xe9"}', "not UTF-8"),
        ("x.json", b"{}", "a JSON dict; it should be a list"),
        ("x.parquet", b"PAR1 but not really", "not a Parquet file"),
        ("x.csv", b"question,answer", r"it should end in \.jsonl"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        build("gsm8k", tmp_path / name)
    assert "\n" not in str(caught.value)


def test_sets_that_are_not_there(tmp_path: Path) -> None:
    for name in ("absent.jsonl", "absent.json", "absent.parquet"):
        with pytest.raises(FileNotFoundError, match=rf"^{tmp_path}/{name}: there is no such file$"):
            build("gsm8k", tmp_path / name)
    with pytest.raises(ValueError, match="there is no such file or folder; a set on the hub"):
        build("gsm8k", tmp_path / "absent")
    with pytest.raises(ValueError, match=r"openai/gsm8k: this set on the hub cannot be loaded \(") as caught:
        task_sources["math"].build("gsm8k")
    assert "\n" not in str(caught.value)


def test_the_hub_is_tried_again_in_silence(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    client = logging.getLogger("huggingface_hub.utils._http")

    def unreachable(*given: Any, **options: Any) -> None:
        client.warning("Retrying in 1s [Retry 1/5].")
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(ValueError, match=r"cannot be loaded \(no route\)"):
        task_sources["math"].build("gsm8k")
    assert not caplog.records
    client.warning("of others")
    assert [record.message for record in caplog.records] == ["of others"]


def test_an_environment_made_from_a_dict_is_json(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", gsm8k_rows(60))
    env = gym.make("MathChat-v0", tasks={"name": "gsm8k", "path": str(path)})
    assert env.spec is not None
    assert str(path) in env.spec.to_json()
    assert env.reset(seed=1)[0] == gym.make(env.spec).reset(seed=1)[0]


def test_a_source_can_be_sent_to_another_process(tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    write(tmp_path / "set" / "train.jsonl", gsm8k_rows(30))
    for path in (tmp_path / "set", tmp_path / "set" / "train.jsonl"):
        source = build("gsm8k", path)
        for again in (copy.deepcopy(source), cloudpickle.loads(cloudpickle.dumps(source))):
            assert again.draw("train", NoiseKey((1,))) == source.draw("train", NoiseKey((1,)))


@needs_gsm8k
def test_gsm8k_dialogues_run(monkeypatch: pytest.MonkeyPatch) -> None:
    env: Any = gym.make_vec(
        "MathChat-v0",
        num_envs=50,
        autoreset_mode="Disabled",
        tasks={"name": "gsm8k", "path": str(GSM8K), "splits": {"test": "all"}},
        split="test",
    )
    played = play(env, RulePolicy("math"), list(range(50)), list(range(50)))
    assert all(trajectory.reward is not None for trajectory in played)


@pytest.mark.slow
@needs_gsm8k
def test_a_thousand_gsm8k_dialogues() -> None:
    env: Any = gym.make_vec(
        "MathChat-v0", num_envs=100, autoreset_mode="Disabled", tasks={"name": "gsm8k", "path": str(GSM8K)}
    )
    played = play(env, RulePolicy("math"), list(range(1000)), list(range(1000)))
    assert sum(trajectory.reward is not None for trajectory in played) == 1000
