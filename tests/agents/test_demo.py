"""The demo's folder and its curve; the demo as a whole is ``make demo``."""

import math
from pathlib import Path

from dialogue_agents.demo import DemoSettings, _settings, draw_curve, smoothed


def test_a_finished_run_is_moved_aside_and_an_interrupted_one_goes_on(tmp_path: Path, capsys) -> None:
    demo = DemoSettings(out=tmp_path / "demo")
    assert not _settings(demo).resume
    demo.out.mkdir()
    (demo.out / "settings.json").touch()
    assert _settings(demo).resume
    (demo.out / "finished").touch()
    assert not _settings(demo).resume
    assert (tmp_path / "demo-1" / "finished").exists()
    assert "holds a finished run" in capsys.readouterr().out


def test_updates_without_a_reward_leave_a_gap_in_the_curve(tmp_path: Path) -> None:
    assert smoothed([1.0, None, 0.0], width=2) == [1.0, 1.0, 0.0]
    assert math.isnan(smoothed([None])[0])
    draw_curve([0.5, None, 0.7], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
