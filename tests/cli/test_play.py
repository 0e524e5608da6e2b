"""A person at the terminal, in either seat; what is kept of it, and what is not."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dialogue_gym.logs import DialogueRecord, read_log
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.simulators.user_turns import by_people, user_turns
from tests.processes import run

Play = Callable[..., Any]


@pytest.fixture
def play(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs the command while somebody types these lines, after which the input ends."""

    def run(lines: list[str | type[BaseException]], *arguments: Any) -> Any:
        waiting: Iterator[Any] = iter([*lines, EOFError])

        def read(prompt: str = "") -> str:
            print(prompt, end="")
            line = next(waiting)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr("builtins.input", read)
        return command("play", *arguments, "--seed", "3")

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "new" / "people.jsonl"


def only(log: Path) -> DialogueRecord:
    [record] = read_log(log)
    return record


def test_a_person_as_the_user_is_logged_as_people_are(play: Play, log: Path) -> None:
    done = play(["y", "how many?", "six", "/stop", "7", "4"], "MathChat-v0", "--policy", "rule", "--out", log)
    assert (done.status, done.err) == (0, "")
    record = only(log)
    assert by_people(record)
    assert record.persona is None
    assert record.policy["name"] == "rules"
    assert [m["content"] for m in record.messages if m["role"] == "user"] == ["how many?", "six"]
    assert (record.end_reason, record.metrics["answered"]) == ("user_stop", 0.0)
    assert record.reward is not None
    assert record.extra == {"person": {"as": "user", "consent": True}, "ratings": {"rating": 4}}
    assert [turn.reply.stop for turn in user_turns(record)] == [False, False, True]
    asked = done.out.index("'7' is no number from 1 to 5")
    assert done.out.index("score") > asked  # which would sway the rating
    assert f"The score was {record.reward:.2f}." in done.out
    assert done.out.count("agent: ") == 2
    assert record.task is not None
    assert record.task["brief"]["text"] in done.out


def test_the_reference_is_shown_to_nobody(play: Play, tmp_path: Path) -> None:
    tasks = tmp_path / "problems.jsonl"
    tasks.write_text(
        '{"question": "Tom has 2 cats and gets 3. How many?", "answer": "#### 987654", "split": "train"}\n'
    )
    options = f'{{"tasks": {{"name": "jsonl", "path": "{tasks}"}}}}'
    for role in ("user", "agent"):
        done = play(["help"], "--as", role, "--env-options", options)
        assert (done.status, "cats" in done.out) == (0, True)
        assert "987654" not in done.out + done.err


@pytest.mark.parametrize("answer", ["n", "", "yess"])
def test_without_consent_nothing_is_kept(play: Play, log: Path, answer: str) -> None:
    done = play([answer, "hi", "/stop", ""], "--policy", "rule", "--out", log)
    assert done.status == 0
    assert "Nothing of this dialogue is kept." in done.out
    assert not log.exists()


def test_the_rules_say_that_they_understand_the_brief_s_wording_alone(play: Play) -> None:
    done = play(["hi", "/stop", ""], "--policy", "rule")
    assert done.out.startswith("The rules understand one wording, that of the brief")
    assert "The rules understand" not in play(["hi"], "--as", "agent").out


def test_consent_is_asked_for_before_the_brief(play: Play, log: Path) -> None:
    shown = play(["y", "hi"], "--policy", "rule", "--out", log).out
    assert -1 < shown.find(str(log)) < shown.find("Your problem")
    assert "nobody said whether" in play([], "--policy", "rule", "--out", log).error


def test_without_a_log_it_says_so(play: Play) -> None:
    done = play(["hi", "/stop", ""], "--policy", "rule")
    assert done.status == 0
    assert "--out LOG would keep it" in done.out


@pytest.mark.parametrize(("gone", "status"), [("/leave", 0), (EOFError, 0), (KeyboardInterrupt, 130)])
def test_who_leaves_loses_nothing(play: Play, log: Path, gone: Any, status: int) -> None:
    done = play(["y", "hello", gone], "--policy", "rule", "--out", log)
    assert done.status == status
    record = only(log)
    assert [m["role"] for m in record.messages] == ["user", "assistant"]
    assert (record.end_reason, record.reward) == ("aborted", None)
    assert record.extra["failure"] == "the person left"
    assert record.policy["name"] == "rules"


