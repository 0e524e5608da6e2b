"""The presets that no laptop can run, with small stand-ins for their models."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("openai")

from benchmarks.sim_to_real.__main__ import main
from benchmarks.sim_to_real.command import settings_from
from benchmarks.sim_to_real.settings import PRESETS
from dialogue_gym.language_models.tiny_model import tiny_model_path
from tests.fake_server import FakeServer


def small(preset: str, url: str, out: Path) -> list[str]:
    """Options that make a preset small: the tiny model from a folder as policy and user, a few dialogues."""
    tiny = str(tiny_model_path())
    judge = {"name": "judged", "judge": url, "weights": {"judged_accuracy": 1.0}}
    own: dict[str, Any] = {"tasks": "procedural"}
    learner = {"steps": 2, "groups": 2, "group_size": 2, "micro_batch": 2, "max_turns": 2, "max_tokens": 16}
    learner |= {"save_steps": 1, "cpu": True, "report_to": "none"}
    fit = {"epochs": 1, "batch_size": 4, "micro_batch": 2, "cpu": True}
    options = ["--preset", preset, "--policy", tiny, "--user", tiny, "--seeds", "1", "--logs", "50"]
    options += ["--arms", "base", "static all", "naive", "calibrated", "--checkpoints", "1", "--workers", "1"]
    options += ["--eval-dialogues", "4", "--user-dialogues", "4", "--out", str(out)]
    options += ["--learner", json.dumps(learner), "--fit", json.dumps(fit)]
    if preset == "paper":
        options += ["--reference", url, "--env-kwargs", json.dumps(own)]
        options += ["--judge-kwargs", json.dumps({"scorer": judge})]
    return options


def says(body: dict[str, Any]) -> str:
    """A judge where it is asked for one, else a person."""
    if body["messages"][0]["content"].startswith("You judge"):
        return '{"reason": "so it is", "right": 1}'
    said = len(body["messages"])
    return f"hello, what is {said} plus 4?" if said < 4 else f"thanks, {said} it is [STOP]"


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.json")), ids=lambda path: path.stem)
def test_presets_are_settings(path: Path) -> None:
    settings_from(["--preset", path.stem], "study")


def test_the_papers_preset_runs_against_an_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with FakeServer(says) as server:
        assert main(small("paper", server.spec, tmp_path)) == 0, capfd.readouterr()
        calls = len(server.calls)
    assert calls > 20
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["arms"]) == ["base", "static all", "naive", "calibrated"]
    assert result["divergence"] == {}  # the endpoint's likelihood is not known
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_an_endpoint_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert main(small("paper", "http://127.0.0.1:9/v1#m", tmp_path)) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "127.0.0.1:9" in said[0]
    assert "the same command goes on from here" in said[0]
    assert not (tmp_path / "result.json").exists()
