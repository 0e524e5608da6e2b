"""Supervised fine-tuning: which dialogues are the best; a run that calls no user."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dialogue_agents.grpo.settings import RunSettings
from dialogue_agents.sft.__main__ import main
from dialogue_agents.sft.best import best, read_best
from dialogue_agents.sft.run import run
from dialogue_agents.sft.settings import SFTSettings
from dialogue_gym.logs import DialogueRecord, append
from dialogue_gym.simulators import ScriptedUser


def record(*said: str, reward: float | None = 1.0, env: str = "MathChat-v0") -> DialogueRecord:
    messages: Any = [
        {"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(said)
    ]
    return DialogueRecord(
        env_id=env,
        split="train",
        task={"canary": "CANARY"},
        persona={"canary": "CANARY"},
        task_seed=0,
        reply_seed=0,
        simulator={"name": "CANARY"},
        policy={},
        messages=messages,
        turns_metadata=[{} for m in messages if m["role"] == "user"],
        end_reason="turn_limit" if reward is not None else "simulator_failure",
        reward=reward,
        metrics={},
    )


def write(path: Path, env: str = "MathChat-v0") -> Path:
    said: list[tuple[str, str, float | None]] = [
        ("x?", "wrong", 0.0),
        ("x?", "half", 0.5),
        ("x?", "right", 1.0),
        ("x?", "failed", None),
        ("x?", "wrong", 0.0),
        ("y?", "low", 0.2),
        ("y?", "less", 0.1),
        ("z?", "same", 1.0),
        ("z?", "same", 1.0),
    ]
    append(path, [record(heard, answer, reward=reward, env=env) for heard, answer, reward in said])
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "best.jsonl")


@pytest.mark.parametrize(
    ("rewards", "share", "expected"),
    [
        ([0.0, 1.0, 0.5, 0.0], 0.25, [1]),
        ([0.0, 1.0, 0.5, 0.0], 0.3, [1, 2]),
        ([0.0, 1.0, 0.5, 0.0], 1.0, [1, 2]),
        ([1.0, 0.0, 1.0, 1.0], 0.5, [0, 2]),
        ([0.3] * 4, 0.5, []),
    ],
)
def test_best_by_hand(rewards: list[float], share: float, expected: list[int]) -> None:
    assert best(rewards, share) == expected


@pytest.mark.parametrize(
    ("best_of", "share", "said"),
    [
        ("prompt", 0.25, ["right", "low"]),
        ("prompt", 0.5, ["half", "right", "low"]),
        ("log", 0.25, ["right", "same"]),
        ("log", 0.5, ["half", "right", "same", "same"]),
    ],
)
def test_the_best_of_a_prompt_or_of_the_log(log: Path, best_of: Any, share: float, said: list[str]) -> None:
    found = read_best(log, "MathChat-v0", share, best_of)
    assert [w.dialogue.messages[1]["content"] for w in found] == said
    assert {w.weight for w in found} == {1.0}
    assert "CANARY" not in repr(found)


@pytest.mark.parametrize("env", ["MathChat-v0", "DocEditChat-v0"])
def test_it_imitates_the_best_and_calls_no_user(
    env: str, make_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, log = make_settings("run", env=env), write(tmp_path / "log.jsonl", env)
    given = {f.name: getattr(base, f.name) for f in fields(RunSettings)}
    settings = SFTSettings(**{**given, "env_kwargs": "{}", "logs": log, "epochs": 30, "eval_dialogues": 0})
    calls: list[int] = []
    monkeypatch.setattr(ScriptedUser, "reply", lambda *_: calls.append(1))
    monkeypatch.setattr("dialogue_agents.environments.build_simulator", lambda *_: calls.append(1))
    result = run(settings)
    assert not calls
    assert result["budget"]["user_calls"] == 0
    assert result["budget"]["logged_user_calls"] == 9  # all of the log, not the best alone
    assert result["dialogues"] == {"logged": 2, "trained": 2}
    assert result["losses"][-1] < 0.5 * result["losses"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--share", "0"], "share must be above 0 and at most 1, got 0.0"),
        (["--best-of", "all"], "'all'"),
        (["--epochz", "3"], "--epochs"),
        (["--env", "DocEditChat-v0"], "best.jsonl:1: a dialogue of MathChat-v0, should be of DocEditChat-v0"),
        (["--eval-split", "train"], "best.jsonl:1: a dialogue of the split 'train', which evaluation uses"),
    ],
)
def test_bad_command_lines_end_in_one_line(
    arguments: list[str], message: str, log: Path, capsys: Any, tmp_path: Path
) -> None:
    assert main(["--logs", str(log), *arguments, "--cpu", "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "run").exists()


def test_a_log_in_which_all_are_alike_teaches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "alike.jsonl"
    append(path, [record("x?", "1"), record("x?", "2")])
    with pytest.raises(ValueError, match=r"alike.jsonl: no dialogue has a higher reward than those"):
        read_best(path, "MathChat-v0", 0.5, "prompt")
