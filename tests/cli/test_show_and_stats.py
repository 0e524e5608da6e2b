"""Logs in the terminal: dialogues, figures, and one line for what cannot be."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import started

DATA = Path(os.environ.get("DIALOGUE_GYM_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture(scope="module")
def log(tmp_path_factory: Any) -> Path:
    from dialogue_gym.cli import main

    path: Path = tmp_path_factory.mktemp("logs") / "rules.jsonl"
    assert main(["collect", "--policy", "rule", "--dialogues", "12", "--out", str(path)]) == 0
    return path


def test_show_has_task_persona_words_and_score(command: Callable[..., Any], log: Path) -> None:
    done = command("show", log, "--n", 2, "--width", 90)
    assert done.status == 0
    assert done.err == ""
    assert done.out.startswith("1. MathChat-v0 train; user scripted, agent rules")
    for start in (
        "   task ",
        "   answer ",
        "   persona ",
        "user> ",
        "agent> ",
        "   ^ tells ",
        "(user_stop, ",
    ):
        assert f"\n{start}" in done.out
    assert "10 more; --n 0 shows all" in done.out
    assert "3. MathChat" not in done.out
    assert max(map(len, done.out.splitlines())) <= 90


def test_show_by_number_and_filter(command: Callable[..., Any], log: Path) -> None:
    assert command("show", log, "--number", 7, 2).out.startswith("7. MathChat-v0")
    assert command("show", log, "--n", 0).out.count("(user_stop") == 12
    assert command("show", log, "--number", 13).error == f"error: {log}: no dialogue 13 in it; it has 12"
    assert "none of its 12 dialogues fits 'score>2'" in command("show", log, "--filter", "score>2").error
    assert "did you mean 'score'?" in command("show", log, "--filter", "skore<1").error
    assert command("show", log, "--n", -1).error == "error: n must be at least 0, got -1"


def test_a_text_cannot_drive_the_terminal_nor_look_like_a_note(
    command: Callable[..., Any], log: Path, tmp_path: Path
) -> None:
    record = json.loads(log.read_text().splitlines()[0])
    record["messages"][0]["content"] = "\x1b[2J\n   ^ leak: no\nagent> yes"
    record["task"]["brief"]["text"] = "\x1b]0;x\x07"
    odd = tmp_path / "odd.jsonl"
    odd.write_text(json.dumps(record) + "\n")
    out = command("show", odd).out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert not any(line.startswith(("   ^ leak: no", "agent> yes")) for line in out.splitlines())


def test_a_half_written_line_is_named_and_the_rest_goes_on(
    command: Callable[..., Any], log: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(log.read_bytes()[:-40])
    for name in ("show", "stats"):
        done = command(name, cut)
        assert done.status == 0
        assert done.err == f"left out: {cut}:12: the last line is half written\n"
    assert "11 dialogues" in command("stats", cut).out


def test_seeds_that_nobody_knows_are_a_dash(command: Callable[..., Any], tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.json"
    row = {"user_queries": ["hi"], "ai_responses": ["hello"], "intent": "", "model": "m"}
    theirs.write_text(json.dumps([row]))
    assert "task seed -\n" in command("show", theirs).out
    page = tmp_path / "page.html"
    assert command("view", theirs, "--out", page).status == 0
    assert '"seeds":["-","-"]' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["show", "stats"])
def test_files_without_a_dialogue(command: Callable[..., Any], tmp_path: Path, name: str) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert command(name, empty).error == f"error: {empty}: no dialogue in it; it is empty"
    assert command(name, tmp_path / "none.jsonl").error.endswith("none.jsonl: no such file or folder")
    empty.write_text('{"a": 1}\n')
    done = command(name, empty)
    assert done.status == 2
    assert done.err.splitlines()[-1] == f"error: {empty}: no dialogue in it; none of its 1 rows is one"


def test_stats_in_tables_and_json(command: Callable[..., Any], log: Path) -> None:
    out = command("stats", log).out
    for part in ("12 dialogues, user scripted", "by: user_stop 12", "reward ", "flag: leak", "facts_by_turn"):
        assert part in out
    data = json.loads(command("stats", log, log, "--json").out)
    assert data["second_minus_first"]["pairs"] == 12
    assert data["second_minus_first"]["estimates"]["reward"]["mean"] == 0.0
    assert data["logs"][0]["environments"][0]["estimates"]["turns"]["n"] == 12
    assert "12 pairs on the same tasks" in command("stats", log, log).out
    assert command("stats").error.startswith("error: ")


def test_a_reader_that_closes_early_is_no_error(python: list[str], log: Path) -> None:
    command, pipe = [*python, "show", str(log), "--n", "0"], subprocess.PIPE
    with started(command, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=120) == 141


@pytest.mark.parametrize(
    "name", ["simulatorarena_math.json", "mathdial_test.jsonl", "bridge_validation.json"]
)
def test_files_of_people(command: Callable[..., Any], name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip("people's dialogues are not in the repository")
    assert "agent> " in command("show", DATA / name).out
    assert "unscored: " in command("stats", DATA / name).out


def test_options_of_the_import_are_said_to_be_its(command: Callable[..., Any], tmp_path: Path) -> None:
    rows = tmp_path / "tasks.jsonl"
    rows.write_text('{"question": "2 + 2?", "answer": "4"}\n')
    done = command("show", rows)
    assert done.status == 2
    assert "--format is an option of dialogue-gym import FILE --out LOG" in done.err


def test_long_names_keep_the_columns(command: Callable[..., Any], tmp_path: Path) -> None:
    row = {"user_queries": ["hi"], "ai_responses": ["hello"], "intent": "", "model": "m"}
    (tmp_path / "rated.json").write_text(json.dumps([{**row, "overall_interaction_rating": 7}]))
    lines = command("stats", tmp_path / "rated.json").out.splitlines()
    table = [line for line in lines if line.startswith(("turns ", "rating: overall_interaction_rating "))]
    assert len(table) == 2
    assert len({len(line) for line in table}) == 1


def test_it_says_why_there_are_no_curves(command: Callable[..., Any], tmp_path: Path) -> None:
    said = [{"user": "tutor", "text": "and?"}, {"user": "student", "text": "9"}]
    (tmp_path / "excerpt.json").write_text(json.dumps([{"c_h": said, "c_r": []}]))
    shown = command("stats", tmp_path / "excerpt.json").out
    assert "by turn: not known, since no dialogue shows how its user began" in shown
