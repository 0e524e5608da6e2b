"""The page: nothing of a log becomes markup, nothing is loaded, and a browser shows what it should."""

import base64
import hashlib
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.viewing import entries, view_page
from dialogue_gym.viewing.page import as_script_json
from tests.processes import run

HOSTILE = (
    "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
    "<!--<script>\u2028@@DATA@@ \x1b[2J \u202egnp &lt;b&gt;"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Scripts, their attributes and everything that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: dict[str, str] = {"script": "", "style": "", "title": ""}
        self.data = ""
        self.loads: list[tuple[str, str | None]] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.open.append("data" if given.get("id") == "data" else tag)
        self.loads += [(tag, given[name]) for name in ("src", "srcset", "data", "action") if name in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag in ("link", "iframe", "img", "object", "embed", "base"):
            self.loads.append((tag, None))

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open[:-1] if self.open else []

    def handle_data(self, data: str) -> None:
        here = self.open[-1] if self.open else ""
        if here == "data":
            self.data += data
        elif here in self.texts:
            self.texts[here] += data


def test_nothing_is_loaded_and_only_its_own_script_may_run(make: Any) -> None:
    page = Page(view_page(HOSTILE, {HOSTILE: entries([make(HOSTILE, HOSTILE)])}))
    assert page.loads == []
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.texts[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?:|//\w+\.\w|@import|url\(", page.texts["script"] + page.texts["style"])
    assert page.texts["title"] == HOSTILE


def test_data_comes_back_as_it_was(make: Any, people: Any) -> None:
    records = [make(HOSTILE, "an answer", "ok"), people("", "hi", "sure", extra={"censored": ["beginning"]})]
    data = json.loads(Page(view_page("t", {"log": entries(records)})).data)
    first, second = data["logs"][0]["dialogues"]
    assert first["messages"][0]["text"] == HOSTILE
    assert first["facts"] == [["first", "2"], ["second", "4"]]
    assert (second["persona"], second["reward"], second["censored"]) == (None, None, ["beginning"])
    assert data["items"] == [[0, None], [1, None]]
    assert data["identities"][first["simulator"]] == {"name": "scripted"}


@given(
    st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
)
def test_no_character_can_end_the_element_of_the_data(value: Any) -> None:
    text = as_script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    text.encode()
    clean = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    if b"?" not in clean:
        assert json.loads(text) == value


def test_two_logs_side_by_side(make: Any, people: Any) -> None:
    other = {**make("").task, "id": "pears"}
    logs = {
        "a": entries([make("x", "1", reward=0.0), make("x", "2", task=other)]),
        "b": entries([make("x", "3")]),
    }
    data = json.loads(Page(view_page("t", logs)).data)
    assert data["items"] == [[0, 0], [1, None]]
    assert data["difference"][0][:2] == ["reward", "1.000 [1.000, 1.000]"]
    apart = {"a.jsonl": entries([make("x", "1")]), "b.jsonl": entries([people("y", "2"), people("z", "3")])}
    with pytest.raises(ValueError, match=r"a\.jsonl and b\.jsonl have no task in common"):
        view_page("t", apart)
    with pytest.raises(ValueError, match="one log, or two side by side; got 3"):
        view_page("t", {**apart, "c": []})


# in a browser --------------------------------------------------------------------------------------

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")


def dom(tmp_path: Path, page: str, address: str = "") -> str:
    """The document after the page's script has run."""
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run".split()
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    command = [str(CHROMIUM), *flags, f"file://{tmp_path}/page.html{address}"]
    document: str = run(command, timeout=120, text=True, env={**os.environ, "HOME": str(tmp_path)}).stdout
    return document


def part(document: str, tag: str) -> str:
    found = re.search(rf"<{tag}\b.*?</{tag}>", document, re.S)
    assert found is not None
    return found[0]


@in_a_browser
def test_hostile_text_is_shown_as_text(make: Any, tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "persona": {HOSTILE: HOSTILE}, "metrics": {HOSTILE: 1.0}, "simulator": {"name": HOSTILE},
        "policy": {"name": HOSTILE}, "turns_metadata": [{HOSTILE: HOSTILE}], "extra": {"failure": HOSTILE},
        "task": {"id": HOSTILE, "others": HOSTILE},
    }  # fmt: skip
    document = dom(tmp_path, view_page("safe", {HOSTILE: entries([make(HOSTILE, HOSTILE, **fields)])}))
    assert "<title>safe</title>" in document
    assert "<img" not in document
    assert part(document, "article").count("&lt;/script&gt;&lt;script&gt;") >= 2
    assert "\x1b" not in part(document, "main")


@in_a_browser
def test_the_address_holds_dialogue_and_filters(make: Any, people: Any, tmp_path: Path) -> None:
    log = [
        make("she buys 4", "It is 6.", "ok", reward=1.0, persona={"patience": 4}),
        make("is it 6?", "Yes.", reward=0.0, persona={"patience": 9}),
        make("hello", "hi", reward=None, end_reason="simulator_failure", metrics={}),
        people("how do I add?", "count on", "ok"),
    ]
    page = view_page("log", {"log": entries(log)})

    def listed(address: str) -> list[str]:
        return re.findall(r">#(\d+)<", part(dom(tmp_path, page, address), "nav"))

    assert listed("#order=low") == ["2", "1", "3", "4"]
    assert listed("#persona=patience&personaLeast=8.5&flag=leak") == ["2"]
    assert listed("#end=none&user=people (Here)") == ["4"]
    assert listed("#least=0&order=high&text=6") == ["1", "2"]
    document = dom(tmp_path, page, "#d=2")
    assert "leak: says the answer, 6, before the agent does" in part(document, "article")
    assert "The user left without a word." in part(document, "article")
    assert "apples-1" in part(document, "aside")
    assert "The log does not show how it ended." in part(dom(tmp_path, page, "#d=4"), "article")


@in_a_browser
def test_odd_dialogues_are_shown_too(make: Any, tmp_path: Path) -> None:
    silent = make(
        end_reason="aborted", reward=None, metrics={}, task=None, persona=None, extra={"failure": "F"}
    )
    foreign = make(
        "hi", task={"id": 3, "of": ["others"]}, persona={"style": {"a": 1}}, metrics={"tiny": 1e-9}
    )
    page = view_page("t", {"log": entries([silent, foreign])})
    assert "Cut off: aborted. Unscored. F" in re.sub(
        "<.*?>", "", part(dom(tmp_path, page, "#d=1"), "article")
    )
    about = re.sub("<.*?>", " ", part(dom(tmp_path, page, "#d=2"), "aside"))
    assert '{"a":1}' in about
    assert "1.0e-9" in about


@in_a_browser
def test_two_columns_say_where_they_part(make: Any, tmp_path: Path) -> None:
    logs = {
        "before": entries([make("hi", "7", "no", reward=0.0)]),
        "after": entries([make("hi", "How many?", "4", policy={"name": "rules", "ask_rate": 1.0})]),
    }
    article = part(dom(tmp_path, view_page("t", logs)), "article")
    texts = re.findall(r'class="text" dir="auto">([^<]*)<', article)
    assert texts == ["hi", "hi", "7", "How many?", "no", "4"]
    assert article.index(">hi<") < article.index("from here on they differ") < article.index(">7<")
    assert "agent rules (ask_rate 1)" in article
