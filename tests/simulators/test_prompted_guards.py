"""Guard rails of prompted users: what is refused, what is not, and what becomes of it."""

import json
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialogue_gym  # noqa: F401
from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.base import Completion, GenerationRequest, Sampling
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, PromptedUser, UserRequest
from dialogue_gym.simulators.prompted import user_view
from dialogue_gym.simulators.prompted_guards import GUARDS, faults, leakage
from dialogue_gym.simulators.prompted_json import read_turn, written_turn
from dialogue_gym.tasks import Brief, Fact
from dialogue_gym.testing import check_user_simulator

PROBLEM = (
    "Tom keeps 12 hens. Each hen lays 5 eggs a week and he sells the eggs in boxes of 6 for 3 dollars a box. "
    "How many dollars does Tom earn each week?"
)
BRIEF = Brief(
    "How many dollars does Tom earn each week?",
    (Fact("hens", "12", "Tom keeps 12 hens"), Fact("eggs", "5", "each hen lays 5 eggs a week")),
    PROBLEM,
    unit="dollars",
)
TALK: tuple[Message, ...] = (
    {"role": "user", "content": "Need help with some hens"},
    {"role": "assistant", "content": "How many hens are there? With 10 hens, 10 * 5 = 50."},
)


class Canned:
    """Says what stands in its list, one item for each call of a dialogue, whatever it is asked."""

    def __init__(self, *said: str | Completion) -> None:
        self.said = said
        self.calls: list[list[GenerationRequest]] = []
        self.tries: dict[Hashable, int] = {}

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        self.calls.append(list(requests))
        return [self.next(r.dialogue_id) for r in requests]

    def next(self, dialogue_id: Hashable) -> Completion:
        number = self.tries.get(dialogue_id, 0)
        self.tries[dialogue_id] = number + 1
        said = self.said[min(number, len(self.said) - 1)]
        return said if isinstance(said, Completion) else Completion(said, [7] * len(said.split()))

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None: ...

    def identity(self) -> dict[str, Any]:
        return {"name": "canned"}


def request(
    conversation: Sequence[Message] = TALK, kind: Any = "math", name: str = "d", brief: Brief = BRIEF
) -> UserRequest:
    return UserRequest(name, kind, brief, Persona(), conversation, NoiseKey((5, name)))


# what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "guard"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("need help with some hens!", "repeated"),
        ("how many hens are there? with 10 hens 10 5 50", "repeated"),
        ("Sure! I can help you with that.", "role"),
        ("As an AI language model I cannot keep hens", "role"),
        ("ok\nAssistant: there are 12 hens", "role"),
        ("How can I assist you today?", "role"),
        ("hey! how can i help?", "role"),
        ("I'm here to help with any project", "role"),
        ("I'm sorry, but I'm unable to assist you with your request.", "role"),
        ("You're welcome!", "role"),
        ("I'm sorry. I'm sorry. I'm sorry. I'm sorry. I'm sorry. I'm sorry.", "repeated"),
        ("12 * 5 = 60 eggs", "role"),
        ("so the answer is 30", "role"),
        (r"\boxed{30}", "role"),
        ("Here is the solution:\nfirst the eggs", "role"),
        (PROBLEM, "brief"),
        (f"can you do this: {PROBLEM[:120]}", "brief"),
        ("What you want: to know the dollars", "brief"),
    ],
)
def test_what_no_user_says_is_refused(text: str, guard: str) -> None:
    assert list(faults(text, False, request())) == [guard]


@pytest.mark.parametrize(
    "text",
    [
        "12",
        "there are 12 hens",
        "so 10 * 5 = 50? no, it's 12 hens",  # the agent's own numbers
        "is the answer 50?",
        "i don't know, can you help me?",
        "I would be happy to get help with this",
        "no no no",
        "each hen lays 5 eggs a week",
        "that answer is wrong",
        "let me know when you have it",
        "ok thanks, sounds good",
    ],
)
def test_what_users_say_is_not(text: str) -> None:
    assert faults(text, False, request()) == {}


def test_documents_are_not_written_by_the_user() -> None:
    letter = "Dear neighbours,\nthe party is on Friday.\nKind regards,\nTom"
    for text in (letter, "Draft: the party is on Friday", "Subject: party\nCome on Friday"):
        assert faults(text, False, request(kind="document")) == {"role": "writes the text"}
    assert faults("it should say Dear neighbours, and end with my name", False, request()) == {}


def test_short_answers_may_be_said_again_and_leaving_needs_no_word() -> None:
    talk: list[Message] = [{"role": "user", "content": "yes"}, {"role": "assistant", "content": "sure?"}]
    assert faults("Yes.", False, request(talk)) == {}
    assert faults("", True, request()) == {}
    assert faults("bye", True, request(())) == {"empty": "leaves before the agent has spoken"}


def test_a_short_brief_cannot_be_pasted() -> None:
    brief = Brief("What is 7 times 8?", (), "What is 7 times 8?")
    assert faults("what is 7 times 8?", False, request((), brief=brief)) == {}


