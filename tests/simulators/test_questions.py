"""Free English against briefs: 1,040 messages by four who had not read the matcher, and edge cases.

The misses in the first three sets have since guided the rules, so their rates guard against loss only. The
fourth, 120 questions and 60 other messages, was written when the rules were done and nothing was changed
after it: its rates (recall 0.91, false reveals 0.02) estimate those on messages never seen.
"""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.simulators.questions import Inquiry, recognise
from dialogue_gym.tasks.base import Brief, Fact
from dialogue_gym.tasks.documents import GENRES
from dialogue_gym.tasks.math import make_fact
from dialogue_gym.tasks.math_families import FAMILIES, Family

_FAMILIES = {family.name: family for family in FAMILIES}
_WORDS = {"n": "Tom", "m": "Ben", "i": "marbles"}


def _math(name: str, values: tuple[int, ...], **words: str) -> Brief:
    family, words = _FAMILIES[name], {**_WORDS, **words}
    facts = tuple(make_fact(t, v, v + 1, words) for t, v in zip(family.facts, values, strict=True))
    return Brief(family.goal.format(**words), facts, "")


def _document(genre: str, goal: str, **values: str) -> Brief:
    slots = GENRES[genre].slots.items()
    facts = tuple(
        Fact(name, values[name], slot.clause.format(values[name]), topics=slot.topics)
        for name, slot in slots
        if name in values
    )
    return Brief(goal, facts, "", genre=genre)


