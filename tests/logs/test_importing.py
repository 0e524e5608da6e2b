import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.dialogue import Transcript
from dialogue_gym.logs import (
    DialogueRecord,
    Imported,
    append,
    export_collabllm,
    import_dialogues,
    read_log,
    write_log,
)
from dialogue_gym.logs.formats import READERS
from dialogue_gym.logs.lines import MAX_LINE, bounded_lines
from dialogue_gym.logs.readings import merge_runs
from dialogue_gym.simulators.user_turns import by_people, user_turns

DATA = Path(os.environ.get("DIALOGUE_GYM_DATA") or Path(__file__).parents[3] / "shared" / "data")


def chat(*texts: str, first: str = "user") -> list[dict[str, str]]:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def flat(conv: object, prompt: list[dict[str, str]], completion: str, score: float | None) -> dict[str, Any]:
    about = {"level": "1", "type": "counting"}
    return {
        "prompt": prompt, "completion": completion, "conv_id": conv, "score": score, "turn_id": len(prompt),
        "single_turn_prompt": "What is 2 + 3?", "single_turn_completion": "5", "single_turn_metadata": about,
    }  # fmt: skip


def bridge(number: str, *said: tuple[str, str]) -> dict[str, Any]:
    messages = [{"user": side, "text": text} for side, text in said]
    return {"c_id": number, "lesson_topic": "sums", "c_h": messages[:-1], "c_r": messages[-1:], "e": "guess"}


MESSAGES = {"id": "m1", "messages": chat("how many?", "five", "thanks")}
SHAREGPT = {"conversations": [{"from": "human", "value": "hi there"}, {"from": "gpt", "value": "hello"}]}
ARENA = {
    "user_queries": ["how do I add?", "and then?"],
    "ai_responses": ["count on", "stop"],
    "why_stop": "I knew enough.",
    "type": "Counting",
    "level": "Level 2",
    "model": "m",
    "overall_rating": 7,
    "problem_1_correctness": "correct",
}
DOCUMENTS = {
    "user_queries": ["a note please"],
    "ai_responses": ["Dear all"],
    "document_type": "note",
    "intent": "to write a note",
    "model": "m",
    "why_stop": "done",
    "bullet_points": ["when?"],
}
BRIDGE = bridge("7_1", ("tutor", "Ready?"), ("tutor", "Add them."), ("student", "6"), ("tutor", "No."))
MATHDIAL = {
    "qid": 1,
    "question": "How many\napples?",
    "conversation": "Teacher: (probing)Why: 4?|EOM|Teacher: Go on|EOM|Al: I add: 2|EOM|Teacher: (telling)Yes",
}


def lines(path: Path, *rows: object, end: str = "\n") -> Path:
    path.write_text(
        "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + end, encoding="utf-8"
    )
    return path


def take(tmp_path: Path, *rows: object, **options: Any) -> Imported:
    return import_dialogues(lines(tmp_path / "rows.jsonl", *rows), **options)


def one(tmp_path: Path, row: object, **options: Any) -> DialogueRecord:
    imported = take(tmp_path, row, **options)
    assert imported.report.dropped == {}
    user_turns(imported.records[0])
    return imported.records[0]


def said(record: DialogueRecord) -> list[str]:
    return [message["content"] for message in record.messages]


def account(imported: Imported) -> dict[str, int]:
    """Rows dropped by reason, where the sums of the report agree."""
    report = imported.report
    dropped = {reason: len(rows) for reason, rows in report.dropped.items()}
    assert report.kept.total() == len(imported.records)
    assert report.read == report.kept.total() + report.folded.total() + sum(dropped.values())
    return dropped


# formats


def test_messages_rows(tmp_path: Path) -> None:
    record = one(tmp_path, MESSAGES, env_id="MathChat-v0")
    assert said(record) == ["how many?", "five", "thanks"]
    assert record.env_id == "MathChat-v0"
    assert record.simulator == {"name": "unknown"}
    assert record.extra["source"] == {"file": "rows.jsonl", "row": 1, "id": "m1"}
    assert record.extra["censored"] == ["end"]
    assert not any(turn.stop_counts for turn in user_turns(record))


