import json
from pathlib import Path

import pytest

from dialogue_gym.cli import main
from dialogue_gym.logs import read_log

import_logs = pytest.importorskip("dialogue_gym.cli.import_logs", exc_type=ImportError)

ROW = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


def test_imports_prints_the_account_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out, report = tmp_path / "rows.jsonl", tmp_path / "log.jsonl", tmp_path / "report.json"
    rows.write_text(json.dumps(ROW) + "\nbroken\n")
    settings = import_logs.ImportSettings((rows,), out, env="MathChat-v0", user="people", report=report)
    assert import_logs.run(settings) == 0
    assert [record.simulator for record in read_log(out)] == [{"name": "people"}]
    assert f"{rows}:2: not JSON" in capsys.readouterr().out
    assert json.loads(report.read_text())["read"] == 2
    with pytest.raises(FileExistsError, match="--overwrite"):
        import_logs.run(settings)


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_help_work(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    shown = capsys.readouterr().out.replace("\\\n", "").splitlines()
    example = [line.split() for line in shown if line.strip().startswith("dialogue-gym import")][number]
    people = {"user_queries": ["hi"], "ai_responses": ["hello"], "intent": "", "model": "m"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "simulatorarena_math.json").write_text(json.dumps([people]))
    (tmp_path / "chats.jsonl").write_text(json.dumps(ROW) + "\n")
    assert main(example[1:]) == 0
    (record,) = read_log(tmp_path / "runs" / "people.jsonl")
    assert record.simulator["name"] == "people"
    assert record.end_reason == "user_stop"


def test_writes_nothing_where_nothing_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "log.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    assert import_logs.run(import_logs.ImportSettings((rows,), out)) == 1
    assert not out.exists()
    assert "--env" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no files"):
        import_logs.run(import_logs.ImportSettings((), out))


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, rows, out = tmp_path / "empty.jsonl", tmp_path / "rows.jsonl", tmp_path / "log.jsonl"
    empty.touch()
    rows.write_text(json.dumps(ROW) + "\n")
    assert main(["import", str(empty), "--out", str(out)]) == 1
    assert f"{empty}: it is empty" in capsys.readouterr().out
    assert main(["import", str(empty), str(rows), "--env", "MathChat-v0", "--out", str(out)]) == 0
    assert f"{empty}: it is empty" in capsys.readouterr().out
