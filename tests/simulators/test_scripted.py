"""The scripted user: its likelihood is exact, its population behaves as people measurably do."""

import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialogue_gym.dialogue import Message
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import PolicyReply, PolicyRequest, RulePolicy, evaluate
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, Population, ScriptedUser, UserReply, UserRequest
from dialogue_gym.simulators.scripted import _with_value, distribution
from dialogue_gym.tasks import Fact, Kind, Task, task_sources

KINDS: tuple[Kind, ...] = ("math", "document")
SAYINGS = (
    "What is missing?",
    "How many are there at the start?",
    "What is the day? And where is it?",
    "5 + 3 = 8. The answer is 8.",
    "The answer is -4.",
    "Draft: Ben invites you to a concert on Friday. Please bring tea.",
    "ok",
    "",
    "\x00 <|im_end|>",
)
USER = ScriptedUser()


def draw_task(kind: Kind, seed: int) -> Task:
    levels = {"levels": [1, 2, 3], "max_number": 30} if kind == "math" else {}
    source = task_sources[kind].build({"name": "procedural", **levels})
    return source.draw("train", NoiseKey((seed,)))


def talk(task: Task, sayings: Sequence[str], persona: Persona, seed: int) -> UserRequest:
    """The request that follows when the agent said ``sayings``, each answered by the user itself."""
    conversation: list[Message] = []
    for turn in range(len(sayings) + 1):
        key = NoiseKey((seed, turn))
        request = UserRequest(0, task.kind, task.brief, persona, tuple(conversation), key)
        if turn < len(sayings):
            (reply,) = USER.reply([request])
            conversation += [
                {"role": "user", "content": reply.text},
                {"role": "assistant", "content": sayings[turn]},
            ]
    return request


@st.composite
def requests(draw: st.DrawFn) -> UserRequest:
    kind = draw(st.sampled_from(KINDS))
    persona = USER.draw_persona(kind, NoiseKey((draw(st.integers(0, 10**6)),)))
    persona = replace(persona, patience=draw(st.integers(0, 3)), slip=draw(st.sampled_from([0.0, 0.1, 1.0])))
    sayings = draw(st.lists(st.sampled_from(SAYINGS), max_size=4))
    return talk(draw_task(kind, draw(st.integers(0, 999))), sayings, persona, draw(st.integers(0, 999)))


@given(requests())
def test_probabilities_sum_to_one_and_hold_what_is_said(request: UserRequest) -> None:
    outcomes = distribution(request)
    assert math.isclose(sum(outcomes.values()), 1.0, rel_tol=1e-9)
    for i in range(5):
        (reply,) = USER.reply([replace(request, key=NoiseKey((i,)))])
        (found,) = USER.log_prob([request], [reply])
        assert outcomes[reply.text, reply.stop] == pytest.approx(math.exp(found.total))
        assert found.stop <= 1e-9
        assert found.text <= 1e-9
    (impossible,) = USER.log_prob([request], [UserReply("never said")])
    assert impossible.text == -math.inf


FREQUENCY_CASES: list[tuple[Kind, list[str]]] = [
    ("math", []),
    ("math", ["What is missing?"]),
    ("math", ["ok", "5 + 3 = 8. The answer is 8."]),
    ("document", ["What is the day?"]),
    ("document", ["Draft: Ben invites you to a concert on Friday. Please bring tea."]),
]


@pytest.mark.parametrize(("kind", "sayings"), FREQUENCY_CASES)
def test_replies_are_as_frequent_as_their_probability(kind: Kind, sayings: list[str]) -> None:
    persona = Persona(slip=0.2, patience=1)
    request = talk(draw_task(kind, 4), sayings, persona, 8)
    expected = distribution(request)
    n = 2000
    counts = dict.fromkeys(expected, 0)
    for reply in USER.reply([replace(request, key=NoiseKey(("frequency", i))) for i in range(n)]):
        counts[reply.text, reply.stop] += 1
    assert len(expected) > 1
    # chi-square of the outcomes that are not too rare; its mean is their number, its deviation sqrt(2 k)
    common = [key for key, p in expected.items() if n * p >= 5]
    statistic = sum((counts[k] - n * expected[k]) ** 2 / (n * expected[k]) for k in common)
    assert statistic < len(common) + 4 * math.sqrt(2 * len(common))


