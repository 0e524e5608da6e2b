"""The served page without a browser: people side by side, people who leave, and what is kept of it."""

import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from dialogue_gym.cli.talking import keep
from dialogue_gym.logs import read_log
from dialogue_gym.rollout import PolicyReply
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.simulators.user_turns import by_people
from tests.cli.serving import Served, serving, soon
from tests.processes import started


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "new" / "people.jsonl"


@pytest.fixture
def served(log: Path) -> Iterator[Served]:
    with serving(log) as served:
        yield served


def kept(log: Path, count: int) -> list[Any]:
    """The dialogues of the log, once there are so many."""
    soon(lambda: log.exists() and log.read_bytes().count(b"\n") >= count)
    records = list(read_log(log))
    assert len(records) == count
    return records


def test_a_dialogue_from_consent_to_rating(served: Served, log: Path) -> None:
    tab = served.begin().until("your_turn")
    assert tab.state["brief"]
    assert tab.state["messages"] == []
    tab.say(" how many? ")
    assert tab.said[0] == "how many?"
    tab.until("your_turn").say("six").until("your_turn")
    assert len(tab.said) == 4
    tab.say("", stop=True).until("over")
    # no score before the rating, which it would sway
    assert (tab.state["over"], tab.state["verdict"]) == ("you ended it after 2 turns", "")
    assert not log.exists()
    assert tab.rate(4).state["kept"]
    [record] = kept(log, 1)
    assert tab.state["verdict"] == f"The score was {record.reward:.2f}."
    assert by_people(record)
    assert record.persona is None
    assert record.task["brief"]["text"] == tab.state["brief"][0]
    assert record.policy["name"] == "rules"
    assert [m["content"] for m in record.messages] == tab.said
    assert record.end_reason == "user_stop"
    assert record.extra == {"person": {"as": "user", "consent": True}, "ratings": {"rating": 4}}


def test_who_does_not_agree_can_talk_and_nothing_is_kept(log: Path) -> None:
    with serving(log) as served:
        stays, leaves, rates = (served.begin(consent=False).until("your_turn") for _ in range(3))
        stays.say("hi")
        leaves.say("hi").until("your_turn").leave()
        rates.say("hi").until("your_turn").say("bye", stop=True).until("over").rate(3)
        assert rates.state["done"]
        assert not rates.state["kept"]
    assert not log.exists()


def test_the_reference_reaches_no_page(log: Path, tmp_path: Path) -> None:
    tasks = tmp_path / "problems.jsonl"
    tasks.write_text(
        '{"question": "Tom has 2 cats and gets 3. How many?", "answer": "#### 987654", "split": "train"}\n'
    )
    options = f'{{"tasks": {{"name": "jsonl", "path": "{tasks}"}}}}'
    for role in ("user", "agent"):
        with serving(log, role=role, env_options=options) as served:
            tab = served.begin().until("your_turn").say("help me with 5")
            assert "987654" not in str(tab.until("your_turn").state)


def test_two_tabs_never_mix(served: Served, log: Path) -> None:
    tabs = [served.begin().until("your_turn") for _ in range(4)]
    assert len({tab.id for tab in tabs}) == 4
    for turn in range(3):
        for number, tab in enumerate(tabs):
            tab.until("your_turn").say(f"tab {number} turn {turn}")
    for number, tab in enumerate(tabs):
        tab.until("your_turn").say(stop=True).until("over").rate(1 + number)
        assert tab.said[::2] == [f"tab {number} turn {turn}" for turn in range(3)]
    records = kept(log, 4)
    assert [r.messages[0]["content"] for r in records] == [f"tab {number} turn 0" for number in range(4)]
    assert [r.extra["ratings"]["rating"] for r in records] == [1, 2, 3, 4]
    assert len({r.task_seed for r in records}) == 4


def test_people_at_once_share_a_language_model_without_mixing(log: Path) -> None:
    pytest.importorskip("transformers")
    options = '{"temperature": 0, "max_tokens": 12}'

    def answers(count: int) -> list[list[str]]:
        with serving(log, policy="tiny", policy_options=options) as served:
            tabs = [served.begin() for _ in range(count)]
            for text in ("Tom has some marbles", "Tom has 7 marbles"):
                for tab in tabs:
                    tab.until("your_turn").say(text)
            return [tab.until("your_turn").said for tab in tabs]

    [alone] = answers(1)
    assert answers(3) == [alone] * 3


def test_a_closed_tab_loses_nothing(served: Served, log: Path) -> None:
    served.begin().until("your_turn").leave()  # has said nothing
    other = served.begin().until("your_turn").say("still here")
    served.begin().until("your_turn").say("help").until("your_turn").leave()
    [record] = kept(log, 1)
    assert [m["role"] for m in record.messages] == ["user", "assistant"]
    assert (record.end_reason, record.reward) == ("aborted", None)
    assert record.extra["failure"] == "the person left"
    assert other.until("your_turn").said[0] == "still here"