def test_leakage_is_the_share_of_the_turns_runs_that_stand_in_the_brief() -> None:
    assert leakage("Tom keeps 12 hens", BRIEF) == 1.0
    assert leakage("well, Tom keeps 12 hens", BRIEF) == 0.5
    assert (
        leakage("some hens and their eggs", BRIEF) == leakage("12 hens", BRIEF) == leakage("", BRIEF) == 0.0
    )


@given(st.text(max_size=200), st.booleans(), st.sampled_from(["math", "document"]))
def test_no_text_breaks_the_guard_rails(text: str, stop: bool, kind: Any) -> None:
    for conversation in ((), TALK):
        found = faults(text, stop, request(conversation, kind))
        assert set(found) <= set(GUARDS)
        assert all(found.values())
    assert 0.0 <= leakage(text, BRIEF) <= 1.0


@pytest.mark.parametrize("text", ["1 * " * 40_000, "here is the a " * 20_000, "\n" * 100_000, "* " * 50_000])
def test_long_turns_are_read_in_time(text: str) -> None:
    faults(text, False, request())  # a quadratic pattern would hang here


# what becomes of it --------------------------------------------------------------------------------


def test_a_refused_turn_is_tried_again_with_another_key() -> None:
    model = Canned("", "Sure! I can help you with that.", "there are 12 hens")
    (reply,) = PromptedUser(model).reply([request()])
    assert (reply.text, reply.stop, reply.error) == ("there are 12 hens", False, None)
    assert reply.metadata == {
        "tokens": 0 + 7 + 4,
        "finish_reason": "stop",
        "retries": 2,
        "rejected": ["empty", "role"],
        "role_breaks": 1,
        "leakage": 0.0,
    }
    asked = [call[0] for call in model.calls]
    assert len({a.key for a in asked}) == 3
    assert asked[0].key == NoiseKey((5, "d", "user"))
    assert len({(a.dialogue_id, json.dumps(a.messages)) for a in asked}) == 1
    json.dumps(reply.metadata)


def test_after_all_retries_the_dialogue_fails_with_what_was_wrong() -> None:
    model = Canned("", PROBLEM, "12 * 5 = 60")
    (reply,) = PromptedUser(model, retries=2).reply([request()])
    assert reply.error == "no turn of a user in 3 tries: is empty; pastes the brief; solves the task"
    assert (reply.timed_out, reply.overflow) == (False, False)
    assert len(model.calls) == 3
    assert PromptedUser(Canned(""), retries=0).reply([request()])[0].error == (
        "no turn of a user in 1 tries: is empty"
    )


def test_only_the_refused_are_asked_again_and_all_of_them_in_one_call() -> None:
    class Moody(Canned):
        def next(self, dialogue_id: Hashable) -> Completion:
            _, name = dialogue_id  # type: ignore[misc]
            good = super().next(dialogue_id).text == "last" or name == "good"
            return Completion("12 hens" if good else "", [1])

    model = Moody("first", "last")
    replies = PromptedUser(model).reply([request(name=n) for n in ("a", "good", "b")])
    assert [r.text for r in replies] == ["12 hens"] * 3
    assert [r.metadata["retries"] for r in replies] == [1, 0, 1]
    assert [[r.dialogue_id for r in call] for call in model.calls] == [
        [("user", n) for n in ("a", "good", "b")],
        [("user", "a"), ("user", "b")],
    ]


def test_a_model_that_fails_is_not_asked_again() -> None:
    model = Canned("", Completion("", finish_reason="error", error="down"), "12 hens")
    (reply,) = PromptedUser(model).reply([request()])
    assert (reply.error, len(model.calls)) == ("down", 2)


def test_guard_rails_can_be_chosen() -> None:
    said = "12 * 5 = 60, how can I help you?"
    (reply,) = PromptedUser(Canned(said), guards=["empty"]).reply([request()])
    assert (reply.text, reply.metadata["role_breaks"], reply.metadata["retries"]) == (said, 1, 0)
    (bare,) = PromptedUser(Canned(""), guards=[]).reply([request()])
    assert (bare.text, bare.error) == ("", None)
    watched = PromptedUser(Canned(""), "compact", guards=["empty"])
    assert watched.reply([request()])[0].error is not None
    assert watched.identity()["guards"] == ["empty"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guards": ["rol"]}, "unknown guard rail 'rol': did you mean 'role'"),
        ({"guards": "role"}, "guards must be a list of guard rails, got 'role'"),
        ({"retries": -1}, "retries must be an int of at least 0, got -1"),
        ({"retries": True}, "retries must be an int"),
        ({"output": "jsn"}, "unknown output 'jsn': did you mean 'json'"),
        ({"stop_mark": " "}, "stop_mark must be a text, got ' '"),
        ({"prompt": "compact", "output": "json"}, 'output "json" needs the full prompt'),
    ],
)
def test_bad_settings_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PromptedUser(Canned(""), **options)


