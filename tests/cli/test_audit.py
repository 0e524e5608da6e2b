"""The audit as a command: a table, a file, and one line for what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.mark.parametrize("env", ["MathChat-v0", "DocEditChat-v0"])
def test_the_tiny_prompted_user(command: Command, tmp_path: Path, env: str) -> None:
    out = tmp_path / "deep" / "audit.json"
    arguments = ["--simulator", "prompted", "--language-model", "tiny", "--dialogues", 4, "--out", out]
    done = command("audit", "--env", env, *arguments)
    assert (done.status, done.err) == (0, "")
    for word in ("right", "wrong", "contradicting", "flattering", "user prompted, reference scripted"):
        assert word in done.out
    figures = json.loads(out.read_text())
    assert figures["simulator"]["model"]["model"] == "tiny"
    assert figures["agents"]["wrong"]["simulator"]["by_statement"][0]["n"] == 4
    assert f"figures: {out}" in done.out


def test_people_see_progress(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    done = command("audit", "--simulator", "scripted", "--dialogues", 2)
    assert "18/18" in done.err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--simulator", "promted"], "unknown user simulator 'promted': did you mean 'prompted'?"),
        (["--reference", "people"], "unknown user simulator 'people'"),
        (["--dialogues", "0"], "dialogues must be at least 1, got 0"),
        (["--simulator-options", "3"], "simulator_options must be a JSON object"),
        (["--env-options", '{"max_turns": 3}'], "the audit sets max_turns itself"),
        (["--env-options", '{"n": 3}'], "has no keyword 'n'"),
        (["--env", "CartPole-v1"], "CartPole"),
        (["--simulator", "scripted", "--language-model", "tiny"], "no option 'language_model'"),
        (["--reference-language-model", "transformers"], "no option 'language_model'"),
    ],
)
def test_bad_settings_are_one_line(command: Command, arguments: list[str], what: str) -> None:
    assert what in command("audit", *arguments).error
