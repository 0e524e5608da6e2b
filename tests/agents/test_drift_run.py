"""Whole runs of DRIFT: they learn without a user, go on after a kill, and say what is wrong in one line."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dialogue_agents.drift.__main__ import main
from dialogue_agents.drift.run import run
from dialogue_agents.drift.settings import DriftSettings
from dialogue_agents.environments import make_env
from dialogue_agents.finite import NotFinite
from dialogue_agents.grpo import progress
from dialogue_agents.grpo.run import load_policy
from dialogue_agents.grpo.settings import GRPOSettings, RunSettings
from dialogue_gym import rollout
from dialogue_gym.language_models import Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.logs import append
from dialogue_gym.rollout import LanguageModelPolicy, compare, evaluate, make_vector_env, play
from dialogue_gym.simulators import ScriptedUser


def collect(settings: GRPOSettings, tasks: int, seed: int = 0) -> Path:
    """A log of the run's policy: eight dialogues a task."""
    with quiet():
        model, tokenizer = load_policy(settings)
    sampling = Sampling(settings.max_tokens, settings.temperature)
    policy = LanguageModelPolicy(TransformersModel(model, ChatCodec(tokenizer)), sampling)
    path = settings.out.with_suffix(".jsonl")
    seeds = [1000 * seed + i // 8 for i in range(8 * tasks)]
    env = make_env(settings, min(128, len(seeds)), "train")
    append(path, [t.record for t in play(env, policy, seeds, range(len(seeds)), policy_seed=seed)])
    return path


@pytest.fixture
def make_drift(make_settings: Callable[..., GRPOSettings]) -> Callable[..., DriftSettings]:
    """``make_drift(out="run", **settings)``: a run of seconds on 64 dialogues of a random policy."""

    def make(out: str = "run", **changes: Any) -> DriftSettings:
        base = make_settings(out, fail=0.02, env=changes.get("env", "MathChat-v0"))
        given = {f.name: getattr(base, f.name) for f in fields(RunSettings)}
        own: dict[str, Any] = {"logs": collect(base, 8), "beta": 0.03, "epochs": 1}
        return DriftSettings(**given | own | changes)

    return make


def same(left: DriftSettings, right: DriftSettings) -> bool:
    first, second = (load_file(s.out / "policy" / "model.safetensors") for s in (left, right))
    return all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize("env", ["MathChat-v0", "DocEditChat-v0"])
def test_it_learns_and_calls_no_user(env: str, make_drift: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_drift(env=env, epochs=6, batch_size=8)
    calls: list[int] = []
    monkeypatch.setattr(ScriptedUser, "reply", lambda *_: calls.append(1))
    monkeypatch.setattr("dialogue_agents.environments.build_simulator", lambda *_: calls.append(1))
    result = run(settings)
    assert not calls
    budget, losses = result["budget"], result["losses"]
    assert (budget["user_calls"], budget["user_tokens"], budget["look_ahead_tokens"]) == (0, 0, 0)
    assert budget["logged_user_calls"] >= result["dialogues"]["logged"] > 50
    assert 0 < result["dialogues"]["trained"] <= result["dialogues"]["logged"]
    assert budget["updates"] == len(losses) == 6 * -(-result["dialogues"]["trained"] // 8)
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_improves_over_the_policy_that_played_its_log(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On held-out dialogues, paired, by more than their chance; and no user was called in training."""
    given: dict[str, Any] = {"cpu": True, "report_to": "none", "eval_dialogues": 0, "seed": seed}
    log = collect(GRPOSettings(out=tmp_path / "run", **given), tasks=256, seed=seed)
    settings = DriftSettings(logs=log, out=tmp_path / "run", batch_size=16, **given)
    with monkeypatch.context() as patch:
        patch.setattr(ScriptedUser, "reply", lambda *_: pytest.fail("a user was called in training"))
        run(settings)
    env = make_vector_env("MathChat-v0", 100, split="test", max_turns=settings.max_turns)
    before, after = (
        evaluate(env, rollout.load_policy(name, "math", max_tokens=settings.max_tokens), 300)
        for name in ("tiny", f"transformers:{settings.out / 'policy'}")
    )
    gains = compare(before, after).to_dict()["estimates"]
    assert gains["reward"]["low"] > 0
    assert gains["ask_rate"]["low"] > 0


def test_a_bound_on_tokens_takes_away_whole_passes(make_drift: Any) -> None:
    once = run(make_drift("once", eval_dialogues=0))["budget"]["policy_tokens"]
    bounded = make_drift("bounded", eval_dialogues=0, epochs=5, policy_tokens=2 * once + 1)
    assert run(bounded)["budget"]["policy_tokens"] == 2 * once
    too_few = make_drift("few", eval_dialogues=0, policy_tokens=once - 1)
    with pytest.raises(ValueError, match=f"learns from {once} tokens, more than policy_tokens = {once - 1}"):
        run(too_few)
    assert not too_few.out.exists()


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    make_drift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_drift("whole", eval_dialogues=4, micro_batch=8, save_steps=2, epochs=2)
    killed = replace(whole, out=whole.out.with_name("killed"))
    expected = run(whole)
    with monkeypatch.context() as patch:
        step_end = progress.Bar.on_step_end

        def kill(self: Any, args: Any, state: Any, *rest: Any, **keywords: Any) -> None:
            if state.global_step == 3:
                raise KeyboardInterrupt
            step_end(self, args, state, *rest, **keywords)

        patch.setattr(progress.Bar, "on_step_end", kill)
        with pytest.raises(KeyboardInterrupt):
            run(killed)
    assert run(replace(killed, resume=True)) == expected
    assert same(whole, killed)
    with pytest.raises(ValueError, match="has other settings: beta; resume with those"):
        run(replace(killed, resume=True, beta=1.0))


def test_a_loss_that_is_no_number_ends_the_run(make_drift: Any) -> None:
    """The trainer is SFT's as well."""
    settings = make_drift(learning_rate=1e30, eval_dialogues=0, batch_size=8)
    with pytest.raises(
        NotFinite, match=r"the (loss|gradient) of update \d is not finite; its batch is in .*bad-batch\.pt"
    ):
        run(settings)
    assert torch.load(settings.out / "bad-batch.pt")["input_ids"].shape[0] == 8
    assert not (settings.out / "result.json").exists()
    assert not (settings.out / "policy").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "logs"),
        (["--logs", "no/such.jsonl"], "no/such.jsonl: no such log"),
        (["--logs", "LOG", "--beta", "0"], "beta must be above 0, got 0.0"),
        (["--logs", "LOG", "--gamma", "1.5"], "gamma must be above 0 and at most 1, got 1.5"),
        (["--logs", "LOG", "--batch-size", "6", "--micro-batch", "4"], "must divide batch_size = 6, got 4"),
        (["--logs", "LOG", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--logs", "LOG", "--replies", "some"], "'some'"),
        (["--logs", "LOG"], "no scored dialogue in which the agent speaks"),
    ],
)
def test_bad_command_lines_end_in_one_line(
    arguments: list[str], message: str, capsys: Any, tmp_path: Path
) -> None:
    log = tmp_path / "empty.jsonl"
    log.touch()
    arguments = [str(log) if a == "LOG" else a for a in arguments]
    assert main([*arguments, "--cpu", "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "run").exists()
