"""The population's likelihood: exact, against enumeration, Monte Carlo and single personas."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from dialogue_gym.dialogue import Message
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, Population, ScriptedUser, UserReply, UserRequest
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood
from dialogue_gym.simulators.scripted import distribution
from dialogue_gym.simulators.user_turns import UserTurn
from dialogue_gym.tasks import Kind, task_sources

KINDS: tuple[Kind, ...] = ("math", "document")
WIDE = Population(slip=(0.0, 0.4), patience=(1, 3))


SAYINGS = {
    "math": ("What numbers are missing?", "5 + 3 = 8. The answer is 8.", "ok"),
    "document": (
        "What is missing?",
        "Draft: Ben invites you to a concert on Friday. Please bring tea.",
        "ok",
    ),
}


@cache
def dialogues(kind: Kind, population: Population = WIDE) -> list[list[UserTurn]]:
    """A dozen dialogues about briefs of two facts: so few that all outcomes can be listed."""
    return [play(kind, ScriptedUser(population), NoiseKey((kind, i))) for i in range(12)]


def play(kind: Kind, user: ScriptedUser, key: NoiseKey) -> list[UserTurn]:
    brief = task_sources[kind].build("procedural").draw("train", key).brief
    brief = replace(brief, facts=brief.facts[:2])
    persona = user.draw_persona(kind, key)
    turns: list[UserTurn] = []
    talk: list[Message] = []
    for index in range(4):
        request = UserRequest(0, kind, brief, persona, tuple(talk), key.child(index))
        (reply,) = user.reply([request])
        turns.append(UserTurn(replace(request, persona=Persona()), reply, index, True))
        if reply.stop or index == 3:
            return turns
        talk += [
            {"role": "user", "content": reply.text},
            {"role": "assistant", "content": SAYINGS[kind][index]},
        ]
    return turns


def outcomes(turn: UserTurn) -> set[tuple[str, bool]]:
    """All that any persona can say here."""
    found: set[tuple[str, bool]] = set()
    for lowercase in (True, False):
        for punctuation in (True, False):
            for patience in (0, 99):
                persona = Persona(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, patience, lowercase, punctuation)
                found |= distribution(replace(turn.request, persona=persona)).keys()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_probabilities_of_all_outcomes_sum_to_one(kind: Kind) -> None:
    likelihood = PopulationLikelihood(ScriptedUser(WIDE))
    for number, turns in enumerate(dialogues(kind)[:3]):
        depth = number % len(turns)
        *before, turn = turns[: depth + 1]
        total = 0.0
        stops = {False: 0.0, True: 0.0}
        for text, stop in outcomes(turn):
            found = likelihood.log_prob([*before, replace(turn, reply=UserReply(text, stop))])[-1]
            total += math.exp(found.total)
            stops[stop] = math.exp(found.stop)
        assert total == pytest.approx(1.0, abs=1e-9)
        assert sum(stops.values()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_it_agrees_with_the_average_over_drawn_personas(kind: Kind) -> None:
    user = ScriptedUser(WIDE)
    personas = [user.draw_persona(kind, NoiseKey(("drawn", i))) for i in range(100)]
    for turns in dialogues(kind)[:1]:
        exact = np.cumsum([r.total for r in PopulationLikelihood(user).log_prob(turns)])
        logs = np.zeros((len(personas), len(turns)))
        for t, turn in enumerate(turns):
            asked = [replace(turn.request, persona=persona) for persona in personas]
            logs[:, t] = [r.total for r in user.log_prob(asked, [turn.reply] * len(personas))]
        sampled = np.exp(np.cumsum(logs, axis=1))  # of the dialogue so far, one row a persona
        error = sampled.std(axis=0) / math.sqrt(len(personas))
        assert (np.abs(np.exp(exact) - sampled.mean(axis=0)) <= 4.5 * error + 1e-15).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_population_of_one_is_the_scripted_user_itself(kind: Kind) -> None:
    persona = Persona(slip=0.2, patience=2)
    fields = persona.to_dict()
    bounds: dict[str, Any] = {k: (v, v) for k, v in fields.items() if not isinstance(v, bool)}
    population = Population(**bounds, lowercase=1.0, punctuation=0.0)
    user = ScriptedUser(population)
    assert user.draw_persona(kind, NoiseKey((1,))) == persona
    for turns in dialogues(kind, population):
        own = user.log_prob(
            [replace(turn.request, persona=persona) for turn in turns], [turn.reply for turn in turns]
        )
        for found, expected in zip(PopulationLikelihood(user).log_prob(turns), own, strict=True):
            assert found.stop == pytest.approx(expected.stop, abs=1e-9)
            assert found.text == pytest.approx(expected.text, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_the_population_says_is_possible(kind: Kind) -> None:
    likelihood = PopulationLikelihood(ScriptedUser(WIDE))
    for turns in dialogues(kind):
        for found in likelihood.log_prob(turns):
            assert -100 < found.total <= 1e-9
            assert max(found.stop, found.text) <= 1e-9


def test_what_nobody_says_has_no_probability_and_changes_nothing_later() -> None:
    likelihood = PopulationLikelihood(ScriptedUser(WIDE))
    turns = next(turns for turns in dialogues("math") if len(turns) > 2)
    odd = [replace(turns[0], reply=UserReply("xyzzy")), *turns[1:]]
    found = likelihood.log_prob(odd)
    assert found[0].text == -math.inf
    assert all(math.isfinite(f.total) for f in found[1:])


def test_what_was_said_tells_who_is_speaking() -> None:
    """Lower case at first makes lower case later nearly sure."""
    likelihood = PopulationLikelihood(ScriptedUser(WIDE))
    for turns in dialogues("math"):
        opening, second = turns[0], turns[1]
        if second.reply.text.islower() and opening.reply.text.islower():
            other = replace(second, reply=UserReply(second.reply.text.capitalize(), second.reply.stop))
            assert likelihood.log_prob([opening, other])[-1].text == -math.inf
            return
    pytest.fail("no dialogue in lower case")


def test_a_dialogue_without_its_opening_is_refused() -> None:
    likelihood = PopulationLikelihood(ScriptedUser())
    assert likelihood.log_prob([]) == []
    with pytest.raises(ValueError, match="the first turn must be the opening"):
        likelihood.log_prob(dialogues("math")[0][1:])