def test_messages_rows_of_people_that_are_whole(tmp_path: Path) -> None:
    row = {"messages": [{"role": "system", "content": "be kind"}, *chat("hi", "hello")], "topic": "x"}
    record = one(tmp_path, row, env_id="DocEditChat-v0", user="people", whole=True)
    assert by_people(record)
    assert record.extra["system"] == "be kind"
    assert record.extra["fields"] == {"topic": "x"}
    assert [turn.reply.stop for turn in user_turns(record)] == [False, True]


def test_sharegpt_rows_and_text_parts(tmp_path: Path) -> None:
    assert said(one(tmp_path, SHAREGPT, env_id="MathChat-v0")) == ["hi there", "hello"]
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "c"}]}
    assert said(one(tmp_path, row, env_id="MathChat-v0")) == ["ab", "c"]


def test_messages_rows_need_an_environment(tmp_path: Path) -> None:
    assert account(take(tmp_path, MESSAGES)) == {"no environment": 1}
    assert one(tmp_path, MESSAGES | {"env_id": "DocEditChat-v0"}).env_id == "DocEditChat-v0"
    with pytest.raises(ValueError, match="did you mean 'MathChat-v0'"):
        take(tmp_path, MESSAGES, env_id="MathChat")


def test_a_person_who_leaves_the_arena_stops_without_a_word(tmp_path: Path) -> None:
    record = one(tmp_path, ARENA)
    assert said(record) == ["how do I add?", "count on", "and then?", "stop"]
    assert (record.env_id, record.end_reason, record.policy) == ("MathChat-v0", "user_stop", {"name": "m"})
    assert by_people(record)
    assert record.extra["intent"] == "to solve a problem in Counting, level 2"
    assert (record.extra["outcome"], record.extra["ratings"]) == ("correct", {"overall_rating": 7})
    turns = user_turns(record)
    assert [turn.reply.text for turn in turns] == ["how do I add?", "and then?", ""]
    assert [turn.reply.stop for turn in turns] == [False, False, True]
    assert all(turn.stop_counts for turn in turns)


def test_technical_issues_censor_the_end(tmp_path: Path) -> None:
    record = one(tmp_path, ARENA | {"why_stop": "I encountered technical issues with the page."})
    assert (record.end_reason, record.extra["censored"]) == (None, ["end"])


def test_an_opening_that_was_not_recorded_is_no_opening(tmp_path: Path) -> None:
    record = one(tmp_path, ARENA | {"user_queries": ["", "and then?"]})
    assert record.extra["censored"] == ["beginning"]
    assert not any(turn.is_opening for turn in user_turns(record))


def test_documents_of_the_arena(tmp_path: Path) -> None:
    record = one(tmp_path, DOCUMENTS)
    assert (record.env_id, record.extra["intent"]) == ("DocEditChat-v0", "to write a note")
    assert record.extra["fields"]["bullet_points"] == ["when?"]


def test_excerpts_of_bridge_are_censored_at_both_ends(tmp_path: Path) -> None:
    record = one(tmp_path, BRIDGE)
    assert said(record) == ["", "Ready?\nAdd them.", "6", "No."]
    assert by_people(record)
    assert (record.extra["censored"], record.extra["group"]) == (["beginning", "end"], "7")
    assert [(turn.reply.text, turn.is_opening, turn.stop_counts) for turn in user_turns(record)] == [
        ("6", False, False)
    ]


def test_students_of_mathdial_are_no_people(tmp_path: Path) -> None:
    record = one(tmp_path, MATHDIAL)
    assert said(record) == ["", "Why: 4?\nGo on", "I add: 2", "Yes"]
    assert not by_people(record)
    assert record.extra["teacher_acts"] == ["probing", "", "telling"]
    assert record.extra["intent"] == "How many apples?"


