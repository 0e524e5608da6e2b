"""Collect where dialogues are played each by itself: the same log, in another order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dialogue_gym.cli import collect
from dialogue_gym.logs import DialogueRecord, read_log
from tests.fake_server import FakeServer
from tests.processes import run

Command = Callable[..., Any]


def by_seeds(path: Path) -> list[DialogueRecord]:
    return sorted(read_log(path), key=lambda r: (r.task_seed, r.reply_seed))


def test_nothing_of_the_log_depends_on_it_and_it_is_gone_on_with(command: Command, tmp_path: Path) -> None:
    logs = []
    for concurrency in (0, 3):
        logs.append(tmp_path / f"{concurrency}.jsonl")
        for dialogues in (7, 12):
            options = ("--dialogues", dialogues, "--concurrency", concurrency, "--out", logs[-1])
            done = command("collect", "--policy", "rule", *options)
            assert f"{dialogues} dialogues, {7 if dialogues == 7 else 5} of them new" in done.out
    assert by_seeds(logs[0]) == by_seeds(logs[1])


@pytest.mark.parametrize(
    ("policy", "given", "expected"),
    [("server", None, 5), ("server", 0, None), ("server", 2, 2), ("rule", None, None), ("rule", 9, 9)],
)
def test_servers_are_played_apart_unless_told_otherwise(
    policy: str, given: int | None, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = []

    def play(*arguments: Any, concurrency: int | None, **keywords: Any) -> Any:
        played.append(concurrency)
        return real(*arguments, concurrency=concurrency, **keywords)

    real = collect.play
    monkeypatch.setattr(collect, "play", play)
    with FakeServer() as server:
        settings = collect.CollectSettings(
            tmp_path / "log.jsonl",
            policy=server.spec if policy == "server" else policy,
            dialogues=6,
            batch=5,
            max_turns=2,
            concurrency=given,
        )
        assert collect.run(settings) == 0
    assert played == [expected]


def test_a_number_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="concurrency must be at least 0, got -1"):
        collect.CollectSettings(concurrency=-1)


def test_a_server_that_is_not_there_costs_few_lines_and_one_wait(python: list[str], tmp_path: Path) -> None:
    model = '{"name": "http", "base_url": "http://127.0.0.1:9/v1", "model": "m", "backoff_s": 0.01}'
    command = [*python, "collect", "--policy", "rule", "--simulator", "prompted", "--language-model", model]
    command += ["--dialogues", "24", "--batch", "4", "--out", str(tmp_path / "log.jsonl")]
    done = run(command, text=True, check=False)
    said = done.stderr.splitlines()
    assert done.returncode == 1
    assert sorted("given up after 1 try" in line for line in said) == [False, True], said
    assert done.stdout.count("127.0.0.1:9") == 1
    assert "24 of them failed" in done.stdout
