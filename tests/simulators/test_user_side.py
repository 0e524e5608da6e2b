"""The user-side template: training and inference read the same ids, and no text can forge a mark."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

pytest.importorskip("transformers")

from dialogue_gym.calibration.samples import training_row
from dialogue_gym.language_models import load_language_model
from dialogue_gym.simulators.prompted import STOP_MARK
from dialogue_gym.simulators.user_side import UserSide
from dialogue_gym.simulators.user_turns import user_turns
from tests.simulators.test_user_turns import record

TINY: Any = load_language_model("tiny")
CODEC = TINY.codec
SIDES = (UserSide(), UserSide("none", "", go_on="", leave=STOP_MARK), UserSide("intent", agent_tokens=6))
FORGED = ("# hi", "> hi", "#", ">", "[STOP]", "[STOP] bye", " [STOP]", "> # no", "##", "<|im_end|>", "")
words = st.one_of(st.sampled_from(FORGED), st.text(max_size=12))
sides = st.sampled_from(SIDES)


@given(sides, st.lists(words, min_size=1, max_size=8), st.sampled_from(["user_stop", "turn_limit"]))
def test_a_training_row_is_what_the_model_reads_and_writes(side: UserSide, said: list[str], end: str) -> None:
    assume(said[0])
    dialogue = record(said, end, extra={"intent": "how many eggs?"})
    row = training_row(CODEC, side, dialogue, 10_000)
    turns = user_turns(dialogue)
    assert row.samples == len(turns)
    expected: list[int] = []
    for turn in turns:
        context = side.context_ids(CODEC, turn.request)
        reply = side.reply_ids(CODEC, turn.reply.text, turn.reply.stop)
        assert row.input_ids[: len(context) + len(reply)] == context + reply
        assert row.learned[len(expected) : len(context)] == [0] * (len(context) - len(expected))
        expected = context + reply
        assert row.learned[len(context) : len(expected)] == [1] * len(reply)
    assert row.input_ids == expected
    assert len(row.learned) == len(expected)


@given(sides, words, st.booleans())
def test_what_was_written_reads_back_whatever_marks_it_imitates(
    side: UserSide, text: str, stop: bool
) -> None:
    *ids, end = side.reply_ids(CODEC, text, stop)
    assert end == CODEC.end_of_turn_id
    assert end not in ids
    assume(CODEC.decode(CODEC.content_ids(text)) == text)
    assert side.read(CODEC.decode(ids)) == (text.strip(), stop)


@pytest.mark.parametrize("text", FORGED)
@pytest.mark.parametrize("side", SIDES)
def test_imitated_marks_stay_words(side: UserSide, text: str) -> None:
    for stop in (False, True):
        ids = side.reply_ids(CODEC, text, stop)[:-1]
        assert side.read(CODEC.decode(ids)) == (text.strip(), stop)


def test_long_agent_messages_are_shortened_at_both_ends() -> None:
    agent = " ".join(f"number {i}" for i in range(60))
    (_, turn) = user_turns(record(["hi", agent, "12"], None))
    whole = UserSide("none", "").context_ids(CODEC, turn.request)
    for limit in (1, 2, 7, 20):
        ids = UserSide("none", "", agent_tokens=limit).context_ids(CODEC, turn.request)
        rest = len(whole) - len(CODEC.content_ids(agent))
        assert rest + limit <= len(ids) <= rest + limit + 4 + limit  # the dots; parts may cut differently
        assert len(ids) < len(whole)
    text = CODEC.decode(UserSide("none", "", agent_tokens=20).context_ids(CODEC, turn.request))
    assert "number 0 number 1" in text
    assert "number 59" in text
    assert "number 30" not in text
    assert UserSide("none", "", agent_tokens=5000).context_ids(CODEC, turn.request) == whole


def test_what_the_user_is_told_follows_the_condition() -> None:
    (turn,) = user_turns(record(["hi"], None, extra={"intent": "count the eggs"}))
    shown = {
        c: CODEC.decode(UserSide(c, "").context_ids(CODEC, turn.request)) for c in ("brief", "intent", "none")
    }
    assert "count the eggs" in shown["brief"]
    assert "count the eggs" in shown["intent"]
    assert "eggs" not in shown["none"]


def test_an_excerpt_begins_with_what_the_agent_said() -> None:
    excerpt = record(["", "how many boxes?", "6"], None, extra={"censored": ["beginning", "end"]})
    side = UserSide()
    row = training_row(CODEC, side, excerpt, 1000)
    text = CODEC.decode(row.input_ids)
    assert "how many boxes?" in text
    assert "how can I help" not in text
    learned = [i for i, yes in zip(row.input_ids, row.learned, strict=True) if yes]
    assert learned == [*CODEC.content_ids("6"), CODEC.end_of_turn_id]  # not the mark: it may have ended here


@pytest.mark.parametrize(
    ("go_on", "leave"), [(">", ""), ("#", "#"), ("##", "#"), ("#", "##"), ("", " #"), (" >", "#")]
)
def test_marks_that_cannot_be_told_apart_are_refused(go_on: str, leave: str) -> None:
    with pytest.raises(ValueError, match="cannot be told apart"):
        UserSide(go_on=go_on, leave=leave)


def test_other_bad_settings_are_one_clear_line() -> None:
    with pytest.raises(ValueError, match="unknown condition 'breif': did you mean 'brief'"):
        UserSide("breif")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="agent_tokens must be at least 0, got -1"):
        UserSide(agent_tokens=-1)


def test_any_marks_that_differ_will_do() -> None:
    for go_on, leave in (("", "-"), ("go", "leave"), ("a", "b")):
        side = UserSide(go_on=go_on, leave=leave)
        assert side.read(f"{leave}bye") == ("bye", True)
        assert UserSide(**side.to_dict()) == side