def test_flat_rows_of_one_conversation_become_one_dialogue(tmp_path: Path) -> None:
    first, second = chat("2 + 3?"), chat("2 + 3?", "hm", "well?")
    imported = take(
        tmp_path,
        flat("a", first, "hm", 0.1),
        flat("a", second, "4", 0.2),
        flat("a", second, "5", 0.9),
        flat("a", second, "6", None),
        flat("a", chat("3 + 2?"), "5", 1.0),
        flat("b", first, "5", 0.5),
    )
    assert account(imported) == {}
    assert [said(record)[-1] for record in imported.records] == ["5", "5"]
    assert said(imported.records[0])[:3] == ["2 + 3?", "hm", "well?"]
    assert imported.records[0].metrics == {"collabllm_score": 0.9}
    assert not by_people(imported.records[0])
    assert imported.report.folded == {
        "an earlier turn of a conversation": 1,
        "another answer to the last turn": 2,
        "another branch of a conversation": 1,
    }


def test_nested_rows(tmp_path: Path) -> None:
    answers = [{"completion": "4", "score": 0.1}, {"completion": "5", "score": 0.7}]
    turns = [
        {"prompt": chat("2 + 3?"), "responses": [{"completion": "hm", "score": 0.3}]},
        {"prompt": chat("2 + 3?", "hm", "well?"), "responses": answers},
    ]
    row = {"turns": turns, "single_turn_prompt": "What is 2 + 3?", "single_turn_metadata": '{"title": "x"}'}
    record = one(tmp_path, row)
    assert said(record) == ["2 + 3?", "hm", "well?", "5"]
    assert (record.env_id, record.extra["other_answers"]) == ("DocEditChat-v0", 1)


@pytest.mark.parametrize("nested", [False, True])
def test_export_and_import_of_collabllm_agree(tmp_path: Path, nested: bool) -> None:
    original = take(tmp_path, ARENA, DOCUMENTS).records
    original[0].reward = 0.5
    rows = export_collabllm(original, nested=nested)
    assert len(rows) == (2 if nested else 3)
    again = import_dialogues(lines(tmp_path / "again.jsonl", *rows), env_id="MathChat-v0")
    assert account(again) == {}
    assert [record.messages for record in again.records] == [record.messages for record in original]
    assert again.records[0].metrics == {"collabllm_score": 0.5}


def test_our_own_log_comes_back_as_it_was(tmp_path: Path) -> None:
    records = take(tmp_path, ARENA, BRIDGE, MATHDIAL).records
    write_log(tmp_path / "log.jsonl", records)
    assert import_dialogues(tmp_path / "log.jsonl", strict=True).records == records


# containers


def test_json_arrays_give_the_line_of_each_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("\ufeff" + json.dumps([ARENA, {"x": 1}, BRIDGE], indent=1), encoding="utf-8")
    imported = import_dialogues(path)
    line = path.read_text(encoding="utf-8").split('"x"')[0].count("\n")
    assert len(imported.records) == 2
    assert imported.report.dropped["unknown form"][0].startswith(f"{path}:{line} (row 2): ")


def test_a_broken_array_keeps_what_comes_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(f"[{json.dumps(ARENA)},\n{{broken", encoding="utf-8")
    imported = import_dialogues(path)
    assert account(imported) == {"broken line": 1}
    assert "nothing after it" in imported.report.dropped["broken line"][0]
    path.write_text(f"[{json.dumps(ARENA)}] x", encoding="utf-8")
    assert account(import_dialogues(path)) == {"broken line": 1}
    path.write_bytes(f"[{json.dumps(ARENA)},".encode() + b'{"messages": "\xff"}]')
    assert account(import_dialogues(path)) == {"not UTF-8": 1}


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [flat("a", chat("2?"), "2", 0.5), flat("b", chat("3?"), "3", float("nan"))]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    imported = import_dialogues(tmp_path / "rows.parquet")
    assert said(imported.records[0]) == ["2?", "2"]
    assert imported.report.dropped == {
        "not a number": [
            f"{tmp_path / 'rows.parquet'}: row 2: field 'score': is nan, should be a finite number or null"
        ]
    }
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"bad\.parquet: not a Parquet file"):
        import_dialogues(tmp_path / "bad.parquet")


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"dialogue-gym\[agents\]"):
        import_dialogues(tmp_path / "rows.parquet")
    monkeypatch.setitem(sys.modules, "py3langid", None)
    long = MESSAGES | {"messages": chat("how many apples are there in the basket on the table " * 2, "five")}
    with pytest.raises(ImportError, match=r"dialogue-gym\[cli\]"):
        take(tmp_path, long, env_id="MathChat-v0")
    assert take(tmp_path, long, env_id="MathChat-v0", languages="any").records


