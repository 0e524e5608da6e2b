"""``dialogue-gym view``: where the page goes, and one line for what cannot be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def logs(tmp_path_factory: Any) -> tuple[Path, Path]:
    from dialogue_gym.cli import main

    folder = tmp_path_factory.mktemp("logs")
    paths = folder / "a.jsonl", folder / "b.jsonl"
    for path, rate in zip(paths, ("1.0", "0.0"), strict=True):
        arguments = [
            "collect",
            "--policy",
            "rule",
            "--dialogues",
            "4",
            "--ask-rate",
            rate,
            "--out",
            str(path),
        ]
        assert main(arguments) == 0
    return paths


def test_the_page_lies_beside_the_log(command: Callable[..., Any], logs: tuple[Path, Path]) -> None:
    done = command("view", logs[0])
    page = logs[0].with_suffix(".html")
    assert done.status == 0
    assert re.fullmatch(rf"{page}: 4 dialogues, [1-9]\d* KiB; open it in a browser\n", done.out)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_two_logs_and_where_to(command: Callable[..., Any], logs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "both.html"
    assert command("view", *logs, "--out", out).out.startswith(f"{out}: 4 and 4 dialogues, ")
    assert "<title>a.jsonl | b.jsonl</title>" in out.read_text(encoding="utf-8")
    assert command("view", logs[0], logs[0], "--out", out).status == 0


def test_what_cannot_be(command: Callable[..., Any], logs: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = logs
    other = tmp_path / "other.jsonl"
    assert command("collect", "--policy", "rule", "--dialogues", 2, "--seed", 9, "--out", other).status == 0
    assert "have no task in common" in command("view", a, other).error
    assert "got 3" in command("view", a, b, other).error
    assert command("view", a, "--out", a).error == f"error: {a} is a log; --out FILE.html would be right"
    assert "did you mean 'flag'?" in command("view", a, "--filter", "flags=leak").error
    assert "no such file" in command("view", tmp_path / "none.jsonl").error
    page = tmp_path / "page.html"
    assert command("view", a, "--out", page).status == 0
    for name in ("view", "show", "stats"):
        assert f"{page}: is a page, to open in a browser; give a log" in command(name, page).error
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert command("view", a, empty).error == f"error: {empty}: no dialogue in it; it is empty"
