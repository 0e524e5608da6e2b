"""calibrate and realism-reward as commands: a folder that loads, and one line for what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from dialogue_gym.cli import main
from dialogue_gym.simulators import CalibratedUser

Command = Callable[..., Any]
ONE_UPDATE = ("--epochs", "0.1", "--cpu")
FIT = ("--evaluations", "1", "--batch-size", "32", "--held-out", "0.3", *ONE_UPDATE)
REWARD = ("--rounds", "1", "--samples", "2", "--folds", "2", "--batch-size", "32", *ONE_UPDATE)


def collected(path: Path, dialogues: int) -> Path:
    arguments = ["--policy", "rule", "--ask-rate", "0.5", "--max-turns", "3", "--dialogues", str(dialogues)]
    assert main(["collect", *arguments, "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(tmp_path_factory.mktemp("logs") / "log.jsonl", 24)


@pytest.fixture(scope="module")
def user(log: Path) -> Path:
    out = log.parent / "user"
    assert main(["calibrate", "--logs", str(log), "--out", str(out), *FIT]) == 0
    return out


def test_calibrate_says_what_it_learned_from_and_where_it_is(
    command: Command, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "user"
    done = command("calibrate", "--logs", log, "--condition", "intent", "--out", out, *FIT)
    assert done.status == 0
    assert "24 dialogues (0 of people)" in done.out
    assert "1 updates" in done.out
    assert done.out.endswith(f"calibrated user: {out}\n")
    env = gym.make("dialogue_gym:MathChat-v0", simulator="calibrated", language_model=str(out))
    conversation, _ = env.reset(seed=0)
    assert conversation[0]["role"] == "user"
    assert CalibratedUser(out).side.condition == "intent"


def test_realism_reward_keeps_its_start_and_writes_another_user(
    command: Command, log: Path, user: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in user.iterdir()}
    done = command("realism-reward", "--user", user, "--logs", log, "--out", tmp_path / "better", *REWARD)
    assert done.status == 0
    for line in ("start    fresh AUC", "round 1  fresh AUC", "kept: "):
        assert line in done.out
    assert {path.name: path.read_bytes() for path in user.iterdir()} == before
    manifest = json.loads((tmp_path / "better" / "manifest.json").read_text())
    assert manifest["realism_reward"]["settings"]["samples"] == 2
    assert CalibratedUser(tmp_path / "better").side == CalibratedUser(user).side


def test_few_turns_are_refused_with_their_number(command: Command, tmp_path: Path) -> None:
    few = collected(tmp_path / "few.jsonl", 3)
    out = tmp_path / "user"
    error = command("calibrate", "--logs", few, "--out", out, *FIT).error
    assert "user turns in 3 dialogues; at least 50" in error
    assert not out.exists()


def test_taken_folders_are_refused(command: Command, log: Path, user: Path) -> None:
    taken = f"error: {user}: holds a calibrated user already; another folder would be right"
    assert command("calibrate", "--logs", log, "--out", user, *FIT).error == taken
    assert command("realism-reward", "--user", user, "--logs", log, "--out", user, *REWARD).error == taken


def test_the_reward_wants_the_logs_of_the_fit(command: Command, user: Path, tmp_path: Path) -> None:
    other = collected(tmp_path / "other.jsonl", 20)
    arguments = ["--user", user, "--logs", other, "--out", tmp_path / "better"]
    assert f"{user} was fitted to other dialogues" in command("realism-reward", *arguments).error


@pytest.mark.parametrize("name", ["calibrate", "realism-reward"])
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "no logs were given; --logs FILE would be right"),
        (["--logs", "none.jsonl"], "none.jsonl"),
        (["--logs", "x", "--epochs", "0"], "epochs must be positive, got 0"),
        (["--logs", "x", "--seed", "-1"], "seed must be at least 0, got -1"),
        (["--logs", "x", "--max-len", "9"], "did you mean --max-length?"),
    ],
)
def test_bad_settings_are_one_line(command: Command, name: str, arguments: list[str], what: str) -> None:
    assert what in command(name, *arguments).error