def test_a_saved_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    splits = {"train": datasets.Dataset.from_list([MESSAGES])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    record = import_dialogues(tmp_path / "saved", env_id="MathChat-v0").records[0]
    assert (said(record), record.split) == (["how many?", "five", "thanks"], "train")
    with pytest.raises(ValueError, match="not a data set"):
        import_dialogues(tmp_path)


def test_opening_the_room_is_light() -> None:
    heavy = "{'pandas', 'pyarrow', 'datasets', 'py3langid', 'torch'}"
    code = f"import sys, dialogue_gym.logs; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


# bad input

GOOD = MESSAGES | {"env_id": "MathChat-v0"}
OWN = '{"schema_version": 9, "env_id": "MathChat-v0"}'
GERMAN = "Wie viele Äpfel hat sie denn am Ende noch übrig, wenn sie zwei isst und drei neue kauft?"
ENGLISH = "How many apples does she have left in the end when she eats two and buys three new ones?"
BAD = {
    "broken line": "{broken",
    "unknown schema version": OWN,
    "no object": "[1]",
    "not a number": '{"messages": [], "score": NaN}',
    "unknown form": {"question": "?"},
    "one-sided": {"messages": [{"role": "user", "content": "hello?"}], "env_id": "MathChat-v0"},
    "wrong fields": {"messages": [{"role": "tool", "content": "x"}], "env_id": "MathChat-v0"},
    "duplicate id": GOOD | {"messages": chat("another", "dialogue")},
    "duplicate dialogue": GOOD | {"id": "m2"},
    "too long": GOOD | {"id": "m3", "messages": chat("x" * 5000, "y")},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_named_and_left_out(tmp_path: Path, reason: str) -> None:
    rows = (GOOD, BAD[reason], GOOD | {"id": "m9", "messages": chat("last", "one")})
    imported = take(tmp_path, *rows, max_line=4000)
    assert account(imported) == {reason: 1}
    assert len(imported.records) == 2
    where = f"{tmp_path / 'rows.jsonl'}:2: "
    assert imported.report.dropped[reason][0].startswith(where)
    assert where in imported.report.table()
    assert json.loads(json.dumps(imported.report.to_dict()))["dropped"][reason][0].startswith(where)
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: "):
        take(tmp_path, *rows, max_line=4000, strict=True)


def test_one_sided_the_other_way(tmp_path: Path) -> None:
    row = {"messages": chat("only me", first="assistant"), "env_id": "MathChat-v0"}
    assert "as the user" in take(tmp_path, row).report.dropped["one-sided"][0]


def test_bytes_that_are_no_text_and_a_half_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xff\n\n{"messages')
    assert account(import_dialogues(path)) == {"not UTF-8": 1, "half-written last line": 1}


def test_another_language_is_named(tmp_path: Path) -> None:
    texts = (ENGLISH, GERMAN, ENGLISH + " Please!", "nein danke")
    rows = [{"messages": chat(text, "x"), "env_id": "MathChat-v0"} for text in texts]
    imported = take(tmp_path, *rows)
    assert account(imported) == {"another language": 1}
    assert imported.report.language == "en"
    assert (
        f"{tmp_path / 'rows.jsonl'}:2: the user writes 'de'" in imported.report.dropped["another language"][0]
    )
    assert len(take(tmp_path, *rows, languages="any").records) == 4
    with pytest.raises(ValueError, match=r":2: .*'de'"):
        take(tmp_path, *rows, strict=True)


def test_a_huge_line_is_never_held(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(b"x" * 2**20)
        file.write(b"\n" + json.dumps(GOOD).encode() + b"\n")
    tracemalloc.start()
    imported = import_dialogues(path, max_line=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert account(imported) == {"too long": 1}
    assert len(imported.records) == 1
    assert peak < 8 * 2**20


def test_our_reader_and_writer_refuse_lines_beyond_the_limit(tmp_path: Path) -> None:
    record = one(tmp_path, GOOD)
    record.extra["much"] = "x" * MAX_LINE
    with pytest.raises(ValueError, match="should be at most"):
        append(tmp_path / "log.jsonl", [record])
    (tmp_path / "long.jsonl").write_bytes(b"x" * (MAX_LINE + 1))
    with pytest.raises(ValueError, match=r"long\.jsonl:1: .*should be at most"):
        next(read_log(tmp_path / "long.jsonl"))


def test_unknown_options_and_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        import_dialogues(tmp_path / "nothing.json")
    with pytest.raises(ValueError, match="did you mean 'bridge'"):
        take(tmp_path, BRIDGE, format="brige")
    assert account(take(tmp_path, ARENA, format="bridge")) == {"wrong fields": 1}


def test_a_log_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    record, path = one(tmp_path, GOOD), tmp_path / "log.jsonl"
    write_log(path, [record])
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_log(path, [record])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="should be a DialogueRecord"):
        write_log(path, [record, None], overwrite=True)  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"rows.jsonl", "log.jsonl"}


# properties

roles = st.sampled_from(["user", "assistant"])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.tuples(roles, words)))
def test_merging_alternates_and_loses_nothing(messages: list[tuple[str, str]]) -> None:
    merged, begins = merge_runs(messages)
    transcript = Transcript(merged)
    for role in ("user", "assistant"):
        spoken = [text for who, text in messages if who == role and text]
        assert "\n".join(filter(None, transcript.contents(role))) == "\n".join(spoken)
    assert begins == (bool(merged) and bool(merged[0]["content"].strip()))


@given(st.binary(max_size=60), st.integers(1, 20))
def test_bounded_lines_account_for_every_byte(content: bytes, limit: int) -> None:
    got = list(bounded_lines(io.BytesIO(content), limit))
    plain = list(io.BytesIO(content))
    assert [length for _, length in got] == [len(line) for line in plain]
    assert [line for line, _ in got] == [line if len(line) <= limit else b"" for line in plain]


FIELDS = (
    "messages conversations conversation prompt completion conv_id score turns single_turn_prompt responses "
    "single_turn_metadata user_queries ai_responses why_stop document_type type level c_h c_r c_id user text "
    "role content from value env_id end_reason schema_version id question split intent"
).split()
value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["user", "tutor", "a|EOM|b: c", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)


@given(
    row=st.dictionaries(st.sampled_from(FIELDS), value, max_size=8),
    form=st.sampled_from(["auto", *READERS]),
)
def test_no_row_stops_the_import(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any], form: str
) -> None:
    path = lines(tmp_path_factory.getbasetemp() / "any.jsonl", row)
    imported = import_dialogues(path, format=form, env_id="MathChat-v0")
    account(imported)
    for record in imported.records:
        user_turns(record)