# Each scenario of the set, and its names for facts where they differ from ours.
_SCENARIOS: dict[str, tuple[Brief, dict[str, str]]] = {
    "m1": (_math("gain.buy", (12, 5)), {}),
    "m2": (_math("loss.give", (20, 8), n="Lucy", i="stickers"), {}),
    "m3": (_math("times.boxes", (6, 4), i="eggs"), {}),
    "m4": (_math("share.friends", (18, 3), n="Omar", i="apples"), {"total": "start"}),
    "m5": (_math("compare.owners", (15, 9), n="Mei", i="coins"), {}),
    "m6": (_math("times.price", (3, 7), n="Paul", i="tickets"), {}),
    "d1": (
        _document(
            "invitation",
            "a plain invitation",
            host="Anna",
            event="concert",
            day="Friday",
            time="7 pm",
            place="library",
            item="bread",
        ),
        {"bring": "item"},
    ),
    "d2": (
        _document("lost", "a plain lost notice", owner="Omar", thing="cat", day="Monday", place="park"),
        {"contact": "owner", "item": "thing"},
    ),
    "d3": (
        _document(
            "sale",
            "a plain sale notice",
            seller="Mrs Lee",
            item="books",
            day="Saturday",
            time="10 am",
            place="school",
        ),
        {"host": "seller"},
    ),
    "n1": (_math("loss.basket", (14, 6), n="Raj", i="books"), {}),
    "n2": (_math("gain.sell_day", (9, 7), n="Clara", i="cards"), {}),
    "n3": (_math("times.rows", (4, 5), n="Ben", m="Mei", i="stickers"), {}),
    "n4": (_math("share.pick_bags", (18, 3), n="Sara", i="apples"), {}),
    "n5": (_math("gain.make_two", (8, 11), n="Paul", m="Mei", i="coins"), {}),
    "n6": (_math("two.buy_give", (12, 5, 4), n="Anna", i="pencils"), {}),
    "e1": (
        _document(
            "class",
            "a plain class notice",
            teacher="Henry",
            subject="yoga",
            day="Tuesday",
            time="5 pm",
            place="gym",
            item="tea",
        ),
        {},
    ),
    "e2": (
        _document(
            "closing",
            "a plain closing notice",
            place="museum",
            day="Sunday",
            time="2 pm",
            reason="repairs",
            contact="Grace",
        ),
        {},
    ),
    "e3": (
        _document(
            "meeting",
            "a plain meeting notice",
            club="chess",
            leader="Omar",
            day="Monday",
            time="8 pm",
            place="hall",
            item="cake",
        ),
        {},
    ),
    "p1": (_math("gain.find", (9, 6), n="Lucy", m="Mei", i="eggs"), {}),
    "p2": (_math("gain.pick_week", (7, 10), n="Omar", m="Mei", i="cards"), {}),
    "p3": (_math("times.bags", (3, 5), m="Mei"), {}),
    "p4": (_math("share.friends", (16, 4), n="Anna", m="Mei", i="coins"), {}),
    "p5": (_math("compare.sell", (13, 8), n="Ben", m="Raj", i="books"), {}),
    "p6": (_math("times.price", (4, 3), n="Clara", m="Mei", i="pencils"), {}),
    "g1": (
        _document(
            "invitation",
            "a plain invitation",
            host="Emma",
            event="picnic",
            day="Saturday",
            time="11 am",
            place="park",
            item="salad",
        ),
        {},
    ),
    "g2": (
        _document(
            "lost",
            "a plain lost notice",
            owner="David",
            thing="phone",
            colour="black",
            day="Thursday",
            place="cafe",
        ),
        {},
    ),
    "g3": (
        _document(
            "sale",
            "a plain sale notice",
            seller="Grace",
            item="cheese",
            day="Wednesday",
            time="4 pm",
            place="hall",
            price="6 dollars",
        ),
        {},
    ),
    "s1": (_math("loss.lose", (11, 4), n="Sara", m="Mei", i="stickers"), {}),
    "s2": (_math("gain.make_day", (6, 12), n="Raj", m="Mei", i="coins"), {}),
    "s3": (_math("times.boxes", (4, 5), n="Paul", m="Mei", i="pencils"), {}),
    "s4": (_math("share.boxes", (15, 3), n="Lucy", m="Mei", i="books"), {}),
    "s5": (_math("compare.find", (17, 9), n="Mei", m="Tom", i="eggs"), {}),
    "t1": (
        _document(
            "invitation",
            "a plain invitation",
            host="Ben",
            event="quiz",
            day="Friday",
            time="8 pm",
            place="school",
            item="juice",
        ),
        {},
    ),
    "t2": (
        _document(
            "closing",
            "a plain closing notice",
            place="cafe",
            day="Monday",
            time="1 pm",
            reason="painting",
            contact="Clara",
        ),
        {},
    ),
    "t3": (
        _document(
            "class",
            "a plain class notice",
            teacher="Frank",
            subject="cooking",
            day="Sunday",
            time="2 pm",
            place="hall",
            item="fruit",
        ),
        {},
    ),
}
_TUNED_ON = ("agent_questions.jsonl", "agent_questions_2.jsonl", "agent_questions_3.jsonl")
_UNSEEN = ("agent_questions_4.jsonl",)
_BUY = _SCENARIOS["m1"][0]
_PARTY = _SCENARIOS["d1"][0]


def _rates(sets: tuple[str, ...], held_is_asked: bool) -> tuple[float, float, float]:
    """Recall, share of messages without a request that reveal, share of requests that reveal more."""
    files = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in sets]
    lines = [line for text in files for line in text.splitlines()]
    hits = requests = false = extra = 0
    for row in map(json.loads, lines):
        brief, names = _SCENARIOS[row["scenario"]]
        asked = {names.get(name, name) for name in row["asks"]}
        held = asked if held_is_asked and asked - {"*"} else {fact.name for fact in brief.facts}
        got = recognise(row["message"], brief, held)
        requests += bool(asked)
        if asked == {"*"}:
            hits += got.generic or bool(got.facts)
        elif asked:
            hits += asked <= set(got.facts)
            extra += bool(set(got.facts) - asked)
        else:
            false += got.generic or bool(got.facts)
    return hits / requests, false / (len(lines) - requests), extra / requests


