"""The worked examples of docs/algorithms.md, as a reader saves them, run by the leaderboard."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("stable_baselines3")

from safetensors.torch import load_file

from benchmarks.algorithms.__main__ import main
from dialogue_gym.language_models.tiny_model import tiny_model_path

PAGE = Path(__file__).parents[2] / "docs" / "algorithms.md"
ACTS, WORDS = (
    text
    for text in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    if "def train(lesson" in text
)


def play_lessons(folder: Path, example: str, *more: str) -> dict[str, Any]:
    """What the leaderboard says of an example."""
    path = folder / "my_algorithm.py"
    path.write_text(example)
    arguments = [
        *("--envs", "MathChat-v0", "--algorithms", "rule", "--algorithm-file", str(path), "--seeds", "1"),
        *("--eval-dialogues", "20", "--workers", "1", "--out", str(folder / "run"), *more),
    ]
    assert main(arguments) == 0
    found: dict[str, Any] = json.loads((folder / "run" / "result.json").read_text())["algorithms"]
    return found["my_algorithm"]


def test_the_worked_example_is_on_the_leaderboard(tmp_path: Path, capsys: Any) -> None:
    assert len(ACTS.splitlines()) <= 50
    found = play_lessons(tmp_path, ACTS, "--user-calls", "600")
    assert re.search(r"^my_algorithm +acts", capsys.readouterr().out, flags=re.MULTILINE)
    assert found["all"]["mean"] > 0.9  # it has found out that asking pays
    assert 400 < found["cost"]["MathChat-v0"]["user_calls"] <= 600


def test_the_one_that_trains_a_language_model_too(tmp_path: Path, capsys: Any) -> None:
    assert len(WORDS.splitlines()) <= 50
    bounds = ("--user-calls", "250", "--policy-tokens", "350")
    found = play_lessons(tmp_path, WORDS, *bounds, "--options", '{"my_algorithm": {"batch": 4}}')
    assert re.search(r"^my_algorithm +words", capsys.readouterr().out, flags=re.MULTILINE)
    cost = found["cost"]["MathChat-v0"]
    assert 150 < cost["user_calls"] <= 250
    assert 200 < cost["policy_tokens"] <= 350  # some updates; another one would pass the bound
    [trained] = tmp_path.rglob("policy/model.safetensors")
    before, after = load_file(tiny_model_path() / "model.safetensors"), load_file(trained)
    assert before.keys() == after.keys()
    assert any(not before[name].equal(after[name]) for name in before)
