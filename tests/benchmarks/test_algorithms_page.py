"""The worked example of docs/algorithms.md, as a reader saves it, run by the leaderboard."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("stable_baselines3")

from benchmarks.algorithms.__main__ import main

PAGE = Path(__file__).parents[2] / "docs" / "algorithms.md"


def test_the_worked_example_is_on_the_leaderboard(tmp_path: Path, capsys: Any) -> None:
    [example] = [
        text
        for text in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
        if "def train(lesson" in text
    ]
    assert len(example.splitlines()) <= 50
    path = tmp_path / "my_algorithm.py"
    path.write_text(example)
    arguments = [
        *("--envs", "MathChat-v0", "--algorithms", "rule", "--algorithm-file", str(path), "--seeds", "1"),
        *("--user-calls", "600", "--eval-dialogues", "20", "--workers", "1", "--out", str(tmp_path / "run")),
    ]
    assert main(arguments) == 0
    assert re.search(r"^my_algorithm +acts", capsys.readouterr().out, flags=re.MULTILINE)
    found = json.loads((tmp_path / "run" / "result.json").read_text())["algorithms"]["my_algorithm"]
    assert found["all"]["mean"] > 0.9  # it has found out that asking pays
    assert 400 < found["cost"]["MathChat-v0"]["user_calls"] <= 600
