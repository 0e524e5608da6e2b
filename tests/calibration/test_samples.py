"""Training rows, their split, and what the manifest says of the data."""

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("transformers")

from dialogue_gym.calibration.samples import (
    check_enough,
    describe,
    row_counts,
    split_dialogues,
    training_row,
)
from dialogue_gym.language_models import load_language_model
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.simulators.user_side import UserSide
from tests.simulators.test_user_turns import record

TINY: Any = load_language_model("tiny")
CODEC = TINY.codec
SAID = ["hi", "how many?", "12", "it is 7", "thanks"]


def learned_text(row: Any) -> str:
    return str(CODEC.decode([i for i, yes in zip(row.input_ids, row.learned, strict=True) if yes]))


def test_only_the_users_words_marks_and_ends_are_learned() -> None:
    side = UserSide()
    row = training_row(CODEC, side, record(SAID, "user_stop"), 1000)
    assert (row.samples, row.cut) == (3, 0)
    assert learned_text(row) == ">hi>12#thanks"
    ends = sum(yes for i, yes in zip(row.input_ids, row.learned, strict=True) if i == CODEC.end_of_turn_id)
    assert ends == 3
    silent = training_row(CODEC, side, record(SAID[:4], "user_stop"), 1000)
    assert learned_text(silent) == ">hi>12#"
    limit = training_row(CODEC, side, record(SAID[:3], "turn_limit"), 1000)
    assert learned_text(limit) == ">hi>12"


def test_turns_that_do_not_fit_are_left_out_and_counted() -> None:
    side = UserSide("none", "")
    dialogue = record(SAID, "user_stop")
    whole = training_row(CODEC, side, dialogue, 1000)
    for length in range(1, len(whole.input_ids) + 1):
        row = training_row(CODEC, side, dialogue, length)
        assert row.samples + row.cut == 3
        assert len(row.input_ids) == len(row.learned) <= length
        assert row.input_ids == whole.input_ids[: len(row.input_ids)]
        assert row.learned == whole.learned[: len(row.learned)]
    assert training_row(CODEC, side, dialogue, len(whole.input_ids) - 1).cut == 1


def test_an_empty_opening_is_no_sample_and_the_rest_stays_whole() -> None:
    row = training_row(CODEC, UserSide(), record(["", *SAID[1:]], "user_stop"), 1000)
    assert len(row.input_ids) == len(row.learned)
    assert learned_text(row) == ">12#thanks"


def numbered(n: int) -> list[DialogueRecord]:
    return [record([f"hi {i}", "hm?", "12"], "turn_limit") for i in range(n)]


def test_the_split_is_by_what_is_said_and_keeps_together_what_belongs_together() -> None:
    records = numbered(100)
    train, held = split_dialogues(records, 0.2, 0)
    assert (len(train), len(held)) == (80, 20)
    assert all(r in held for r in split_dialogues(records[::-1], 0.2, 0)[1])
    assert split_dialogues(records, 0.2, 1)[1] != held
    twice = split_dialogues(records + records, 0.2, 0)
    assert not any(r in twice[0] for r in twice[1])
    grouped = [replace(r, extra={"group": f"chat {i // 10}"}) for i, r in enumerate(records)]
    parts = split_dialogues(grouped, 0.2, 0)
    groups = [{r.extra["group"] for r in part} for part in parts]
    assert (len(groups[0]), len(groups[1])) == (8, 2)
    assert not groups[0] & groups[1]
    assert [len(part) for part in split_dialogues(records[:2], 0.01, 0)] == [1, 1]
    with pytest.raises(ValueError, match="cannot be split"):
        split_dialogues(records[:1], 0.1, 0)


def test_fewer_than_fifty_user_turns_are_refused() -> None:
    assert check_enough(numbered(25)) == 50
    with pytest.raises(ValueError, match="the logs have 48 user turns in 24 dialogues; at least 50"):
        check_enough(numbered(24))


def test_simulated_students_are_no_people() -> None:
    people = numbered(3)
    student = replace(people[0], simulator={"name": "gpt-3.5", "source": "mathdial"})
    data = describe([*people, student])
    assert (data["dialogues"], data["dialogues_of_people"], data["user_turns"]) == (4, 3, 8)
    assert data["sources"] == ["mathdial", "people"]


def test_the_hash_of_the_data_is_of_what_was_said_and_how_it_ended() -> None:
    records = numbered(3)
    sha = describe(records)["sha256"]
    assert describe([replace(r, persona={"trust": 0.1}, reward=1.0) for r in records])["sha256"] == sha
    assert describe([*records[:2], replace(records[2], end_reason="user_stop")])["sha256"] != sha
    assert describe(numbered(2))["sha256"] != sha


def test_row_counts_add_up() -> None:
    rows = [training_row(CODEC, UserSide(), r, 1000) for r in numbered(2)]
    rows.append(training_row(CODEC, UserSide(), numbered(1)[0], 5))
    counts = row_counts(rows)
    assert (counts["rows"], counts["samples"], counts["samples_cut"]) == (2, 4, 2)
    assert counts["learned_tokens"] == sum(sum(row.learned) for row in rows)
