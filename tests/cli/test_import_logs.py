import json
from pathlib import Path

import pytest

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


def test_writes_nothing_where_nothing_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "log.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    assert import_logs.run(import_logs.ImportSettings((rows,), out)) == 1
    assert not out.exists()
    assert "--env" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no files"):
        import_logs.run(import_logs.ImportSettings((), out))
