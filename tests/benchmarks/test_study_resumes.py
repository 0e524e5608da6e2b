"""A study that is killed again and again says the same as one that was never disturbed."""

import json
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

OPTIONS = {
    "--seeds": "1",
    "--logs": "40",
    "--naive-dialogues": "40",
    "--eval-dialogues": "16",
    "--user-dialogues": "16",
    "--workers": "2",
    "--learner": '{"steps": 6, "groups": 2, "save_steps": 1}',
    "--fit": '{"epochs": 2}',
}
KILLS = 10
"""In as many folders as it takes: a study that comes to its end begins anew in another."""


def command(out: Path) -> list[str]:
    options = [part for pair in OPTIONS.items() for part in pair]
    return [sys.executable, "-m", "benchmarks.sim_to_real", *options, "--out", str(out)]


def figures(out: Path) -> dict[str, Any]:
    """The result without times."""
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    del result["run"]
    for arm in result["arms"].values():
        for name in ("wall_seconds", "cpu_seconds", "cpu_seconds_before"):
            (arm["budget"] or {}).pop(name, None)
    return result


@pytest.mark.slow
def test_kill_nine_at_ten_random_moments_changes_no_figure(tmp_path: Path) -> None:
    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    whole = time.monotonic() - began
    draws, killed, folder = random.Random(0), 0, tmp_path / "0"
    while killed < KILLS:
        child = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            child.wait(draws.uniform(0, 0.6) * whole)
        if child.poll() is None:
            child.kill()
            killed += 1
        else:
            assert figures(folder) == figures(tmp_path / "whole")
            folder = tmp_path / str(killed)
        child.wait()
    subprocess.run(command(folder), check=True, capture_output=True)
    assert figures(folder) == figures(tmp_path / "whole")