@pytest.mark.parametrize("held_is_asked", [False, True])
@pytest.mark.parametrize("sets", [_TUNED_ON, _UNSEEN], ids=["tuned on", "unseen"])
def test_recall_and_false_reveals_on_questions_written_blind(
    sets: tuple[str, ...], held_is_asked: bool
) -> None:
    recall, false, extra = _rates(sets, held_is_asked)
    assert recall >= 0.9
    assert false <= 0.05
    assert extra <= 0.05


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_familys_own_questions_are_recognised(family: Family) -> None:
    brief = _math(family.name, tuple(range(3, 3 + len(family.facts))))
    for template in family.facts:
        question = template.question.format(**_WORDS)
        assert recognise(question, brief).facts == (template.name,), question


@pytest.mark.parametrize(
    ("message", "brief", "expected"),
    [
        ("How many did he buy, and how many were there at the start?", _BUY, ("start", "change")),
        ("Tell me the day, the time and the place.", _PARTY, ("day", "time", "place")),
        ("How many marbles does Tom have now?", _BUY, ()),
        ("What kind of music will be played?", _PARTY, ()),
        ("Would you like me to explain?", _BUY, ()),
        ("¿Cuántas canicas compró?", _BUY, ()),
        ("他买了多少?", _BUY, ()),
        ("", _BUY, ()),
        ("\x00\x07\x1b[31m", _BUY, ()),
        ("\ud800 how many did he buy?", _BUY, ("change",)),
    ],
)
def test_single_messages(message: str, brief: Brief, expected: tuple[str, ...]) -> None:
    assert recognise(message, brief).facts == expected


@pytest.mark.parametrize("message", ["What are all the numbers?", "Could you tell me what is missing?"])
@pytest.mark.parametrize("brief", [_BUY, _SCENARIOS["m4"][0], _SCENARIOS["m6"][0], _SCENARIOS["d2"][0]])
def test_asking_for_everything_is_generic(message: str, brief: Brief) -> None:
    assert recognise(message, brief).generic


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_goal_asks_for_no_fact(family: Family) -> None:
    brief = _math(family.name, tuple(range(3, 3 + len(family.facts))))
    assert recognise(brief.goal, brief) == Inquiry(other=True)


@pytest.mark.parametrize("genre", GENRES)
def test_every_fact_of_a_document_can_be_asked_for_by_its_name(genre: str) -> None:
    values = {name: slot.values[1] for name, slot in GENRES[genre].slots.items()}
    brief = _document(genre, f"a plain {GENRES[genre].noun}", **values)
    for name in values:
        assert recognise(f"What is the {name}?", brief).facts == (name,)


def test_a_stated_value_is_not_asked_for() -> None:
    assert recognise("Tom has 12 marbles at the start. How many did he buy?", _BUY).facts == ("change",)
    assert recognise("So he has 12 + x marbles. How many is that?", _BUY).facts == ("change",)
    assert recognise("Is it Friday?", _PARTY).facts == ()


@pytest.mark.parametrize(
    "message", ["how many did he purchse?", "how many did he prchase", "hwo many did he buy?"]
)
def test_slips_of_the_finger(message: str) -> None:
    assert recognise(message, _BUY).facts == ("change",)


def test_an_amount_left_open_is_the_one_that_is_held() -> None:
    assert recognise("How many marbles?", _BUY).generic
    assert recognise("How many marbles?", _BUY, held=("change",)).facts == ("change",)


def test_what_is_missing_is_generic() -> None:
    assert recognise("Some information is missing. Could you share it?", _BUY) == Inquiry(generic=True)


@pytest.mark.parametrize("part", ["x ", "how many ", "? ", "\n- ", "a" * 500 + " ", "please, "])
def test_a_megabyte_takes_no_longer_than_its_first_page(part: str) -> None:
    message = part * (1_000_000 // len(part))
    start = time.perf_counter()
    recognise(message, _BUY)
    assert time.perf_counter() - start < 0.5


@settings(deadline=None)
@given(st.text(), st.sampled_from([brief for brief, _ in _SCENARIOS.values()]))
def test_never_raises(message: str, brief: Brief) -> None:
    got = recognise(f"{message} how many? where {message}", brief)
    assert set(got.facts) <= {fact.name for fact in brief.facts}