@given(requests(), st.lists(requests(), max_size=4), st.randoms())
@settings(max_examples=40)
def test_a_reply_depends_on_its_request_alone(
    request: UserRequest, neighbours: list[UserRequest], random: Any
) -> None:
    (alone,) = USER.reply([request])
    batch = [request, *neighbours]
    random.shuffle(batch)
    assert ScriptedUser().reply(batch)[batch.index(request)] == alone
    assert USER.reply([replace(request, dialogue_id="other")]) == [alone]


# what a user does ----------------------------------------------------------------------------------


def test_facts_held_back_are_told_when_asked() -> None:
    persona = Persona(disclosure=0.0, slip=0.0, patience=99)
    for seed in range(30):
        task = draw_task("math", seed)
        request = talk(task, ["Which numbers are missing?"] * len(task.brief.facts), persona, seed)
        said = "\n".join(m["content"] for m in request.conversation if m["role"] == "user")
        (last,) = USER.reply([request])
        assert not re.search(r"\d", request.conversation[0]["content"])
        for fact in task.brief.facts:
            assert re.search(rf"\b{fact.value}\b", f"{said}\n{last.text}")


def test_each_fact_is_told_when_it_alone_is_asked_for() -> None:
    persona = Persona(disclosure=0.0, slip=0.0, patience=99)
    for seed in range(40):
        task = draw_task("document", seed)
        for fact in task.brief.facts:
            (reply,) = USER.reply([talk(task, [f"What is the {fact.name}?"], persona, seed)])
            assert reply.metadata["asked"] == [fact.name]
            assert reply.metadata["told"] == [fact.name]
            assert fact.value.lower() in reply.text.lower()


def test_metadata_say_what_the_opening_told_and_held() -> None:
    for kind in KINDS:
        for seed in range(20):
            task = draw_task(kind, seed)
            (reply,) = USER.reply([talk(task, [], Persona(), seed)])
            names = [fact.name for fact in task.brief.facts]
            assert sorted(reply.metadata["told"] + reply.metadata["held"]) == sorted(names)
            for fact in task.brief.facts:
                told = re.search(rf"\b{re.escape(fact.value.lower())}\b", reply.text.lower())
                assert bool(told) is (fact.name in reply.metadata["told"])


def test_slips_are_said_first_and_corrected_later() -> None:
    persona = Persona(disclosure=0.0, slip=1.0, correction=1.0, patience=99)
    for seed in range(20):
        task = draw_task("document", seed)
        fact = task.brief.facts[0]
        first = talk(task, [f"What is the {fact.name}?"], persona, seed)
        second = talk(task, [f"What is the {fact.name}?", "ok"], persona, seed)
        (slip,), (corrected,) = USER.reply([first]), USER.reply([second])
        assert fact.slip.lower() in slip.text.lower()
        assert fact.value.lower() not in slip.text.lower()
        assert fact.value.lower() in corrected.text.lower()


def test_the_user_does_not_know_the_answer() -> None:
    for seed in range(60):
        task = draw_task("math", seed)
        told = {fact.value for fact in task.brief.facts} | {fact.slip for fact in task.brief.facts}
        for sayings in (["What is the answer?"], ["The answer is 7."], ["ok", "Is it right?"]):
            for text, _ in distribution(talk(task, sayings, Persona(patience=0), seed)):
                assert set(re.findall(r"\d+", text)) <= told


def accepts(task: Task, answer: str, persona: Persona) -> float:
    """Probability of stopping at an answer when everything was told at first."""
    request = talk(task, [answer], replace(persona, disclosure=1.0, slip=0.0, patience=99), 0)
    return sum(p for (_, stop), p in distribution(request).items() if stop)


