"""Whole runs of seconds on each turn reward: they learn, and the scores of dialogues stay as they are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dialogue_agents.bandit.run import run as run_bandit
from dialogue_agents.bandit.settings import BanditSettings
from dialogue_agents.grpo.run import run as run_grpo
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.tiny_model import load_tiny_model
from dialogue_gym.logs import read_log
from dialogue_gym.rewards.implicit import MANIFEST

REWARDS = ("look_ahead", "progress", "implicit")


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str], str]:
    """``spec(name)``: the setting ``reward``, with the tiny model where the reward needs one."""

    def make(name: str) -> str:
        options: dict[str, Any] = {
            "look_ahead": {"continuations": 1, "window": 1},
            "progress": {"language_model": "tiny"},
            "implicit": {"path": str(tmp_path / "implicit")},
        }[name]
        if name == "implicit":
            save_implicit(tmp_path / "implicit")
        return json.dumps({"name": name, **options})

    return make


def save_implicit(folder: Path) -> None:
    """A reward model that differs from its reference, as a fitted one does."""
    with quiet():
        fitted = load_tiny_model()
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in fitted.model.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
        fitted.model.save_pretrained(folder)
        fitted.codec.tokenizer.save_pretrained(folder)
    (folder / MANIFEST).write_text(json.dumps({"reference": "tiny", "beta": 0.05}))


@pytest.mark.parametrize("env", ["MathChat-v0", "DocEditChat-v0"])
@pytest.mark.parametrize("name", REWARDS)
def test_a_bandit_learns_on_it(name: str, env: str, spec: Callable[[str], str], tmp_path: Path) -> None:
    def run(out: str, **changes: Any) -> tuple[dict[str, Any], Any]:
        sizes: dict[str, Any] = {"dialogues": 24, "batch_size": 12, "eval_dialogues": 0, "max_turns": 3}
        result = run_bandit(BanditSettings(env=env, out=tmp_path / out, **sizes, **changes))
        return result, json.loads((tmp_path / out / "bandit.json").read_text())["learner"]

    (plain, by_score), (paid, learned) = run("plain"), run("paid", reward=spec(name))
    assert sum(paid["arms"].values()) == 24  # a reward for every dialogue
    assert paid["curve"][0] == plain["curve"][0]  # scores, of dialogues before anything was learned
    if name == "progress":  # the sum is the score less a constant of the opening
        assert learned != by_score
        return
    assert paid["curve"] == pytest.approx(plain["curve"])  # the sum is the score
    assert (paid["budget"]["user_calls"] > plain["budget"]["user_calls"]) == (name == "look_ahead")


@pytest.mark.parametrize("name", REWARDS)
def test_grpo_learns_on_it(
    name: str, spec: Callable[[str], str], make_settings: Callable[..., GRPOSettings]
) -> None:
    def run(out: str, **changes: Any) -> tuple[GRPOSettings, dict[str, Any]]:
        settings = make_settings(out, advantage="turn_return", log_dialogues=True, **changes)
        return settings, run_grpo(settings)

    (plain, by_score), (paid, result) = run("plain"), run("paid", reward=spec(name))
    first, second = (list(read_log(s.out / "dialogues.jsonl"))[: 2 * 4] for s in (plain, paid))
    assert second == first  # the first rollout, before anything was learned: scores, metrics and all
    assert result["curve"][0] == pytest.approx(by_score["curve"][0])
    weights = [load_file(s.out / "policy" / "model.safetensors") for s in (plain, paid)]
    assert any(not weights[0][key].equal(weights[1][key]) for key in weights[0])
    assert all(bool(torch.isfinite(value).all()) for value in weights[1].values())
