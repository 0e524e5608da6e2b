"""Logs that commands read: what is left out is named, with advice that can be followed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
ENGLISH = (
    "I would like to know how many marbles my brother has left after the game that we played yesterday",
    "could you help me with the apples that are in the baskets, I do not understand the last question",
    "please explain how long the train needs to the city if it leaves in the morning and never stops",
    "my teacher says that the farmer sells half of his eggs on the market, so how many does he keep then",
    "there are three boxes of pencils in the room and each of them holds twelve, how many are there",
)
GERMAN = "ich möchte gerne wissen, wie viele Murmeln mein Bruder nach dem Spiel von gestern noch übrig hat"
READERS = ("calibrate", "realism-reward", "realism")
"""The commands that read logs."""


def rows(path: Path, texts: tuple[str, ...], **fields: Any) -> Path:
    said = [
        [{"role": "user", "content": t}, {"role": "assistant", "content": "The answer is 3."}] for t in texts
    ]
    path.write_text("".join(json.dumps({"messages": m, **fields}) + "\n" for m in said))
    return path


def reading(name: str, log: Path, folder: Path) -> list[Any]:
    user = ["--user", folder / "user"] if name == "realism-reward" else []
    return [name, "--logs", log, "--out", folder / "out", *user]


@pytest.mark.parametrize("name", READERS)
def test_mixed_languages_are_named_and_fail_where_that_is_wanted(
    command: Command, tmp_path: Path, name: str
) -> None:
    log = rows(tmp_path / "log.jsonl", (*ENGLISH, GERMAN), env_id="MathChat-v0")
    assert f"{log}:6: the user writes 'de'" in command(*reading(name, log, tmp_path), "--strict").error
    done = command(*reading(name, log, tmp_path))
    assert f"{log}:6: the user writes 'de'" in done.err
    assert "5  dialogues kept" in done.err


def test_realism_goes_on_without_users_of_another_language(command: Command, tmp_path: Path) -> None:
    log = rows(tmp_path / "log.jsonl", (*ENGLISH, GERMAN), env_id="MathChat-v0", end_reason="user_stop")
    done = command(*reading("realism", log, tmp_path), "--resamples", 20)
    assert done.status == 0
    assert "against the users of 5 dialogues" in done.out


@pytest.mark.parametrize("name", READERS)
def test_advice_names_the_command_that_has_the_option(command: Command, tmp_path: Path, name: str) -> None:
    log = rows(tmp_path / "chats.jsonl", ENGLISH)
    advice = "--env is an option of dialogue-gym import FILE --out LOG: give the log that it writes"
    error = command(*reading(name, log, tmp_path), "--strict").error
    assert "name the environment (--env)" in error
    assert error.endswith(f"; {advice}")
    done = command(*reading(name, log, tmp_path))
    assert f"\n{advice}\n" in done.err
    assert advice not in command("import", log, "--out", tmp_path / "log.jsonl", "--strict").err


def test_the_advice_can_be_followed(command: Command, tmp_path: Path) -> None:
    chats, log = rows(tmp_path / "chats.jsonl", ENGLISH), tmp_path / "log.jsonl"
    assert command("import", chats, "--env", "MathChat-v0", "--whole", "--out", log).status == 0
    assert command(*reading("realism", log, tmp_path), "--resamples", 20).status == 0


def test_a_form_that_nobody_knows_is_for_the_import_as_well(command: Command, tmp_path: Path) -> None:
    log = tmp_path / "odd.jsonl"
    log.write_text('{"odd": 1}\n')
    assert "--format is an option of dialogue-gym import" in command(*reading("calibrate", log, tmp_path)).err