def test_an_answer_is_accepted_by_what_can_be_seen_of_it() -> None:
    task = draw_task("math", 3)
    values = " + ".join(fact.value for fact in task.brief.facts)
    persona = Persona(trust=0.8)
    shown = f"{values} = {{}}. The answer is {{}} {task.brief.unit}."
    good = accepts(task, shown.format(9, 9), persona)
    assert good == pytest.approx(0.8)
    # right or wrong makes no difference to somebody who does not know
    assert accepts(task, shown.format(task.reference.answer, task.reference.answer), persona) == good
    assert accepts(task, f"{values} = 9. The answer is 9.", persona) == pytest.approx(0.8 * 0.9)
    assert accepts(task, f"The answer is 9 {task.brief.unit}.", persona) < 0.8 * good
    assert accepts(task, shown.format(-9, -9), persona) < 0.1 * good
    assert accepts(task, "What is missing?", persona) == 0.0


# the population ------------------------------------------------------------------------------------


class Constant:
    """An agent that says one thing for ever."""

    def __init__(self, text: str) -> None:
        self.text = text

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        return [PolicyReply(self.text) for _ in requests]

    def forget(self, dialogue_ids: Any) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"name": "constant"}


def play_population(kind: Kind, policy: Any, **keywords: Any) -> list[DialogueRecord]:
    records: list[DialogueRecord] = []
    collect: Callable[[Any], None] = lambda trajectory: records.append(trajectory.record)  # noqa: E731
    env = DialogueVectorEnv(kind, 64, "Disabled", **keywords)
    evaluate(env, policy, 256, on_dialogue=collect)
    return records


def user_turns(records: Sequence[DialogueRecord]) -> list[str]:
    return [m["content"] for r in records for m in r.messages if m["role"] == "user"]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_population_writes_as_people_do(kind: Kind, split: str) -> None:
    turns = user_turns(play_population(kind, RulePolicy(kind), split=split))
    words = [len(text.split()) for text in turns]
    polite = [bool(re.search(r"\b(?:please|thanks|thank|sorry)\b", text.lower())) for text in turns]
    assert 0.22 <= statistics.mean(count <= 3 for count in words) <= 0.38
    assert 5 <= statistics.median(words) <= 9
    assert statistics.mean(polite) <= 0.25


@pytest.mark.parametrize("kind", KINDS)
def test_patience_ends_dialogues_with_a_useless_agent(kind: Kind) -> None:
    records = play_population(kind, Constant("ok"), max_turns=30)
    turns = [len(record.messages) // 2 for record in records]
    assert 8 <= statistics.median(turns) <= 14
    assert statistics.mean(record.end_reason == "user_stop" for record in records) > 0.95
    assert min(turns) >= 6


@pytest.mark.parametrize("kind", KINDS)
def test_most_openings_hold_something_back(kind: Kind) -> None:
    records = play_population(kind, Constant("ok"), max_turns=1)
    held = statistics.mean(bool(record.turns_metadata[0]["held"]) for record in records)
    assert 0.6 <= held <= 1.0
    assert any(record.turns_metadata[0]["told"] for record in records)


def test_personas_lie_within_their_bounds_and_follow_their_key() -> None:
    population = Population()
    drawn = [population.draw(NoiseKey((i,))) for i in range(300)]
    for name in ("disclosure", "terseness", "politeness", "slip", "correction", "trust", "patience"):
        low, high = getattr(population, name)
        values = [getattr(persona, name) for persona in drawn]
        assert low <= min(values) < max(values) <= high
    assert statistics.mean(persona.lowercase for persona in drawn) == pytest.approx(
        population.lowercase, abs=0.1
    )
    assert drawn[0] == population.draw(NoiseKey((0,)))


def test_a_population_can_be_given_by_its_fields() -> None:
    user = ScriptedUser({"disclosure": (0.9, 0.9)})
    for kind in KINDS:
        assert user.draw_persona(kind, NoiseKey((1,))).disclosure == 0.9
    assert user.identity() != ScriptedUser().identity()


def test_a_slip_replaces_the_value_as_a_whole_word() -> None:
    fact = Fact("dogs", "1", "there are 10 cats and 1 dog", slip="2")
    assert _with_value(fact, "2") == "there are 10 cats and 2 dog"
