"""A study that is killed again and again says the same as one that was never disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
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


def command(out: Path) -> list[str]:
    options = [part for pair in OPTIONS.items() for part in pair]
    arms = ["--arms", "base", "static all", "naive", "calibrated", "recalibrated"]
    return [sys.executable, "-m", "benchmarks.sim_to_real", *options, *arms, "--out", str(out)]


def figures(out: Path) -> dict[str, Any]:
    """The result without times."""
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    del result["run"]
    for arm in result["arms"].values():
        for name in ("wall_seconds", "cpu_seconds"):
            (arm["budget"] or {}).pop(name, None)
    return result


@pytest.mark.slow
def test_kill_nine_at_ten_random_moments_changes_no_figure(tmp_path: Path) -> None:
    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    whole = time.monotonic() - began
    draws = random.Random(0)
    killed = 0
    for _ in range(KILLS):
        child = subprocess.Popen(
            command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # a process takes a while to open its libraries, which is no progress that could be lost
        time.sleep(draws.uniform(0.1, 0.6) * whole)
        killed += child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert killed >= KILLS // 2
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True)
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")