def test_an_interrupt_while_the_agent_thinks_keeps_what_was_said(
    play: Play, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def think(self: RulePolicy, requests: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(RulePolicy, "act", think)
    assert play(["y", "hello"], "--policy", "rule", "--out", log).status == 130
    record = only(log)
    assert [m["content"] for m in record.messages] == ["hello"]
    assert record.end_reason == "aborted"


def test_who_says_nothing_leaves_nothing(play: Play, log: Path) -> None:
    assert "nothing is kept" in play(["y", "/leave"], "--policy", "rule", "--out", log).out
    assert not log.exists()


def test_a_slow_agent_is_waited_for(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    act = RulePolicy.act
    monkeypatch.setattr("dialogue_gym.cli.play._NOTICE_S", 0.05)
    monkeypatch.setattr(RulePolicy, "act", lambda self, requests: [time.sleep(0.3), act(self, requests)][1])
    assert play(["hello", "/stop", ""], "--policy", "rule").out.count("still waiting") == 1


def test_who_leaves_at_the_rating_keeps_the_end(play: Play, log: Path) -> None:
    assert play(["y", "hello", "/stop bye"], "--policy", "rule", "--out", log).status == 0
    record = only(log)
    assert (record.end_reason, record.messages[-1]["content"]) == ("user_stop", "bye")
    assert "ratings" not in record.extra


def test_a_policy_that_fails_ends_it_in_one_line(
    play: Play, log: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail(self: RulePolicy, requests: Any) -> Any:
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(RulePolicy, "act", fail)
    done = play(["y", "hello", ""], "--policy", "rule", "--out", log)
    assert "the agent failed (RuntimeError: out of memory) after 0 turns; not scored" in done.out
    assert only(log).end_reason == "policy_failure"


def test_a_person_as_the_agent(play: Play, log: Path) -> None:
    lines = ["y", "What is missing?", "", "The answer is 3.", "It is 3.", "5"]
    done = play(lines, "MathChat-v0", "--as", "agent", "--max-turns", "3", "--out", log)
    assert done.status == 0
    record = only(log)
    assert not by_people(record)
    assert record.policy == {"name": "people", "source": "dialogue_gym"}
    assert record.persona is not None
    assert [m["content"] for m in record.messages][1::2][0] == "What is missing?"
    assert record.end_reason in ("user_stop", "turn_limit")
    assert "Your problem" not in done.out
    for message in record.messages[::2]:
        assert message["content"] in done.out


def test_a_command_of_the_agent_reaches_no_user(play: Play, log: Path) -> None:
    typed: list[Any] = ["y", "/stop thanks", "/brief", "/sotp", "", "Which numbers are missing?", "/leave"]
    done = play(typed, "--as", "agent", "--out", log)
    assert only(log).messages[1]["content"] == "Which numbers are missing?"
    assert "Only the user ends the dialogue. /brief" in done.out
    assert "There is no command '/sotp'" in done.out
    assert done.out.count("You are the agent") == 2


def test_the_last_message_before_the_turn_limit_is_shown(play: Play, log: Path) -> None:
    done = play(["y", "help", ""], "--policy", "rule", "--max-turns", "1", "--out", log)
    record = only(log)
    assert record.end_reason == "turn_limit"
    assert f"agent: {record.messages[-1]['content']}" in done.out


def test_a_seed_names_the_task(play: Play, tmp_path: Path) -> None:
    for name in ("a", "b"):
        play(["y", "hi", "/stop", ""], "--policy", "rule", "--out", tmp_path / name)
    assert only(tmp_path / "a") == only(tmp_path / "b")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--policy", "rules"], "unknown policy 'rules': did you mean 'rule'?"),
        (["MathChat-v9"], "MathChat-v9"),
        (["--simulator", "scripted"], "the person plays the user; leave out --simulator"),
        (["--as", "agent", "--policy", "rule"], "the person plays the agent; leave out --policy"),
        (["--as", "agent", "--simulator", "scriptd"], "did you mean 'scripted'?"),
        (["--as", "tutor"], "tutor"),
        (["--policy-options", "x"], "policy_options must be a JSON object"),
        (["--env-options", '{"max_turns": 3}'], "max_turns has an option of its own"),
        (["--max-turns", "0"], "max_turns must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be at least 0, got -1"),
    ],
)
def test_bad_input_is_one_line(command: Callable[..., Any], arguments: list[str], expected: str) -> None:
    assert expected in command("play", *arguments).error


def test_a_log_that_cannot_be_kept_is_said_before_anybody_talks(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("somebody's text\n")
    for out, expected in (
        (tmp_path / "file" / "log", "cannot be written: [Errno 17]"),
        (tmp_path, "Is a directory"),
        (tmp_path / "file", "not JSON"),
        ("/proc/nowhere/log", "/proc/nowhere"),
    ):
        assert expected in command("play", "--policy", "rule", "--out", out).error
    assert (tmp_path / "file").read_text() == "somebody's text\n"


def test_a_half_written_line_is_removed_and_the_rest_goes_on(play: Play, log: Path) -> None:
    play(["y", "hi", "/stop", ""], "--policy", "rule", "--out", log)
    before = log.read_bytes()
    log.write_bytes(before + before[:40])
    done = play(["y", "hi", "/stop", ""], "--policy", "rule", "--out", log)
    assert "half written" in done.err
    assert log.read_bytes() == before * 2


def test_a_log_that_breaks_meanwhile_loses_nothing(
    play: Play, log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def spoil(self: RulePolicy, requests: Any) -> Any:
        log.write_text("half a line")
        raise RuntimeError("out of memory")

    monkeypatch.setattr(RulePolicy, "act", spoil)
    done = play(["y", "hello", ""], "--policy", "rule", "--out", log)
    [spare] = tmp_path.glob("dialogue-*.jsonl")
    assert done.status == 2
    assert done.err.endswith(f"the dialogue is in {spare} instead\n")  # after what the policy's failure logs
    assert only(spare).messages[0]["content"] == "hello"


def test_at_the_end_of_the_input_of_a_process(python: list[str], log: Path) -> None:
    arguments = ["play", "--policy", "rule", "--out", str(log)]
    done = run([*python, *arguments], input="y\nhelp me\n", text=True)
    assert done.stderr == ""
    assert only(log).end_reason == "aborted"
