"""Each format of others: what is read of a row, and what stays unknown."""

import os
from collections import Counter
from pathlib import Path

import pytest

from dialogue_gym.logs import (
    export_collabllm,
    import_dialogues,
    read_log,
    write_log,
)
from dialogue_gym.simulators.user_turns import by_people, user_turns
from tests.logs.conftest import (
    ARENA,
    BRIDGE,
    DOCUMENTS,
    MATHDIAL,
    MESSAGES,
    SHAREGPT,
    account,
    chat,
    flat,
    lines,
    one,
    said,
    take,
)

DATA = Path(os.environ.get("DIALOGUE_GYM_DATA") or Path(__file__).parents[3] / "shared" / "data")


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
