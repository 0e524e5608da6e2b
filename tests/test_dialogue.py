"""Messages and transcripts."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.dialogue import EndReason, Transcript, clean_text

any_text = st.text(st.characters(exclude_categories=()))
contents = st.lists(any_text, max_size=9)


def fill(texts):
    transcript = Transcript()
    for i, text in enumerate(texts):
        transcript.add("assistant" if i % 2 else "user", text)
    return transcript


@given(any_text)
def test_clean_text_can_be_encoded_and_changes_only_surrogates(text):
    clean = clean_text(text)
    clean.encode("utf-8")
    assert json.loads(json.dumps(clean, ensure_ascii=False)) == clean
    assert [c for c in text if not "\ud800" <= c <= "\udfff"] == [
        c for c, old in zip(clean, text, strict=True) if not "\ud800" <= old <= "\udfff"
    ]
    assert clean_text(clean) == clean


@given(contents)
def test_roles_alternate_and_text_is_kept(texts):
    transcript = fill(texts)
    assert [m["role"] for m in transcript] == [("user", "assistant")[i % 2] for i in range(len(texts))]
    assert [m["content"] for m in transcript] == [clean_text(t) for t in texts]
    assert transcript.turns == len(texts) // 2
    assert transcript.contents("user") == [clean_text(t) for t in texts[::2]]
    assert transcript.contents("assistant") == [clean_text(t) for t in texts[1::2]]
    assert Transcript(transcript).messages() == transcript.messages()


@given(contents, contents)
def test_a_view_never_changes(texts, more):
    transcript = fill(texts)
    view = transcript.view()
    before = view.messages()
    for text in more:
        transcript.add("assistant" if len(transcript) % 2 else "user", text)
    assert view.messages() == before == transcript.messages()[: len(texts)]
    assert view.contents("user") == [m["content"] for m in before if m["role"] == "user"]
    assert view.turns == len(texts) // 2
    with pytest.raises(TypeError, match="cannot be extended"):
        view.add("user", "x")


@given(contents, st.slices(9), st.integers(-10, 9))
def test_reading_is_like_a_tuple(texts, part, index):
    transcript, plain = fill(texts), fill(texts).messages()
    assert transcript[part] == plain[part]
    if -len(plain) <= index < len(plain):
        assert transcript[index] == plain[index]
    else:
        with pytest.raises(IndexError):
            transcript[index]


def test_what_is_handed_out_is_fresh():
    transcript = fill(["a", "b"])
    transcript[0]["content"] = "forged"
    transcript.messages()[1]["role"] = "user"
    assert transcript.messages() == fill(["a", "b"]).messages()


@pytest.mark.parametrize(("before", "role"), [([], "assistant"), (["a"], "user"), (["a", "b"], "system")])
def test_a_message_out_of_turn(before, role):
    with pytest.raises(ValueError, match=f"message {len(before)} has role '{role}'"):
        fill(before).add(role, "x")


def test_pickle():
    transcript = fill(["a", "b", "c"])
    assert pickle.loads(pickle.dumps(transcript)).messages() == transcript.messages()


def test_two_ends_are_scored():
    assert [reason for reason in EndReason if reason.scored] == [EndReason.USER_STOP, EndReason.TURN_LIMIT]
