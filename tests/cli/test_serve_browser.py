"""The page in a real browser: the keyboard alone, two tabs, a phone, a slow agent, a server that is gone."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from dialogue_gym.logs import read_log
from dialogue_gym.rollout.rules import RulePolicy
from tests.cli.chromium import PROGRAM, Browser, Tab, chromium
from tests.cli.serving import serving, soon

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "people.jsonl"


def begun(browser: Browser, url: str, **size: Any) -> Tab:
    """A tab whose person has agreed, and is to speak."""
    tab = browser.open(url, **size)
    tab.until("document.activeElement.id === 'agree'")
    tab.press("Enter")
    tab.until("document.activeElement.id === 'text'")
    return tab


def answered(tab: Tab, messages: int) -> None:
    tab.until(f"document.querySelectorAll('#messages li').length >= {messages}")
    tab.until("!document.getElementById('text').disabled")


def records(log: Path, count: int) -> list[Any]:
    soon(lambda: log.read_bytes().count(b"\n") >= count)
    return list(read_log(log))


def test_a_dialogue_with_the_keyboard_alone(browser: Browser, log: Path) -> None:
    with serving(log) as served:
        tab = begun(browser, served.url)
        assert "Nothing else about you is kept" not in tab.text()
        brief = tab.run("document.getElementById('brief-text').innerText")
        tab.type("<b>help</b>")
        tab.press("Enter", shift=True)
        tab.type("please")
        tab.press("Enter")
        answered(tab, 2)
        assert tab.focused() == "text"
        tab.press("Tab")
        tab.press("Tab")
        assert tab.focused() == "stop"
        tab.press("Enter")
        tab.until("document.activeElement.id === 'end-title'")
        assert "score" not in tab.text()
        tab.press("Tab")
        tab.press(" ")
        for _ in range(3):
            tab.press("ArrowRight")
        tab.press("Enter")
        tab.until("document.activeElement.id === 'bye-title'")
        assert "The score was 0.00. The dialogue is kept." in tab.text()
        assert tab.complaints() == []
        assert tab.requested() == {served.url.removeprefix("http://")}
        tab.close()
        [record] = records(log, 1)
    assert record.messages[0]["content"] == "<b>help</b>\nplease"
    assert record.task["brief"]["text"] == brief
    assert record.end_reason == "user_stop"
    assert record.extra["ratings"] == {"rating": 4}


def test_two_tabs_never_mix_and_a_closed_one_loses_nothing(browser: Browser, log: Path) -> None:
    with serving(log) as served:
        one, two = begun(browser, served.url), begun(browser, served.url)
        for tab, text in ((one, "first person"), (two, "second person"), (one, "more of the first")):
            before = tab.run("document.querySelectorAll('#messages li').length")
            tab.type(text)
            tab.press("Enter")
            answered(tab, before + 2)
        assert "first person" not in two.text()
        one.close()
        [record] = records(log, 1)
        assert [m["content"] for m in record.messages][::2] == ["first person", "more of the first"]
        assert (len(record.messages), record.end_reason) == (4, "aborted")
        two.type("still here")
        two.press("Enter")
        answered(two, 4)
        two.close()


def test_who_does_not_agree_is_told_that_nothing_is_kept(browser: Browser, log: Path) -> None:
    with serving(log, max_turns=1) as served:
        tab = browser.open(served.url)
        tab.until("!document.getElementById('consent').hidden")
        tab.click("decline")
        tab.until("document.activeElement.id === 'text'")
        tab.type("hello")
        tab.press("Enter")
        tab.until("!document.getElementById('end').hidden")
        tab.click("skip")
        tab.until("!document.getElementById('bye').hidden")
        assert "Nothing of it was kept." in tab.text()
        tab.click("again")
        tab.until("!document.getElementById('consent').hidden")
        tab.close()
    assert log.read_bytes() == b""


def test_a_slow_agent_is_waited_for_and_one_that_fails_is_said(
    browser: Browser, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def fail(self: RulePolicy, requests: Any) -> Any:
        go.wait(60)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(RulePolicy, "act", fail)
    with serving(log) as served:
        tab = begun(browser, served.url)
        tab.type("hello")
        tab.press("Enter")
        tab.until("document.getElementById('waiting-text').innerText.includes('writing … 4 s')")
        assert "the agent's turn" in tab.text()
        go.set()
        tab.until("!document.getElementById('end').hidden")
        assert "The agent failed (RuntimeError: out of memory) after 0 turns; not scored." in tab.text()
        tab.close()


@pytest.mark.parametrize("role", ["user", "agent"])
def test_it_fits_a_phone(browser: Browser, log: Path, role: str) -> None:
    with serving(log, env="DocEditChat-v0", role=role) as served:
        tab = browser.open(served.url, 320, 568, phone=True)
        tab.until("!document.getElementById('consent').hidden")
        tab.click("agree")
        tab.until("!document.getElementById('text').disabled")
        tab.run("document.getElementById('text').focus()")
        tab.type("a" * 200 + " what is the day? " + "word " * 50)
        tab.click("send")
        answered(tab, 2)
        assert tab.run("document.documentElement.scrollWidth") == 320
        assert not tab.run("document.getElementById('brief').open")
        tab.close()


def test_a_server_that_is_gone_is_said_and_the_text_stays(browser: Browser, log: Path) -> None:
    with serving(log) as served:
        tab = begun(browser, served.url)
        tab.type("hello")
        tab.press("Enter")
        answered(tab, 2)
        tab.type("not sent yet")
    tab.press("Enter")
    tab.until("document.getElementById('error').innerText.includes('does not answer')")
    assert tab.run("document.getElementById('text').value") == "not sent yet"
    tab.close()
    [record] = records(log, 1)
    assert record.extra["failure"] == "the server was stopped"
