"""A log from the user's side: K turns give K + 1 user turns, excerpts say what they do not show."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona
from dialogue_gym.simulators.user_turns import by_people, user_turns
from dialogue_gym.tasks import task_sources
from dialogue_gym.tasks.base import task_to_dict


def record(texts: list[str], end_reason: str | None, **changes: Any) -> DialogueRecord:
    messages = [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]
    fields: dict[str, Any] = {
        "env_id": "MathChat-v0",
        "split": "train",
        "task": None,
        "persona": None,
        "task_seed": 0,
        "reply_seed": 0,
        "simulator": {"name": "people"},
        "policy": {},
        "messages": messages,
        "turns_metadata": [],
        "end_reason": end_reason,
        "reward": None,
        "metrics": {},
        "extra": {},
    }
    return DialogueRecord(**(fields | changes))


texts = st.lists(st.text(max_size=5), min_size=1, max_size=9)


@given(texts, st.sampled_from(["user_stop", "turn_limit", None]))
def test_each_turn_is_what_a_simulator_would_be_asked(said: list[str], end_reason: str | None) -> None:
    turns = user_turns(record(said, end_reason))
    silent = end_reason == "user_stop" and len(said) % 2 == 0
    spoken = said[::2] + [""] * silent
    assert [turn.reply.text for turn in turns] == spoken
    assert [turn.index for turn in turns] == list(range(len(spoken)))
    assert [turn.reply.stop for turn in turns] == [False] * (len(spoken) - 1) + [end_reason == "user_stop"]
    for turn in turns:
        heard = [message["content"] for message in turn.request.conversation]
        assert heard == said[: 2 * turn.index]
        assert turn.is_opening is (turn.index == 0)
        assert turn.stop_counts


@pytest.mark.parametrize("said", [["hi", "hm?", "12", "5", "thanks"], ["hi", "hm?", "12", "5"]])
def test_two_turns_give_three_user_turns_however_the_user_leaves(said: list[str]) -> None:
    turns = user_turns(record(said, "user_stop"))
    assert len(turns) == 3
    assert [turn.reply.stop for turn in turns] == [False, False, True]
    assert turns[-1].reply.text == ("thanks" if len(said) == 5 else "")


@pytest.mark.parametrize("said", [["hi", "hm?", "12"], ["hi", "hm?", "12", "5"]])
def test_the_turn_limit_is_not_a_stop(said: list[str]) -> None:
    assert [turn.reply.stop for turn in user_turns(record(said, "turn_limit"))] == [False, False]


def test_excerpts_have_no_opening_and_no_known_stops() -> None:
    said = ["", "how many?", "12", "and now?", "13"]
    excerpt = record(said, None, extra={"censored": ["beginning", "end"]})
    turns = user_turns(excerpt)
    assert [turn.reply.text for turn in turns] == ["12", "13"]
    assert [turn.index for turn in turns] == [1, 2]
    assert not any(turn.is_opening or turn.stop_counts or turn.reply.stop for turn in turns)
    no_end = user_turns(record(said[1:4], None, extra={"censored": ["end"]}))
    assert [turn.is_opening for turn in no_end] == [True, False]
    assert not any(turn.stop_counts for turn in no_end)
    no_beginning = user_turns(record(said, "user_stop", extra={"censored": ["beginning"]}))
    assert [(turn.stop_counts, turn.reply.stop) for turn in no_beginning] == [(True, False), (True, True)]
    assert user_turns(record(["hi"], None, extra={"censored": ["beginning"]})) == []


def test_the_brief_is_the_tasks_or_else_the_intent() -> None:
    task = task_sources["document"].build("procedural").draw("train", NoiseKey((1,)))
    (turn,) = user_turns(record(["hi"], None, task=task_to_dict(task)))
    assert (turn.request.kind, turn.request.brief) == ("document", task.brief)
    (turn,) = user_turns(record(["hi"], None, extra={"intent": "a number"}))
    assert (turn.request.kind, turn.request.brief.goal, turn.request.brief.facts) == ("math", "a number", ())
    with pytest.raises(ValueError, match="environment 'Poker-v0' of a record without a task is none of"):
        user_turns(record(["hi"], None, env_id="Poker-v0"))


def test_the_persona_is_never_read_and_keys_are_the_records_own() -> None:
    said = ["hi", "hm?", "12"]
    plain = user_turns(record(said, None), 3)
    assert user_turns(record(said, None, persona=Persona(trust=0.1).to_dict()), 3) == plain
    keys = [turn.request.key for number in (3, 4) for turn in user_turns(record(said, None), number)]
    assert len(set(keys)) == 4


def test_only_people_are_people() -> None:
    assert by_people(record(["hi"], None))
    for simulator in ({}, {"name": "scripted"}, {"name": "mathdial", "source": "people"}):
        assert not by_people(record(["hi"], None, simulator=simulator))
