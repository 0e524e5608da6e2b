"""Leaks, broken roles, repeats: what is flagged, and what is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import make_vector_env, play
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.viewing.flags import FLAGS, flags_of, told_of

BRIEF = "Sara finds 2 apples in the morning and buys 4 apples. How many apples has Sara in all?"


def names(record: DialogueRecord) -> list[list[str]]:
    return [[flag.name for flag in flags] for flags in flags_of(record)]


def test_saying_the_answer_first_is_a_leak(make: Any) -> None:
    assert names(make("is it 6?")) == [["leak"]]
    assert names(make("how many?", "It is 6.", "6, thanks")) == [[], [], []]
    assert names(make("it is 16, or 2, or 3")) == [[]]  # a longer number, a fact, a slip


def test_pasting_the_brief_is_a_leak_only_with_all_of_it(make: Any) -> None:
    assert names(make(BRIEF)) == [["leak"]]
    assert names(make(BRIEF.replace("4", "some"))) == [[]]
    assert flags_of(make(BRIEF))[0][0].why == "pastes 100% of the brief"


def test_quoting_the_target_is_a_leak_unless_the_agent_wrote_it(make: Any) -> None:
    target = "On Saturday Clara lost a gray coat in the old cafe."
    task = {
        "id": "d", "kind": "document", "split": "test", "reference": {"text": target},
        "brief": {"goal": "a notice", "facts": [], "text": "a notice about a lost coat"},
    }  # fmt: skip
    assert names(make("a notice: " + target, task=task)) == [["leak"]]
    assert names(make("a notice", target, "I like " + target, task=task)) == [[], [], []]


def test_signs_of_the_agents_role(make: Any) -> None:
    flagged = flags_of(make("Sure! I can help you with that.", "I can help you with that."))
    assert [(f.name, f.why) for f in flagged[0]] == [
        ("role break", "speaks as assistant"),
        ("role break", "offers help"),
    ]
    assert flagged[1] == []


def test_repeats_of_either_side_and_of_the_agent(make: Any) -> None:
    said = (
        "how many apples?",
        "How many does Sara find?",
        "How many does sara find",
        "...",
        "how many apples",
    )
    assert names(make(*said)) == [[], [], ["repeated"], [], ["repeated"]]
    assert flags_of(make(*said))[2][0].why == "says what the agent has just said"
    assert names(make("yes", "one two three", "yes", "One, two, three!")) == [[], [], [], ["repeated"]]


def test_an_empty_message_that_stands_for_what_nobody_logged_is_not_flagged(make: Any, people: Any) -> None:
    assert names(make("", "hello?", " \n")) == [["empty"], [], ["empty"]]
    assert names(people("", "hello?", "", extra={"censored": ["beginning"]})) == [[], [], ["empty"]]


def test_facts_are_told_once(make: Any) -> None:
    assert told_of(make("she buys 4", "2?", "2 and 4")) == [["second"], [], ["first"]]


def test_without_a_task_that_we_know_nothing_is_told_or_leaked(make: Any, people: Any) -> None:
    assert told_of(people("4 apples")) == [[]]
    assert names(make("it is 6", task={"id": "x", "of": "others"})) == [[]]
    whole = {"intent": BRIEF, "censored": []}
    assert names(people(BRIEF, extra=whole)) == [["leak"]]  # people paste their homework


@given(texts=st.lists(st.text(max_size=20), max_size=6))
def test_any_text_gets_a_list_for_each_message(texts: list[str]) -> None:
    messages: Any = [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)]
    meta: list[dict[str, Any]] = [{} for _ in texts[::2]]
    record = DialogueRecord("X-v0", "", None, None, 0, 0, {}, {}, messages, meta, None, None, {})
    flags = flags_of(record)
    assert len(flags) == len(texts)
    assert {f.name for found in flags for f in found} <= set(FLAGS)


@pytest.mark.parametrize("env_id", ["MathChat-v0", "DocEditChat-v0"])
def test_scripted_users_keep_their_role(env_id: str) -> None:
    env = make_vector_env(env_id, 16)
    records = [t.record for t in play(env, RulePolicy(env.kind), [*range(16)], [*range(16)])]
    env.close()
    found = [flag for record in records for flags in flags_of(record) for flag in flags]
    assert not [flag for flag in found if flag.name in ("role break", "empty")]
    assert any(told for record in records for told in told_of(record))
