"""Degraded users do what their likelihood says, and valid metrics are told from others."""

from collections import Counter
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from benchmarks.metric_validity.__main__ import Measured, Settings, dialogues, main, validities
from benchmarks.metric_validity.users import FAULTS, DegradedUser, degraded_users
from dialogue_gym.calibration.realism.speech import two_speakers
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ScriptedUser
from dialogue_gym.simulators.base import ReplyLogProb, UserReply
from dialogue_gym.simulators.user_turns import user_turns


@pytest.fixture(scope="module")
def held_out() -> list[DialogueRecord]:
    return dialogues(Settings(), ScriptedUser(), 0, 8)


@pytest.fixture(scope="module")
def users(held_out) -> dict[str, DegradedUser]:
    return {user.name: user for user in degraded_users("math", held_out, held_out[:4])}


def total(user, held_out):
    spoken = list(two_speakers(held_out, user)[1].turns())
    return np.array([turn.log_prob.total for turn in spoken])


def test_every_user_can_say_all_that_the_population_says(users, held_out):
    assert len({user.family for user in users.values()}) >= 12
    for user in users.values():
        assert np.isfinite(total(user, held_out)).all(), user.name


def test_the_divergence_of_a_fault_that_the_population_never_shows_is_known(users, held_out):
    exact = total(users["the population"], held_out)
    for rate in (0.1, 0.6):
        gap = exact - total(users[f"plays the assistant {rate}"], held_out)
        assert gap == pytest.approx(-log(1 - rate))


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "never stops"])
def test_faults_are_said_as_often_as_they_say(name, held_out):
    fault, turn = FAULTS[name], user_turns(held_out[0])[1]
    requests = [replace(turn.request, key=NoiseKey((i,))) for i in range(2000)]
    counts = Counter((r.text, r.stop) for r in (fault.reply(q, turn.reply) for q in requests))
    nothing = ReplyLogProb(0.0, 0.0)
    chances = {o: fault.chances(turn.request, UserReply(*o), nothing)[1] for o in counts}
    assert sum(chances.values()) == pytest.approx(1)
    for outcome, count in counts.items():
        assert count / 2000 == pytest.approx(chances[outcome], abs=0.05)


def test_who_never_stops_says_a_sentence_where_the_population_stops(held_out):
    fault, request = FAULTS["never stops"], user_turns(held_out[0])[1].request
    assert fault.reply(request, UserReply("thanks", stop=True)) == UserReply("are you sure?")
    goes_on = ReplyLogProb(log(0.75), log(0.2))
    assert fault.chances(request, UserReply("are you sure?"), goes_on) == (1, pytest.approx(0.4))
    assert fault.chances(request, UserReply("12"), goes_on) == (1, pytest.approx(0.15))
    assert fault.chances(request, UserReply("thanks", stop=True), goes_on) == (0, 0)


def test_the_likelihood_of_a_mixture_is_the_mixture(users, held_out):
    population, mixed = users["the population"], users["stops at once 0.3"]
    turn = user_turns(held_out[0])[-1]
    p = population.log_prob([turn.request], [turn.reply])[0]
    q = mixed.log_prob([turn.request], [turn.reply])[0]
    assert turn.reply.stop
    assert exp(q.stop) == pytest.approx(0.7 * exp(p.stop) + 0.3)
    said = 0.3 * (turn.reply.text == "Thanks")
    assert exp(q.total) == pytest.approx(0.7 * exp(p.total) + said)


def test_a_metric_that_follows_is_kept_and_others_are_not():
    rng = np.random.default_rng(0)
    divergence = np.repeat(rng.random((30, 1)), 21, axis=1)
    badness = {
        "noise": rng.random((30, 21)),
        "constant": np.zeros((30, 21)),
        "monotone": divergence**3,
        "backwards": -divergence,
    }
    families = ["none", *("one", "other") * 14, "one"]
    rows = {row.metric: row for row in validities(Measured(families, families, divergence, badness))}
    assert next(iter(rows)) == "monotone"
    assert (rows["monotone"].rho, rows["monotone"].families) == (pytest.approx(1), 2)
    assert rows["backwards"].rho == pytest.approx(-1)
    assert rows["constant"].rho is None
    assert [rows[name].verdict for name in badness] == ["dropped", "dropped", "kept", "dropped"]


def test_rates_that_leave_nothing_of_the_population_are_refused():
    with pytest.raises(ValueError, match=r"less than 1, got 1\.0"):
        DegradedUser("all bad", "bad", ScriptedUser(), lambda request, reply: ReplyLogProb(0, 0), None, 1.0)


def test_bad_settings_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--env", "NoChat-v0"])
    assert "MathChat-v0" in capsys.readouterr().err
