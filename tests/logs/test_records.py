import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.dialogue import EndReason
from dialogue_gym.logs import DialogueRecord, PolicyRecord, append, policy_view, read_log, repair_log
from tests.processes import started

SECRET = "zq7-canary-91"


def record(**changes: Any) -> DialogueRecord:
    values: dict[str, Any] = {
        "env_id": "MathChat-v0",
        "split": "test",
        "task": {"id": "t", "reference": {"answer": SECRET}},
        "persona": {"disclosure": 0.5, "note": SECRET},
        "task_seed": 3,
        "reply_seed": 4,
        "simulator": {"name": "scripted", "note": SECRET},
        "policy": {"name": "rules"},
        "messages": [
            {"role": "user", "content": "how many?"},
            {"role": "assistant", "content": "The answer is 5."},
            {"role": "user", "content": "danke schön \u2028 😀"},
        ],
        "turns_metadata": [{"held": [SECRET]}, {}],
        "end_reason": "user_stop",
        "reward": 0.5,
        "metrics": {"correct": 1.0},
        "extra": {"note": SECRET},
    }
    return DialogueRecord(**{**values, **changes})


def line_of(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    append(tmp_path / "one.jsonl", [record(**changes)])
    return json.loads((tmp_path / "one.jsonl").read_text())


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.floats(allow_nan=False, allow_infinity=False)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | number | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
json_object = st.dictionaries(text, json_value, max_size=3)
seed = st.integers(0, 2**64)


@st.composite
def records(draw: st.DrawFn) -> DialogueRecord:
    contents = draw(st.lists(text, max_size=5))
    users = (len(contents) + 1) // 2
    reason = draw(st.none() | st.sampled_from([r.value for r in EndReason]))
    unscored = reason is not None and not EndReason(reason).scored
    return record(
        env_id=draw(text),
        split=draw(text),
        task=draw(st.none() | json_object),
        persona=draw(st.none() | json_object),
        task_seed=draw(seed),
        reply_seed=draw(seed),
        simulator=draw(json_object),
        policy=draw(json_object),
        messages=[
            {"role": "assistant" if i % 2 else "user", "content": content}
            for i, content in enumerate(contents)
        ],
        turns_metadata=draw(st.lists(json_object, min_size=users, max_size=users)),
        end_reason=reason,
        reward=None if unscored else draw(st.none() | number),
        metrics=draw(st.dictionaries(text, number, max_size=3)),
        extra=draw(json_object),
    )


@given(st.lists(records(), max_size=4))
def test_a_log_gives_back_exactly_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[DialogueRecord]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    append(path, written[:2])
    append(path, written[2:], fsync=True)
    assert list(read_log(path)) == written
    assert list(read_log(path, "policy")) == [policy_view(r) for r in written]
    assert path.read_bytes().count(b"\n") == len(written)
    # reading and writing again changes no byte
    again = path.with_name("again.jsonl")
    append(again, read_log(path))
    assert again.read_bytes() == path.read_bytes()


def test_lines_are_compact_readable_and_in_a_fixed_order(tmp_path: Path) -> None:
    data = line_of(tmp_path)
    assert list(data) == ["schema_version", *(f.name for f in fields(DialogueRecord))]
    raw = (tmp_path / "one.jsonl").read_text(encoding="utf-8")
    assert "schön" in raw
    assert ', "' not in raw


def test_the_policy_view_holds_nothing_that_is_the_laboratorys(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append(path, [record()])
    (seen,) = read_log(path, "policy")
    assert isinstance(seen, PolicyRecord)
    assert SECRET not in repr(asdict(seen))
    names = {"env_id", "messages", "end_reason", "reward", "turn_rewards"}
    assert {f.name for f in fields(PolicyRecord)} == names
    assert (seen.scored, seen.turns, seen.reward) == (True, 1, 0.5)
    assert not policy_view(record(end_reason="aborted", reward=None)).scored


def test_a_policy_view_shares_nothing_with_its_record() -> None:
    original = record()
    policy_view(original).messages[0]["content"] = "changed"
    assert original == record()


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    data = line_of(tmp_path, extra={"note": "a\ud800b"})
    assert data["extra"] == {"note": "a\ufffdb"}
    (tmp_path / "other.jsonl").write_text(
        json.dumps({**data, "messages": [{"role": "user", "content": "a\ud800"}], "turns_metadata": [{}]})
        + "\n"
    )
    (read,) = read_log(tmp_path / "other.jsonl")
    assert read.messages[0]["content"] == "a\ufffd"


MESSAGE = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hi"}
BAD_FIELDS = [
    ("schema_version", 2, "is 2, should be 1"),
    ("schema_version", True, "is True, should be 1"),
    ("schema_version", None, "is null, should be 1"),
    ("env_id", 3, "is 3, should be a text"),
    ("task", [], "is [], should be an object or null"),
    ("task_seed", -1, "is -1, should be a non-negative int"),
    ("reply_seed", True, "is True, should be a non-negative int"),
    ("policy", None, "is null, should be an object"),
    ("messages", "hi", "is 'hi', should be a list of messages"),
    ("messages", [ANSWER], "roles alternate, the user first, so it should be 'user'"),
    ("messages", [MESSAGE, MESSAGE, MESSAGE], "message 1 has role 'user'"),
    (
        "messages",
        [{"role": "user"}],
        "message 0 is {'role': 'user'}, should be an object with the texts \"role\"",
    ),
    ("messages", [{"role": "user", "content": 3}], "message 0 is"),
    ("messages", [{**MESSAGE, "name": "x"}], "message 0 is"),
    ("turns_metadata", [{}], "has 1 items, should have 2"),
    ("turns_metadata", [1, 2], "is [1, 2], should be a list of objects"),
    ("end_reason", "bored", "is 'bored', should be null or one of user_stop, turn_limit"),
    ("end_reason", "aborted", "reward': is 0.5, should be null"),
    ("reward", "1", "is '1', should be a finite number or null"),
    ("reward", 10**400, "should be a finite number or null"),
    ("metrics", {"a": None}, "should be an object of finite numbers"),
    ("metrics", {"a": True}, "should be an object of finite numbers"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_FIELDS)
def test_a_bad_field_is_reported_with_file_line_and_what_would_be_right(
    tmp_path: Path, name: str, value: Any, message: str
) -> None:
    good = line_of(tmp_path)
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, name: value}) + "\n")
    lines = read_log(path)
    assert next(lines) == record()
    with pytest.raises(ValueError, match=r"bad.jsonl:2: field '") as caught:
        next(lines)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_unknown_fields_are_named(tmp_path: Path) -> None:
    data = line_of(tmp_path)
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({k: v for k, v in data.items() if k != "split"}) + "\n")
    with pytest.raises(ValueError, match=r"bad.jsonl:1: field 'split': is missing, should be a text"):
        list(read_log(path))
    path.write_text(json.dumps({**data, "rewards": 1}) + "\n")
    with pytest.raises(ValueError, match=r"field 'rewards': is not known; did you mean 'reward'"):
        list(read_log(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"reward": NaN}', r"not JSON \(NaN is no JSON number\)"),
        (b"1" * 5000, "not JSON"),
        (b'"\xff"', r"not UTF-8 \(byte 1\)"),
        (b"[1]", "a JSON list, should be one JSON object"),
    ],
)
def test_a_line_that_is_no_json_object_is_reported(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=f"bad.jsonl:1: {message}"):
        list(read_log(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": float("nan")}, "field 'reward': is nan, should be a finite number or null"),
        ({"extra": {"x": {1, 2}}}, "field 'extra': cannot be written as JSON"),
        ({"turns_metadata": [{"p": float("inf")}, {}]}, "field 'turns_metadata': cannot be written as JSON"),
        ({"messages": [ANSWER]}, "field 'messages': message 0 has role 'assistant'"),
        ({"reward": 1.0, "end_reason": "policy_failure"}, "field 'reward': is 1.0, should be null"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(ValueError, match="record 1 to append") as caught:
        append(path, [record(), record(**changes)])
    assert message in str(caught.value)
    assert list(read_log(path)) == [record()]


@given(st.data())
def test_a_half_written_last_line_is_reported_and_left_out_or_repaired_on_demand(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    append(path, [record(), record()])
    whole = path.read_bytes()
    length = len(whole) // 2
    kept = data.draw(st.integers(1, length - 2), label="bytes of the last line")
    path.write_bytes(whole[: length + kept])
    with pytest.raises(ValueError, match=r"log.jsonl:2: the last line is half written"):
        list(read_log(path))
    assert list(read_log(path, half_line="ignore")) == [record()]
    with pytest.raises(ValueError, match="the last line is half written; repair_log removes it"):
        append(path, [record()])
    assert repair_log(path) == kept
    assert path.read_bytes() == whole[:length]
    assert repair_log(path) == 0
    append(path, [record()])
    assert path.read_bytes() == whole


def test_a_whole_last_line_without_its_end_is_read_and_repaired(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append(path, [record()])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert list(read_log(path)) == [record()]
    assert repair_log(path) == 0
    assert path.read_bytes() == whole


def test_a_broken_line_in_the_middle_is_never_ignored(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append(path, [record()])
    path.write_bytes(b'{"schema' + b"\n" + path.read_bytes())
    with pytest.raises(ValueError, match=r"log.jsonl:1: not JSON"):
        list(read_log(path, half_line="ignore"))


def test_an_unknown_view_or_file_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(FileNotFoundError, match=r"log.jsonl: no such log"):
        read_log(path)
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}: a folder, no log"):
        read_log(tmp_path)
    append(path, [])
    assert list(read_log(path)) == []
    with pytest.raises(ValueError, match="unknown view 'polcy': did you mean 'policy'"):
        read_log(path, "polcy")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="unknown half_line 'skip'"):
        read_log(path, half_line="skip")  # type: ignore[call-overload]


APPEND_MANY = """
import sys
from dialogue_gym.logs import DialogueRecord, append
for i in range(40):
    append(sys.argv[1], [DialogueRecord(
        "e", "s", None, None, int(sys.argv[2]), i, {}, {}, [], [], None, None, {}, {"long": "x" * 20_000}
    )])
"""


def test_processes_can_share_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    commands = [[sys.executable, "-c", APPEND_MANY, path, str(who)] for who in range(2)]
    with started(commands[0]) as one, started(commands[1]) as other:
        assert [process.wait(timeout=120) for process in (one, other)] == [0, 0]
    read = [(r.task_seed, r.reply_seed) for r in read_log(path)]
    assert sorted(read) == [(who, i) for who in range(2) for i in range(40)]


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="record 0 to append: is of type dict, should be a DialogueRecord"):
        append(tmp_path / "log.jsonl", [asdict(record())])  # type: ignore[list-item]