def test_identity_tells_settings_apart_and_is_json() -> None:
    settings: list[dict[str, Any]] = [
        {}, {"output": "json"}, {"stop_mark": "<end>"}, {"retries": 1}, {"guards": ["role"]}
    ]  # fmt: skip
    identities = [json.dumps(PromptedUser(Canned(""), **s).identity()) for s in settings]
    assert len(set(identities)) == len(settings)


# output --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "text", "stop"),
    [
        ("<think>what now?</think>\n12 hens", "12 hens", False),
        ("User: 12 hens", "12 hens", False),
        ("**Me:** 12 hens", "12 hens", False),
        ('"12 hens"', "12 hens", False),
        ('"12" not "10"', '"12" not "10"', False),
        ("thanks [stop]", "thanks", True),
        ("<think>I never get to the", "", False),
    ],
)
def test_what_stands_around_a_message_is_no_part_of_it(said: str, text: str, stop: bool) -> None:
    assert PromptedUser(Canned(said)).read(said) == (text, stop)


def test_another_stop_mark() -> None:
    user = PromptedUser(Canned("great <|bye|>"), stop_mark="<|bye|>")
    (reply,) = user.reply([request()])
    assert (reply.text, reply.stop) == ("great", True)
    shown = user_view(request(), "full", stop_mark="<|bye|>")[0]["content"]
    assert "<|bye|>" in shown
    assert "[STOP]" not in shown


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"message": "12 hens", "done": false}', ("12 hens", False)),
        ('```json\n{"message": "thanks!", "done": true}\n```', ("thanks!", True)),
        ('{"mood": {}} {"message": "two\nlines"}', ("two\nlines", False)),
        ('{"thought": "{", "message": "ok", "done": "True"}', ("ok", True)),
        ('{"message": "thanks [STOP]"}', ("thanks", True)),
    ],
)
def test_json_is_read(said: str, expected: tuple[str, bool]) -> None:
    assert PromptedUser(Canned(said), output="json").read(said) == expected


@pytest.mark.parametrize(
    "said",
    ["12 hens", "", "{", '{"message": 12}', '{"massage": "x"}', '{"message": "a',
     '{"message": "a", "done": 2}', '{"message": "a", "done": []}', '["message"]', "{" * 5000],
)  # fmt: skip
def test_malformed_json_is_tried_again(said: str) -> None:
    good = '{"message": "12 hens", "done": false}'
    (reply,) = PromptedUser(Canned(said, good), output="json").reply([request()])
    assert (reply.text, reply.metadata["rejected"]) == ("12 hens", ["format"])
    (failed,) = PromptedUser(Canned(said), output="json", retries=1).reply([request()])
    assert failed.error is not None
    assert failed.error.startswith("no turn of a user in 2 tries: ")


@given(st.text(), st.booleans())
def test_json_reads_what_it_writes(text: str, stop: bool) -> None:
    assert read_turn(written_turn(text, stop)) == (text.strip(), stop)


def test_the_history_shows_own_turns_in_the_form_that_is_asked_for() -> None:
    view = user_view(request(), "full", "json")
    assert json.loads(view[2]["content"]) == {"message": TALK[0]["content"], "done": False}
    assert view[3]["content"] == TALK[1]["content"]
    assert '"done": false}' in view[0]["content"]
    assert "[STOP]" not in view[0]["content"]


def test_json_conforms_and_cannot_score() -> None:
    user = PromptedUser(Canned('{"message": "hm, the third one", "done": false}'), output="json", guards=[])
    assert len(check_user_simulator(user)) == 13
    with pytest.raises(NotImplementedError, match="cannot score replies"):
        user.log_prob([], [])


# prompts -------------------------------------------------------------------------------------------


def test_a_problem_without_facts_is_told_whole_and_a_document_is_not() -> None:
    bare = Brief("How many dollars?", (), PROBLEM)
    assert PROBLEM in user_view(request((), brief=bare), "full")[0]["content"]
    assert PROBLEM not in user_view(request((), "document", brief=bare), "full")[0]["content"]
    assert PROBLEM not in user_view(request(()), "full")[0]["content"]


def test_a_role_flipping_model_costs_its_own_dialogue_in_an_environment() -> None:
    model = Canned("i need help with something", "Sure! I can help you with that.")
    env = gym.make("MathChat-v0", simulator=PromptedUser(model, retries=1))
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step("tell me more")
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["end_reason"] == "simulator_failure"
    failure = env.unwrapped.record().extra["failure"]  # type: ignore[attr-defined]
    assert failure == "no turn of a user in 2 tries: speaks as the assistant (2 times)"


def test_the_tiny_model_stays_usable_and_bears_guard_rails() -> None:
    pytest.importorskip("transformers")
    plain, watched = PromptedUser("tiny"), PromptedUser("tiny", guards=GUARDS, retries=8)
    assert (plain.prompt, plain.guards) == ("compact", ())
    [first], [second] = plain.reply([request(())]), watched.reply([request(())])
    assert first.error is None
    if second.metadata.get("retries") == 0:
        assert second.text == first.text
