"""The command itself: its list, its errors, its interrupts."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dialogue_gym
from dialogue_gym import cli
from dialogue_gym.cli.arguments import explain, one_line_warnings
from tests.processes import run, started


def test_alone_it_lists_its_commands(command: Callable[..., Any]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = command(*arguments)
        assert done.status == 0
        assert done.err == ""
        for name, entry in cli.COMMANDS.items():
            assert f"  {name}" in done.out
            assert entry.summary in done.out


def test_it_knows_its_version(command: Callable[..., Any]) -> None:
    assert command("--version").out == f"dialogue-gym {dialogue_gym.__version__}\n"


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("colect", "collect"), ("realisms", "realism"), ("", "audit")]
)
def test_an_unknown_command_offers_the_nearest(command: Callable[..., Any], wrong: str, nearest: str) -> None:
    assert nearest in command(wrong).error


def test_settings_that_there_are_not_offer_the_nearest(command: Callable[..., Any]) -> None:
    assert "did you mean --dialogues?" in command("collect", "--dialogs", "3").error
    assert command("collect", "--zzz").error == "error: Unrecognized options: --zzz"
    assert "--dialogues: invalid literal" in command("collect", "--dialogues", "x").error
    assert command("collect", "--dialogues", "0").error == "error: dialogues must be at least 1, got 0"


@pytest.mark.parametrize("name", ["collect", "audit"])
def test_help_explains_each_setting(name: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert not stop.value.code
    shown = capsys.readouterr().out
    assert f"dialogue-gym {name} --" in shown  # an example
    assert "Names the set of dialogues" in " ".join(shown.replace("│", "").split())


def test_without_tyro_one_line_names_the_extra() -> None:
    hide = "import sys; sys.modules['tyro'] = None; "
    code = hide + "from dialogue_gym.cli import main; sys.exit(main(['collect']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'error: the command line needs tyro: pip install "dialogue-gym[cli]"\n'


def test_a_missing_package_comes_with_the_command_that_brings_it() -> None:
    assert explain(ImportError("No module named 'torch'"), "agents") == (
        "error: No module named 'torch'; it comes with pip install \"dialogue-gym[agents]\""
    )
    named = 'needs torch: pip install "dialogue-gym[llm]"'
    assert explain(ImportError(named), "cli") == f"error: {named}"
    assert explain(OSError("first\nsecond"), "cli") == "error: first"
    missing = FileNotFoundError(2, "No such file or directory", "log.jsonl")
    assert explain(missing, "cli") == "error: log.jsonl: no such file or directory"


def test_the_list_and_bad_settings_need_no_torch() -> None:
    code = (
        "import sys; from dialogue_gym.cli import main; main([]); main(['collect', '--dialogues', '0']);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_threads_are_set_before_torch_can_be_imported() -> None:
    code = "import dialogue_gym.cli, os; print(os.environ['OMP_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'])"
    free = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    for chosen, shown in (({}, "1 passive\n"), ({"OMP_NUM_THREADS": "3"}, "3 passive\n")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**free, **chosen}
        )
        assert done.stdout == shown


def test_an_interrupt_ends_in_one_line(python: list[str], tmp_path: Path) -> None:
    arguments = ["collect", "--policy", "rule", "--dialogues", "100000", "--out", str(tmp_path / "log.jsonl")]
    pipe = subprocess.PIPE
    with started([*python, *arguments], stdout=pipe, stderr=pipe, text=True) as process:
        while not (tmp_path / "log.jsonl").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (130, "", "\nstopped\n")


def test_a_warning_has_no_colours_and_is_shown_once(capsys: Any) -> None:
    with one_line_warnings():
        warnings.simplefilter("always")
        for _ in range(2):
            warnings.warn("\x1b[33mWARN: Using\nthe latest\x1b[0m", stacklevel=1)
    assert capsys.readouterr().err == "warning: Using the latest\n"


def test_a_warning_is_one_line(python: list[str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"q": "Tom has 3 cats. How many?", "a": "#### 3"}\n{"q": "How many?", "a": ""}\n')
    tasks = {"name": "jsonl", "path": str(rows), "columns": {"question": "q", "answer": "a"}}
    options = json.dumps({"tasks": {**tasks, "splits": {"train": "all"}}})
    lenient = [python[0], *python[3:]]  # warnings are no errors for people
    command = [*lenient, "collect", "--policy", "rule", "--dialogues", "1", "--env-options", options]
    done = run([*command, "--out", str(tmp_path / "log.jsonl")], text=True)
    assert done.stderr == f"warning: {rows}: 1 of 2 rows left out: 1 without an answer\n"
