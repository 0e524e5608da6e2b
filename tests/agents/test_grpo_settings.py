"""Settings and the command line: what cannot be is said in one line."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dialogue_agents.folder import prepare_folder
from dialogue_agents.grpo.__main__ import main
from dialogue_agents.grpo.run import FREE
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.cli.arguments import parse_settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"group_size": 1}, "group_size must be at least 2"),
        ({"groups": 3, "group_size": 4, "micro_batch": 5}, "micro_batch must divide .* = 12, got 5"),
        ({"micro_batch": -1}, "micro_batch must be at least 0"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be at least 0"),
        ({"advantage": "turn"}, "advantage must be one of episode, turn_return, turn_baseline, got 'turn'"),
        ({"advantage": "turn_return", "scale_rewards": "batch"}, "needs scale_rewards none or group"),
        ({"ratio_level": "word"}, "ratio_level must be one of token, turn, sequence, got 'word'"),
        ({"ratio_level": "turn", "loss_type": "bnpo"}, "needs loss_type dapo or grpo, .* got 'bnpo'"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"report_to": "paper"}, "report_to must be one of"),
        ({"env_kwargs": "[1]"}, "env_kwargs must be a JSON object"),
        ({"env_kwargs": "{"}, "env_kwargs must be a JSON object"),
        ({"eval_split": "tset"}, "unknown split 'tset': did you mean 'test'"),
        ({"eval_dialogues": -1}, "eval_dialogues must be at least 0, got -1"),
    ],
)
def test_values_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GRPOSettings(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stepz", "3"], "--steps"),
        (["--steps", "many"], "--steps: invalid literal for int() with base 10: 'many'"),
        (["--steps", "0"], "steps must be at least 1, got 0"),
        (["--advantage", "turn"], "'turn'"),
        (["--policy", "/no/such/folder"], "no policy at '/no/such/folder'"),
        (["--env", "MathChat-v9", "--policy", "POLICY"], "MathChat"),
        (["--resume", "--policy", "POLICY"], "nothing to resume"),
    ],
)
def test_bad_command_lines_end_in_one_line(
    arguments: list[str], message: str, capsys: Any, tmp_path: Path, policy_folder: Path
) -> None:
    arguments = [str(policy_folder) if a == "POLICY" else a for a in arguments]
    assert main([*arguments, "--cpu", "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""
    assert not (tmp_path / "run").exists()


def test_command_line_reads_every_kind_of_setting() -> None:
    settings = parse_settings(
        GRPOSettings, "grpo", ["--steps", "7", "--advantage", "turn_return", "--cpu", "--out", "there"]
    )
    assert (settings.steps, settings.advantage, settings.cpu) == (7, "turn_return", True)
    assert settings.out == Path("there")


def test_help_explains_the_settings(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert not stop.value.code
    assert "they share task, persona and opening" in " ".join(capsys.readouterr().out.split())


def test_bad_settings_are_refused_before_torch_is_imported() -> None:
    code = (
        "import sys; from dialogue_agents.grpo.__main__ import main; code = main(['--steps', '0']); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (2, "error: steps must be at least 1, got 0\n")


def test_a_run_that_is_older_than_a_setting_goes_on_with_its_default(make_settings: Any) -> None:
    settings = make_settings()
    prepare_folder(settings, FREE)
    path = settings.out / "settings.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in written.items() if k not in ("ratio_level", "advantage")}))
    with pytest.raises(ValueError, match="has other settings: ratio_level;"):
        prepare_folder(replace(settings, resume=True, ratio_level="turn"), FREE)
    prepare_folder(replace(settings, resume=True), FREE)
    assert json.loads(path.read_text()) == {**written, "resume": True}
