import json
from pathlib import Path

import pytest

from dialogue_gym.cli import main


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "log.jsonl"
    assert main(["collect", "--policy", "rule", "--dialogues", "30", "--out", str(path)]) == 0
    return path


def test_the_command_prints_and_writes(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "report"
    assert (
        main(["realism", "--logs", str(log), "--policy", "rule", "--resamples", "20", "--out", str(out)]) == 0
    )
    printed = capsys.readouterr().out
    assert "scripted against the users of 30 dialogues" in printed
    data = json.loads((out / "realism.json").read_text())
    figures = {f["metric"]: f for f in data["figures"]}
    assert figures["outcome_calibration"]["simulator"] is not None
    assert figures["turns_per_dialogue"]["verdict"] == "within"
    assert "<svg" in (out / "realism.html").read_text()


def test_a_second_log_serves_as_well(log: Path, tmp_path: Path) -> None:
    arguments = ["realism", "--logs", str(log), "--dialogues", str(log), "--resamples", "20"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    figures = {f["metric"]: f for f in json.loads((tmp_path / "realism.json").read_text())["figures"]}
    assert figures["outcome_calibration"]["excess"]["value"] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--simulator", "scriptd"], "unknown user simulator 'scriptd': did you mean 'scripted'?"),
        (["--simulator-options", "[]"], "simulator_options must be a JSON object"),
        (["--resamples", "3"], "resamples must be at least 20, got 3"),
        (["--policy", "rules"], "unknown policy 'rules': did you mean 'rule'?"),
        (["--policy", "rule", "--dialogues", "x.jsonl"], "give one of them"),
        (["--ask-rate", "0.5"], "ask_rate is for --policy rule"),
        (["--language-model", "tiny"], "'scripted' has no option 'language_model'"),
    ],
)
def test_bad_input_is_one_line(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["realism", "--logs", str(log), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_missing_log_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["realism", "--logs", str(tmp_path / "none.jsonl"), "--out", str(tmp_path)]) == 2
    assert "none.jsonl" in capsys.readouterr().err
