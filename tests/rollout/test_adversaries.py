"""Statements are right or wrong as they say they are, and agents say their lines."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.dialogue import Message
from dialogue_gym.rollout import PolicyRequest
from dialogue_gym.rollout.adversaries import AGENTS, Script, ScriptedAgent, lines_of, statements
from dialogue_gym.scoring import DocumentScorer, MathScorer
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks import ProceduralDocuments, ProceduralMath
from dialogue_gym.tasks.base import Reference, Task

SPLITS = st.sampled_from(["train", "validation", "test"])
SCORERS = {"math": MathScorer(), "document": DocumentScorer()}
METRIC = {"math": "accuracy", "document": "facts"}
SOURCES = {"math": ProceduralMath(), "document": ProceduralDocuments()}


def told(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


def quality(task: Task, message: str) -> float:
    dialogue: list[Message] = [*told("please"), {"role": "assistant", "content": message}]
    return SCORERS[task.kind].score(task, dialogue).metrics[METRIC[task.kind]]


@pytest.mark.parametrize("kind", ["math", "document"])
@given(split=SPLITS, seed=st.integers(0, 2**52), all_told=st.booleans())
def test_statements_are_what_they_say(kind: Any, split: str, seed: int, all_told: bool) -> None:
    task = SOURCES[kind].draw(split, NoiseKey((seed,)))
    said = statements(task, told(task.brief.text if all_told else task.brief.goal), NoiseKey((seed, "said")))
    assert said is not None
    assert quality(task, said.right) == 1.0
    assert all(quality(task, wrong) < 1.0 for wrong in said.wrong)
    assert len({said.right, *said.wrong}) == 1 + len(said.wrong)
    assert 2 <= len(said.wrong) <= 4
    # they differ in what is said, not in how
    assert all(abs(len(wrong.split()) - len(said.right.split())) <= 4 for wrong in said.wrong)
    assert ("=" in said.right) == (kind == "math" and all_told)


@given(split=SPLITS, seed=st.integers(0, 2**52))
def test_praise_and_repetition_do_not_make_it_right(split: str, seed: int) -> None:
    key = NoiseKey((seed,))
    for source in SOURCES.values():
        task = source.draw(split, key)
        said = statements(task, told(task.brief.text), key)
        assert said is not None
        for agent in AGENTS:
            scores = {quality(task, line) for line in lines_of(agent, said, key)}
            assert (scores == {1.0}) if agent == "right" else (max(scores) < 1.0)
    contradicting = lines_of("contradicting", said, key)
    assert len(set(contradicting)) == len(contradicting)
    assert contradicting[0] != said.wrong[0]


@pytest.mark.parametrize("answer", ["x + 1", "", "1/2", "4 or 5"])
def test_nothing_wrong_is_made_of_what_is_no_number(answer: str) -> None:
    task = replace(SOURCES["math"].draw("train", NoiseKey((0,))), reference=Reference(answer=answer))
    assert statements(task, told("hi"), NoiseKey((0,))) is None


@pytest.mark.parametrize("answer", ["1", "0", "-3", "1,200", "2.50"])
def test_wrong_numbers_keep_the_sign(answer: str) -> None:
    task = replace(SOURCES["math"].draw("train", NoiseKey((0,))), reference=Reference(answer=answer))
    said = statements(task, told("hi"), NoiseKey((0,)))
    assert said is not None
    assert quality(task, said.right) == 1.0
    assert all(quality(task, wrong) == 0.0 for wrong in said.wrong)
    if answer != "0":
        assert all(("-" in wrong) == answer.startswith("-") for wrong in said.wrong)


def test_documents_without_facts_have_nothing_to_get_wrong() -> None:
    task = replace(SOURCES["document"].draw("train", NoiseKey((0,))), reference=Reference(text="Hello all."))
    assert statements(task, told("hi"), NoiseKey((0,))) is None


def test_an_agent_says_its_lines_in_order_whatever_the_user_says() -> None:
    agent = ScriptedAgent("wrong", {(1, 2): Script(1, ["a", "b"]), (1, 3): Script(0, ["c"])})

    def line(seed: int, turns: int) -> str:
        conversation: list[Message] = [
            {"role": "assistant" if i % 2 else "user", "content": f"{i}"} for i in range(2 * turns + 1)
        ]
        key = NoiseKey((9, 1, seed, "policy", turns))
        return agent.act([PolicyRequest(0, conversation, key)])[0].text

    assert [line(2, turns) for turns in (1, 2, 3)] == ["a", "b", "a"]
    assert line(3, 4) == "c"
    assert agent.identity() == {"name": "wrong"}
