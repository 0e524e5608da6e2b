"""Files as they come: containers, rows that are bad, lines without end; and what is written is whole."""

import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.dialogue import Transcript
from dialogue_gym.logs import append, import_dialogues, read_log, write_log
from dialogue_gym.logs.formats import READERS
from dialogue_gym.logs.lines import MAX_LINE, bounded_lines
from dialogue_gym.logs.readings import merge_runs
from dialogue_gym.simulators.user_turns import user_turns
from tests.logs.conftest import ARENA, BRIDGE, MESSAGES, account, chat, flat, lines, one, said, take

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
