"""Annotate: a log with turn rewards, whole or not at all, and one line for what cannot be."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dialogue_gym.language_models import LanguageModelError
from dialogue_gym.logs import DialogueRecord, append, read_log
from dialogue_gym.rewards import LookAhead, Training, annotate, turn_rewards
from dialogue_gym.rollout import RulePolicy, make_vector_env, play

Command = Callable[..., Any]
LOOK_AHEAD = ("--reward", '{"name": "look_ahead", "continuations": 2}', "--policy", "rule")


@pytest.fixture
def log(command: Command, tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    words = ("--policy", "rule", "--ask-rate", 0.6, "--dialogues", 8, "--max-turns", 4, "--out", path)
    assert command("collect", *words).status == 0
    return path


def untouched(records: Sequence[DialogueRecord]) -> list[DialogueRecord]:
    """Without what was added."""
    added = ("turn_rewards", "turn_reward")
    return [replace(r, extra={k: v for k, v in r.extra.items() if k not in added}) for r in records]


def test_it_writes_what_the_function_gives(command: Command, log: Path, tmp_path: Path) -> None:
    paid = tmp_path / "new" / "paid.jsonl"
    done = command("annotate", "--log", log, "--out", paid, *LOOK_AHEAD)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{paid}: 8 dialogues, 8 of them with turn rewards\n"
    records, found = list(read_log(log)), list(read_log(paid))
    assert untouched(found) == records
    env = make_vector_env("MathChat-v0", 3, max_turns=4)  # the limit that collect has noted
    expected = annotate(records, LookAhead(env, RulePolicy("math"), continuations=2))
    assert [r.extra["turn_rewards"] for r in found] == [r.extra["turn_rewards"] for r in expected]
    for seen in read_log(paid, "policy"):
        assert seen.turn_rewards is not None
        assert sum(seen.turn_rewards) == pytest.approx(seen.reward)
    assert len({len(r.messages) for r in found}) > 1


def test_nothing_depends_on_the_batch_and_nothing_is_replaced_unasked(
    command: Command, log: Path, tmp_path: Path
) -> None:
    paid, other = tmp_path / "paid.jsonl", tmp_path / "other.jsonl"
    for out, batch in ((paid, 3), (other, 64)):
        assert command("annotate", "--log", log, "--out", out, "--batch", batch, *LOOK_AHEAD).status == 0
    assert paid.read_bytes() == other.read_bytes()
    again = ("annotate", "--log", paid, "--out", paid, *LOOK_AHEAD)
    assert command(*again).error == f"error: {paid} exists; --overwrite replaces it"
    assert command(*again, "--overwrite").status == 0
    assert paid.read_bytes() == other.read_bytes()  # earlier turn rewards make way for the same ones


@pytest.mark.parametrize("env_id", ["MathChat-v0", "DocEditChat-v0"])
def test_learners_from_logs_read_its_progress(command: Command, tmp_path: Path, env_id: str) -> None:
    pytest.importorskip("trl")
    from dialogue_agents.drift.weights import read_weighted

    log, paid = tmp_path / "log.jsonl", tmp_path / "paid.jsonl"
    words = ("--policy", "rule", "--ask-rate", 0.6, "--dialogues", 4, "--per-task", 4, "--env", env_id)
    assert command("collect", *words, "--out", log).status == 0
    reward = '{"name": "progress", "language_model": "tiny"}'
    assert command("annotate", "--log", log, "--out", paid, "--reward", reward).status == 0
    assert untouched(list(read_log(paid))) == list(read_log(log))
    weights = [
        [w.weight for w in read_weighted(path, env_id, beta=0.1, gamma=0.8, repeat_penalty=0.0)]
        for path in (log, paid)
    ]
    assert weights[0] != pytest.approx(weights[1])


def test_another_user_than_the_log_s_is_said(command: Command, log: Path, tmp_path: Path) -> None:
    hasty = ("--simulator-options", '{"population": {"patience": [1, 2]}}')
    done = command("annotate", "--log", log, "--out", tmp_path / "paid.jsonl", *LOOK_AHEAD, *hasty)
    assert done.status == 0
    assert done.err.startswith("warning: 8 of 8 dialogues were played with another user than looks ahead")


class Stops:
    """Fails at the second call, as a server does that goes away; or has nothing for anybody."""

    def __init__(self, nothing: bool) -> None:
        self.nothing, self.calls = nothing, 0

    def rewards(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        self.calls += 1
        if self.calls > 1 and not self.nothing:
            raise LanguageModelError("the model is gone")
        return [None if self.nothing else [0.0] * (len(r.messages) // 2) for r in records]

    def identity(self) -> dict[str, Any]:
        return {"name": "stops"}


def stops(training: Training, nothing: bool = False) -> Stops:
    return Stops(nothing)


turn_rewards.register("stops", stops)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reward", "progres"], "unknown turn reward 'progres': did you mean 'progress'?"),
        (["--reward", "{"], "reward must be a JSON object such as '{}', got '{'"),
        (["--reward", "progress"], "progress: the user ScriptedUser has no language model; train with one"),
        (["--reward", "look_ahead"], "look_ahead needs the policy that goes on with the dialogues: --policy"),
        (["--reward", "implicit"], "turn reward 'implicit': missing a required argument: 'path'"),
        (["--reward", '{"name": "implicit", "path": "no"}'], "no implicit reward model at 'no'"),
        (["--reward", "look_ahead", "--policy", "rul"], "unknown policy 'rul': did you mean 'rule'"),
        ([*LOOK_AHEAD, "--max-turns", "1"], "cannot go on after turn 1 in an environment with max_turns=1"),
        ([*LOOK_AHEAD, "--batch", "0"], "batch must be at least 1, got 0"),
        ([*LOOK_AHEAD, "--log", "no.jsonl"], "no.jsonl: no such log"),
        (
            [*LOOK_AHEAD, "--log", "EMPTY"],
            "empty.jsonl: no dialogue; those of one environment would be right",
        ),
        ([*LOOK_AHEAD, "--log", "BOTH"], "both.jsonl: dialogues of DocEditChat-v0 and MathChat-v0; those of"),
        (["--reward", "stops", "--batch", "2"], "the model is gone"),
        (["--reward", '{"name": "stops", "nothing": true}'], "the reward has nothing for any dialogue"),
        (["--rewart", "progress"], "--reward"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_nothing_is_written(
    command: Command, tmp_path: Path, words: list[str], message: str
) -> None:
    folder = {
        "LOG": tmp_path / "log.jsonl",
        "EMPTY": tmp_path / "empty.jsonl",
        "BOTH": tmp_path / "both.jsonl",
    }
    math, documents = (
        [t.record for t in play(make_vector_env(env_id, 4), RulePolicy(kind), range(4), range(4))]
        for env_id, kind in (("MathChat-v0", "math"), ("DocEditChat-v0", "document"))
    )
    append(folder["LOG"], math)
    append(folder["EMPTY"], [])
    append(folder["BOTH"], [*math, *documents])
    given = [str(folder.get(word, word)) for word in ("--log", "LOG", *words)]
    out = tmp_path / "out" / "paid.jsonl"
    assert message in command("annotate", *given, "--out", out).error
    assert not out.parent.exists()