# real data


@pytest.mark.skipif(not (DATA / "bridge_train.json").exists(), reason="needs the files of DIALOGUE_GYM_DATA")
@pytest.mark.parametrize(
    ("file", "kept", "dropped", "people"),
    [
        ("simulatorarena_math.json", 25, {}, True),
        ("simulatorarena_documents.json", 26, {}, True),
        ("bridge_train.json", 339, {"duplicate id": 79, "one-sided": 1}, True),
        ("bridge_validation.json", 66, {"duplicate id": 5}, True),
        ("mathdial_test.jsonl", 599, {}, False),
    ],
)
def test_data_of_others(file: str, kept: int, dropped: dict[str, int], people: bool, tmp_path: Path) -> None:
    imported = import_dialogues(DATA / file)
    assert (len(imported.records), account(imported)) == (kept, dropped)
    assert {by_people(record) for record in imported.records} == {people}
    turns = [turn for i, record in enumerate(imported.records) for turn in user_turns(record, i)]
    assert len(turns) >= kept
    assert Counter(turn.reply.stop for turn in turns)[True] == sum(
        record.end_reason == "user_stop" for record in imported.records
    )
    write_log(tmp_path / "log.jsonl", imported.records)
    assert list(read_log(tmp_path / "log.jsonl")) == imported.records
