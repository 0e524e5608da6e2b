"""Whole runs on logged contexts: they learn, go on, are counted, and say what is wrong in one line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from dialogue_agents.grpo import progress
from dialogue_agents.static_context.__main__ import main
from dialogue_agents.static_context.run import run
from dialogue_gym.logs import append, read_log
from dialogue_gym.rollout import RulePolicy, make_vector_env, play


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve dialogues of the rules, which ask before they answer."""
    path = tmp_path_factory.mktemp("logs") / "rules.jsonl"
    append(
        path,
        [
            t.record
            for t in play(make_vector_env("MathChat-v0", 12), RulePolicy("math"), range(12), range(12))
        ],
    )
    return path


@pytest.mark.parametrize("look_ahead", [0, 2])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    make_static: Any, monkeypatch: pytest.MonkeyPatch, look_ahead: int
) -> None:
    changes = {"look_ahead": look_ahead, "steps": 4, "eval_dialogues": 6}
    whole, killed = make_static("whole", **changes), make_static("killed", **changes)
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
    result = run(replace(killed, resume=True))
    assert result == expected == json.loads((killed.out / "result.json").read_text())
    left, right = (load_file(s.out / "policy" / "model.safetensors") for s in (whole, killed))
    assert all(left[name].equal(right[name]) for name in left)
    start = load_file(Path(whole.policy) / "model.safetensors")
    assert not all(left[name].equal(start[name]) for name in left)


def test_a_run_does_not_go_on_with_another_log(make_static: Any, log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(log.read_bytes())
    settings = make_static(logs=copy, steps=1)
    run(settings)
    append(copy, [next(read_log(log))])
    with pytest.raises(ValueError, match="has other settings: content of logs"):
        run(replace(settings, resume=True))


def test_the_budget_counts_what_was_said_and_heard(make_static: Any) -> None:
    still = run(make_static("still"))["budget"]
    assert (still["updates"], still["user_calls"], still["look_ahead_tokens"]) == (2, 0, 0)
    assert 0 < still["policy_tokens"] <= 2 * 8 * 6
    settings = make_static("ahead", look_ahead=3, window=1, max_turns=9, log_dialogues=True)
    ahead = run(settings)["budget"]
    records = list(read_log(settings.out / "dialogues.jsonl"))
    assert [r.extra["rollout"] for r in records] == [0] * 8 + [1] * 8
    # one word of the user's a continuation, but for those where the user failed
    assert 0.8 * 3 * 16 <= ahead["user_calls"] <= 3 * 16
    assert 0 < ahead["look_ahead_tokens"] <= 6 * ahead["user_calls"]
    assert ahead["user_tokens"] > ahead["user_calls"]


def test_reward_rises(make_static: Any) -> None:
    settings = make_static(steps=16, groups=4, group_size=8, save_steps=100, scale_rewards="group")
    curve = run(settings)["curve"]
    assert sum(curve[-4:]) > 2 * sum(curve[:4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "logs"),
        (["--logs", "no/such.jsonl"], "no/such.jsonl: no such log"),
        (
            ["--logs", "LOG", "--env", "DocEditChat-v0"],
            "a dialogue of MathChat-v0, should be of DocEditChat-v0",
        ),
        (["--logs", "LOG", "--eval-split", "train"], "of the split 'train', which evaluation uses"),
        (["--logs", "LOG", "--look-ahead", "-1"], "look_ahead must be at least 0, got -1"),
        (["--logs", "LOG", "--window", "0"], "window must be at least 1, got 0"),
        (["--logs", "LOG", "--contexts", "some"], "'some'"),
        (["--logs", "LOG", "--look-ahead", "1", "--simulator", "scriptd"], "did you mean 'scripted'"),
        (["--logs", "LOG", "--policy", "/no/such/folder"], "no policy at '/no/such/folder'"),
    ],
)
def test_bad_command_lines_end_in_one_line(
    arguments: list[str], message: str, capsys: Any, log: Path, tmp_path: Path
) -> None:
    arguments = [str(log) if a == "LOG" else a for a in arguments]
    assert main([*arguments, "--cpu", "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "run").exists()


def test_the_command_prints_what_matters(make_static: Any, log: Path, capsys: Any, tmp_path: Path) -> None:
    sizes = "--steps 1 --groups 2 --group-size 2 --max-tokens 4 --eval-dialogues 4 --look-ahead 1 --cpu"
    arguments = [*sizes.split(), "--logs", str(log), "--policy", make_static().policy]
    assert main([*arguments, "--report-to", "none", "--out", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("reward")
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert "holds a run already; go on with --resume" in capsys.readouterr().err
