"""The likelihood of the log's users under a simulator: exact, of a population, or missing and why."""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from math import exp

import pytest

from dialogue_gym.calibration.realism import measure_realism
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.simulators import ReplyLogProb, ScriptedUser, UserReply, UserRequest
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood
from dialogue_gym.simulators.user_turns import user_turns
from tests.calibration.conftest import ONE, Parrot, measured, played


def test_fit_of_one_who_knows(records: list[DialogueRecord]) -> None:
    realism = measure_realism(records, Parrot(records), resamples=20)
    assert measured(realism, "nats_per_character") == pytest.approx(0.5)
    turns = [t for i, r in enumerate(records) for t in user_turns(r, i)]
    assert measured(realism, "nats_per_turn") == pytest.approx(
        0.5 * sum(len(t.reply.text) for t in turns) / len(turns)
    )
    assert measured(realism, "stop_f1") == 1.0
    assert measured(realism, "stop_precision") == measured(realism, "stop_recall") == 1.0
    assert measured(realism, "stop_brier") == 0.0


def test_likelihoods_that_cannot_be_are_not_made_up(records: list[DialogueRecord]) -> None:
    shouting = deepcopy(records)
    for record in shouting:
        record.messages[0]["content"] = "NOBODY SAYS THIS"
    realism = measure_realism(shouting, ScriptedUser(ONE), resamples=20)
    assert realism["nats_per_turn"].simulator is None
    assert "impossible for the simulator" in realism["nats_per_turn"].why_not


@pytest.fixture(scope="module")
def strangers() -> list[DialogueRecord]:
    """Dialogues of the default population, as logs of people show them: without personas."""
    return [replace(record, persona=None) for record in played(24, 3000, population=None)]


def test_a_population_knows_the_likelihood_of_users_whose_persona_nobody_logged(
    strangers: list[DialogueRecord],
) -> None:
    likelihood = PopulationLikelihood(ScriptedUser())
    turns = [user_turns(record, i) for i, record in enumerate(strangers)]
    exact = [log_prob for dialogue in turns for log_prob in likelihood.log_prob(dialogue)]
    realism = measure_realism(strangers, ScriptedUser(), resamples=20)
    own = measured(realism, "nats_per_turn")
    assert own == pytest.approx(-sum(log_prob.total for log_prob in exact) / len(exact))
    chances = [exp(log_prob.stop) for log_prob in exact]  # of stopping as they did
    stoppable = [c for c, turn in zip(chances, chain(*turns), strict=True) if not turn.is_opening]
    brier = sum((1 - chance) ** 2 for chance in stoppable) / len(stoppable)
    assert measured(realism, "stop_brier") == pytest.approx(brier, rel=0.05)  # over random halves
    other = ScriptedUser({"disclosure": [0.05, 0.95], "patience": [1, 20], "slip": [0.0, 0.5]})
    assert measured(measure_realism(strangers, other, resamples=20), "nats_per_turn") > own


def test_turns_that_no_persona_says_are_counted_and_leave_the_hazards(
    strangers: list[DialogueRecord],
) -> None:
    odd = deepcopy(strangers)
    odd[0].messages[0]["content"] = "NOBODY SAYS THIS"
    realism = measure_realism(odd, ScriptedUser(), resamples=20)
    assert f"1 of {realism.turns} logged turns are impossible" in realism["nats_per_turn"].why_not
    assert realism["nats_per_character"].simulator is None
    assert 0 < measured(realism, "stop_brier") < 1
    json.dumps(realism.to_dict(), allow_nan=False)
    assert "are impossible for the simulator" in realism.table()
    assert "are impossible for the simulator" in realism.to_html()


def test_without_its_beginning_an_excerpt_does_not_show_who_is_speaking(
    strangers: list[DialogueRecord],
) -> None:
    cut = [replace(strangers[0], extra={"censored": ["beginning"]}), *strangers[1:]]
    realism = measure_realism(cut, ScriptedUser(), resamples=20)
    missing = len(user_turns(cut[0]))
    assert f"likelihood of {missing} of {realism.turns} logged turns" in realism["nats_per_turn"].why_not
    assert 0 < measured(realism, "stop_brier") < 1


def test_a_subclass_may_run_another_program(strangers: list[DialogueRecord]) -> None:
    class Sure(ScriptedUser):
        def log_prob(
            self, requests: Sequence[UserRequest], replies: Sequence[UserReply]
        ) -> list[ReplyLogProb]:
            return [ReplyLogProb(-0.5, -0.5) for _ in replies]

    realism = measure_realism(strangers, Sure(), resamples=20)
    assert measured(realism, "nats_per_turn") == pytest.approx(1.0)
