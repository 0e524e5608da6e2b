"""Collect: the log of a command that was stopped is that of one that was not."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dialogue_gym.logs import DialogueRecord, append, read_log, write_log
from dialogue_gym.simulators import ScriptedUser, UserReply, UserRequest, simulators
from tests.processes import started

Command = Callable[..., Any]
RULE = ("collect", "--policy", "rule")


def by_seeds(path: Path) -> list[DialogueRecord]:
    return sorted(read_log(path), key=lambda r: (r.task_seed, r.reply_seed))


@pytest.fixture
def log(command: Command, tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    done = command(*RULE, "--dialogues", 12, "--batch", 5, "--out", path)
    assert done.status == 0
    assert "12 dialogues, 12 of them new" in done.out
    return path


def test_the_log_holds_what_was_asked_for(log: Path) -> None:
    records = list(read_log(log))
    assert len({(r.task_seed, r.reply_seed) for r in records}) == 12
    assert {(r.env_id, r.split) for r in records} == {("MathChat-v0", "train")}
    assert {r.policy["name"] for r in records} == {"rules"}
    assert {r.simulator["name"] for r in records} == {"scripted"}
    assert all(r.end_reason and r.reward is not None for r in records)


def test_nothing_of_it_depends_on_the_batch(command: Command, log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    assert command(*RULE, "--dialogues", 12, "--batch", 12, "--out", other).status == 0
    assert by_seeds(other) == by_seeds(log)


def test_again_it_plays_nothing_and_with_more_it_adds(command: Command, log: Path, tmp_path: Path) -> None:
    before = log.read_bytes()
    assert "12 dialogues, 0 of them new" in command(*RULE, "--dialogues", 12, "--out", log).out
    assert log.read_bytes() == before
    assert "14 dialogues, 2 of them new" in command(*RULE, "--dialogues", 14, "--out", log).out
    assert log.read_bytes().startswith(before)


def test_tasks_can_be_played_several_times(command: Command, log: Path, tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    assert command(*RULE, "--dialogues", 7, "--per-task", 3, "--out", path).status == 0
    tasks = list(dict.fromkeys(r.task_seed for r in read_log(log)))
    found = list(read_log(path))
    assert [tasks.index(r.task_seed) for r in found] == [0, 0, 0, 1, 1, 1, 2]
    assert len({r.reply_seed for r in found}) == 7
    assert all(r.messages[0] == found[3].messages[0] for r in found[3:6])


def test_a_dialogue_from_the_middle_and_a_half_line_are_mended(command: Command, log: Path) -> None:
    whole = by_seeds(log)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3] + lines[6:11]) + lines[11][:100])
    assert "12 dialogues, 4 of them new" in command(*RULE, "--dialogues", 12, "--out", log).out
    assert by_seeds(log) == whole


class Moody(ScriptedUser):
    """A user that is out of order in every second dialogue, as long as ``broken`` says so."""

    broken = True

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        replies = super().reply(requests)
        for request, reply in zip(requests, replies, strict=True):
            if self.broken and len(request.conversation) == 2 and request.brief.text.count("e") % 2:
                reply.error = "server is down"
        return replies


def test_dialogues_that_an_error_ended_are_played_again(
    command: Command, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(simulators._factories, "scripted", Moody)
    monkeypatch.setattr(Moody, "broken", True)
    moody = tmp_path / "moody.jsonl"
    arguments = (*RULE, "--dialogues", 12, "--out", moody)
    shown = command(*arguments).out
    failed = [r for r in by_seeds(moody) if r.end_reason == "simulator_failure"]
    assert 0 < len(failed) < 12
    assert f"{len(failed)} of them failed (the first: " in shown
    assert f"12 dialogues, {len(failed)} of them new" in command(*arguments).out  # still broken
    monkeypatch.setattr(Moody, "broken", False)
    shown = command(*arguments).out
    assert f"12 dialogues, {len(failed)} of them new" in shown
    assert "failed" not in shown
    assert by_seeds(moody) == by_seeds(log)


def test_where_all_failed_no_means_are_shown(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialogue_gym.rollout.rules.RulePolicy.act", lambda self, requests: 1 / 0)
    done = command(*RULE, "--dialogues", 2, "--out", tmp_path / "failed.jsonl")
    assert done.status == 1
    assert "95 %" not in done.out
    assert "2 of them failed (the first: ZeroDivisionError" in done.out


def test_a_full_context_is_no_reason_to_play_again(command: Command, log: Path) -> None:
    records = list(read_log(log))
    records[0].end_reason, records[0].reward, records[0].metrics = "context_overflow", None, {}
    write_log(log, records, overwrite=True)
    before = log.read_bytes()
    shown = command(*RULE, "--dialogues", 12, "--out", log).out
    assert "12 dialogues, 0 of them new" in shown
    assert "failed" not in shown
    assert log.read_bytes() == before


def test_failures_in_a_log_of_other_settings_stay(command: Command, log: Path) -> None:
    records = list(read_log(log))
    records[0].end_reason, records[0].reward, records[0].metrics = "policy_failure", None, {}
    write_log(log, records, overwrite=True)
    before = log.read_bytes()
    assert "seed is 0 there" in command(*RULE, "--dialogues", 12, "--seed", 1, "--out", log).error
    assert log.read_bytes() == before


@pytest.mark.parametrize("policy", ["rule", "tiny"])
def test_a_kill_in_the_middle_costs_no_dialogue(
    command: Command, python: list[str], tmp_path: Path, policy: str
) -> None:
    killed, whole = tmp_path / "deep" / "killed.jsonl", tmp_path / "whole.jsonl"
    settings = ["collect", "--policy", policy, "--batch", "2", "--max-turns", "2"]
    endless = [*python, *settings, "--dialogues", "100000", "--out", str(killed)]
    with started(endless, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 100
        while not killed.exists() or killed.read_bytes().count(b"\n") < 5:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < until
        process.send_signal(signal.SIGKILL)
        process.communicate()
    lines = killed.read_bytes().splitlines(keepends=True)
    killed.write_bytes(b"".join(lines[:5]) + lines[4][:50])  # as if the kill had struck while it wrote
    for path in (killed, whole):
        assert command(*settings, "--dialogues", 8, "--out", path).status == 0
    assert by_seeds(killed) == by_seeds(whole)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--max-turns", "3"], "max_turns is 12 there, 3 here"),
        (["--seed", "1"], "seed is 0 there, 1 here"),
        (["--split", "test"], 'split is "train" there, "test" here'),
        (["--env", "DocEditChat-v0"], 'env is "MathChat-v0" there'),
        (["--ask-rate", "0.5"], "policy.ask_rate is 1.0 there, 0.5 here"),
        (["--simulator-options", '{"population": {"slip": [0, 0]}}'], "simulator.populations.math.slip is"),
        (
            ["--env-options", '{"tasks": {"name": "procedural", "levels": [1, 2]}}'],
            "env_options.tasks is null",
        ),
        (["--dialogues", "7"], "12 dialogues already, 5 more than --dialogues 7"),
    ],
)
def test_a_log_of_other_settings_is_refused(
    command: Command, log: Path, arguments: list[str], what: str
) -> None:
    before = log.read_bytes()
    assert what in command(*RULE, "--dialogues", 12, *arguments, "--out", log).error
    assert log.read_bytes() == before


def test_other_files_are_left_alone(command: Command, log: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("do not lose this")
    assert "is no log" in command(*RULE, "--out", notes).error
    assert notes.read_text() == "do not lose this"
    (record, *_) = read_log(log)
    record.extra = {}
    append(tmp_path / "mine.jsonl", [record])
    assert "was not written by collect" in command(*RULE, "--out", tmp_path / "mine.jsonl").error
    append(log, list(read_log(log))[:1])
    assert "1 dialogues twice" in command(*RULE, "--dialogues", 12, "--out", log).error


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--policy", "rules"], "unknown policy 'rules': did you mean 'rule'?"),
        (["--simulator", "scriptd"], "unknown user simulator 'scriptd': did you mean 'scripted'?"),
        (["--env", "MathChat-v7"], "MathChat"),
        (["--env", "CartPole-v1"], "CartPole"),
        (["--policy", "tiny", "--ask-rate", "0.5"], "no option 'ask_rate'"),
        (["--policy", "rule", "--ask-rate", "2"], "ask_rate must be in [0, 1], got 2.0"),
        (["--policy", "rule", "--temperature", "1"], "policy 'rule' has no option 'temperature'"),
        (["--language-model", "tiny"], "language_model"),
        (["--simulator-options", "[]"], "simulator_options must be a JSON object"),
        (["--simulator-options", '{"populaton": 1}'], "did you mean 'population'?"),
        (["--env-options", '{"max_turns": 3}'], "max_turns has an option of its own"),
        (["--env-options", '{"scorrer": "answer"}'], "did you mean 'scorer'?"),
        (["--max-turns", "0"], "max_turns must be at least 1, got 0"),
        (["--split", "dev"], "'dev'"),
    ],
)
def test_bad_settings_are_one_line_and_make_nothing(
    command: Command, tmp_path: Path, arguments: list[str], what: str
) -> None:
    assert what in command("collect", *arguments, "--out", tmp_path / "new" / "log.jsonl").error
    assert not (tmp_path / "new").exists()


def test_progress_is_shown_to_people_alone(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*RULE, "--dialogues", 3, "--out", tmp_path / "a.jsonl").err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    done = command(*RULE, "--dialogues", 3, "--out", tmp_path / "b.jsonl")
    assert "3/3" in done.err
    assert "3/3" not in done.out


def test_it_plays_documents_with_users_of_a_language_model(command: Command, tmp_path: Path) -> None:
    arguments = ["--env", "DocEditChat-v0", "--simulator", "prompted", "--language-model", "tiny"]
    log = tmp_path / "log.jsonl"
    done = command(
        "collect", *arguments, "--dialogues", 2, "--max-turns", 2, "--max-tokens", 16, "--out", log
    )
    assert done.status == 0
    (record, _) = read_log(log)
    assert record.policy["max_tokens"] == 16
    assert record.simulator["model"]["model"] == "tiny"