def test_a_tab_that_is_closed_at_the_rating_keeps_the_end(served: Served, log: Path) -> None:
    tab = served.begin().until("your_turn").say("hi").until("your_turn").say("bye", stop=True).until("over")
    refused = served.ask(f"/api/chats/{tab.id}/say", {"text": "and another thing"})
    assert refused == (409, {"error": "This dialogue is over."})
    tab.leave()
    [record] = kept(log, 1)
    assert (record.end_reason, record.messages[-1]["content"]) == ("user_stop", "bye")


def test_a_page_that_is_not_heard_of_has_left(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialogue_gym.cli.chat_page.app._SWEEP_S", 0.05)
    with serving(log, idle_s=0.5) as served:
        tab = served.begin().until("your_turn").say("hello").until("your_turn")
        [record] = kept(log, 1)
        assert record.end_reason == "aborted"
        time.sleep(0.8)
        assert served.ask(f"/api/chats/{tab.id}")[0] == 404
        served.begin().until("your_turn")  # the others go on


def test_the_end_of_the_server_keeps_dialogues_as_they_stand(log: Path) -> None:
    with serving(log) as served:
        served.begin().until("your_turn").say("one").until("your_turn")
        served.begin().until("your_turn").say("two").until("your_turn").say(stop=True).until("over")
        started = time.monotonic()
    assert time.monotonic() - started < 60
    aborted, ended = sorted(kept(log, 2), key=lambda record: record.end_reason)
    assert (aborted.messages[0]["content"], aborted.end_reason) == ("one", "aborted")
    assert aborted.extra["failure"] == "the server was stopped"
    assert (ended.messages[0]["content"], ended.end_reason) == ("two", "user_stop")


def test_the_end_of_the_server_waits_for_a_slow_disk(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(log: Path, record: Any) -> bool:
        time.sleep(0.3)
        return keep(log, record)

    monkeypatch.setattr("dialogue_gym.cli.chat_page.chats.keep", slowly)
    with serving(log) as served:
        for number in range(3):
            served.begin().until("your_turn").say(f"person {number}").until("your_turn")
    assert {r.messages[0]["content"] for r in read_log(log)} == {f"person {number}" for number in range(3)}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The rules answer only once this is set."""
    go = threading.Event()
    act = RulePolicy.act

    def wait(self: RulePolicy, requests: Any) -> list[PolicyReply]:
        go.wait(60)
        return act(self, requests)

    monkeypatch.setattr(RulePolicy, "act", wait)
    yield go
    go.set()


def test_a_slow_policy_is_waited_for(served: Served, slow: threading.Event) -> None:
    tab = served.begin().until("your_turn").say("hello")
    assert not tab.state["your_turn"]
    status, answer = served.ask(f"/api/chats/{tab.id}/say", {"text": "hello?"})
    assert (status, answer) == (409, {"error": "It is not your turn: wait for the other side."})
    slow.set()
    assert len(tab.until("your_turn").said) == 2


def test_a_tab_closed_while_the_policy_is_at_it_keeps_both_messages(
    served: Served, slow: threading.Event, log: Path
) -> None:
    served.begin().until("your_turn").say("hello").leave()
    slow.set()
    [record] = kept(log, 1)
    assert len(record.messages) == 2
    assert record.end_reason == "aborted"


def test_the_server_ends_although_a_policy_does_not(log: Path, slow: threading.Event) -> None:
    with serving(log) as served:
        close = served.chats.close
        served.chats.close = lambda patience_s=0.2: close(patience_s)  # type: ignore[method-assign]
        served.begin().until("your_turn").say("hello")
    [record] = kept(log, 1)
    assert [m["content"] for m in record.messages] == ["hello"]
    slow.set()
    time.sleep(0.2)
    assert len(kept(log, 1)) == 1


def test_a_policy_that_fails_ends_its_dialogue_alone(
    served: Served, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = served.begin().until("your_turn").say("hi").until("your_turn")
    act = RulePolicy.act
    monkeypatch.setattr(RulePolicy, "act", lambda self, requests: 1 / 0)
    bad = served.begin().until("your_turn").say("hi").until("over")
    assert "the agent failed (ZeroDivisionError: division by zero)" in bad.state["over"]
    monkeypatch.setattr(RulePolicy, "act", act)
    good.say("go on").until("your_turn")
    bad.rate(None)
    assert kept(log, 1)[0].end_reason == "policy_failure"


def test_a_person_as_the_agent(log: Path) -> None:
    with serving(log, role="agent", max_turns=2) as served:
        assert "You are the agent" in served.good("/api/about")["agent_brief"]
        tab = served.begin().until("your_turn")
        assert tab.state["brief"] == []
        assert len(tab.said) == 1
        assert served.ask(f"/api/chats/{tab.id}/say", {"text": "", "stop": True})[0] == 409
        tab.say("What is missing?").until("your_turn").say("The answer is 3.").until("over").rate(2)
    [record] = kept(log, 1)
    assert not by_people(record)
    assert record.policy["name"] == "people"
    assert record.persona is not None


def test_the_log_may_break_without_the_loss_of_a_dialogue(
    served: Served, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tab = served.begin().until("your_turn").say("hi").until("your_turn").say(stop=True).until("over")
    log.write_text("half a line")
    tab.rate(5)
    assert "could not be added to the log" in tab.state["trouble"]
    assert not tab.state["kept"]
    [spare] = tmp_path.glob("dialogue-*.jsonl")
    assert kept(spare, 1)[0].messages[0]["content"] == "hi"
    log.unlink()
    served.begin().until("your_turn").say("again").leave()
    assert kept(log, 1)[0].messages[0]["content"] == "again"


@pytest.mark.parametrize(
    ("path", "body", "status", "expected"),
    [
        ("/api/chats", {}, 400, "'consent' is true or false"),
        ("/api/chats", {"consent": "yes"}, 400, "'consent' is true or false"),
        ("/api/chats", b"{", 400, "the body must be a JSON object"),
        ("/api/chats", b"[" * 9999, 400, "the body must be a JSON object"),
        ("/api/chats", b" " * 200_001, 413, "too long"),
        ("/api/chats/nobody", None, 404, "This dialogue is over"),
        ("/api/chats/nobody/say", {"text": "hi"}, 404, "This dialogue is over"),
        ("/api/chats/ID/say", {"text": 3}, 400, "'text' is a text"),
        ("/api/chats/ID/say", {"text": " \n"}, 409, "There is nothing in this message."),
        ("/api/chats/ID/say", {"text": "", "stop": True}, 409, "once the agent has said something"),
        ("/api/chats/ID/rate", {"rating": 3}, 409, "There is no dialogue to rate."),
        ("/api/chats/ID/rate", {"rating": 6}, 400, "from 1 to 5"),
        ("/api/chats/ID/rate", {"rating": True}, 400, "from 1 to 5"),
        ("/api/chats/ID/nothing", {}, 404, "Not Found"),
    ],
)
def test_bad_requests_are_one_line_and_change_nothing(
    served: Served, path: str, body: Any, status: int, expected: str
) -> None:
    tab = served.begin().until("your_turn")
    got, answer = served.ask(path.replace("ID", tab.id), body)
    assert got == status
    assert expected in answer["error"]
    assert tab.say("hi").until("your_turn").said[0] == "hi"


def test_pages_of_others_cannot_use_it(served: Served) -> None:
    assert served.ask("/api/chats", {"consent": True}, Content_Type="text/plain")[0] == 415
    assert served.ask("/", None, Host="evil.example")[0] == 400
    for host in ("localhost", "localhost:8000", "[::1]:8000"):
        assert served.ask("/", None, Host=host)[0] == 200


def test_any_unicode_is_kept(served: Served, log: Path) -> None:
    text = "<script>alert(1)</script> \x00 \U0001f600 \u202e"
    tab = served.begin().until("your_turn")
    served.ask(f"/api/chats/{tab.id}/say", b'{"text": "lone \\ud800 surrogate"}')
    tab.until("messages").until("your_turn").say(text).until("your_turn").leave()
    [record] = kept(log, 1)
    assert [m["content"] for m in record.messages][::2] == ["lone \ufffd surrogate", text]


def test_the_page_needs_nothing_from_elsewhere(served: Served) -> None:
    for name in ("", "page.css", "page.js"):
        content = served.good(f"/{name}")
        assert "http:" not in content
        assert "https:" not in content
    with urllib.request.urlopen(served.url) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--policy", "rules"], "did you mean 'rule'?"),
        (["--port", "70000"], "port must be from 0 to 65535, got 70000"),
        (["--host", "192.0.2.1", "--policy", "rule"], "cannot listen at 192.0.2.1 port 8000"),
        (["--idle-minutes", "0"], "idle_minutes must be above 0"),
        (["--out", "/proc/nowhere/log"], "/proc/nowhere/log cannot be written"),
    ],
)
def test_bad_input_is_one_line(
    command: Callable[..., Any], arguments: list[str], expected: str, tmp_path: Path
) -> None:
    assert expected in command("serve", "--out", tmp_path / "log", *arguments).error


def test_a_port_in_use_is_one_line(command: Callable[..., Any], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = command("serve", "--policy", "rule", "--out", tmp_path / "log", "--port", port).error
    assert not list(tmp_path.iterdir())
    assert error == (
        f"error: cannot listen at 127.0.0.1 port {port} (Address already in use); --port names another"
    )


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_and_keeps_what_was_said(
    python: list[str], log: Path, stop: signal.Signals
) -> None:
    arguments = [*python, "serve", "--policy", "rule", "--out", str(log), "--port", "0"]
    pipe = subprocess.PIPE
    with started(arguments, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.partition(" at ")[2].partition(";")[0]
        served = Served(url, None, None, log)  # type: ignore[arg-type]
        served.begin().until("your_turn").say("hello").until("your_turn")
        process.send_signal(stop)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "\nstopped\n", "")
    assert kept(log, 1)[0].extra["failure"] == "the server was stopped"


def test_without_the_web_server_one_line_names_the_extra(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert command("serve", "--out", tmp_path / "log").error.endswith('pip install "dialogue-gym[serve]"')
