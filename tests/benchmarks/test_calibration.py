"""The tiny world that calibration is judged in: exact divergences, attainable stops, controls."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")

from benchmarks.calibration.__main__ import Settings, report, run
from benchmarks.calibration.world import OTHER, REFERENCE, HeldOut, dialogues, shuffled, soft_f1
from dialogue_gym.calibration.fit import FitSettings
from dialogue_gym.simulators import ReplyLogProb, ScriptedUser
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return HeldOut.of("math", 30, 7)


def test_the_population_diverges_from_itself_by_nothing(held_out: HeldOut) -> None:
    np.testing.assert_array_equal(held_out.divergence(held_out.exact), 0.0)


def test_another_population_diverges(held_out: HeldOut) -> None:
    other = PopulationLikelihood(ScriptedUser({**REFERENCE, "patience": (10, 12), "disclosure": (0.5, 0.9)}))
    turns = [[t for t, d in zip(held_out.turns, held_out.dialogue, strict=True) if d == i] for i in range(30)]
    found = held_out.divergence([value for part in turns for value in other.log_prob(part)])
    assert found.mean() > 0.2


def test_hazards_are_probabilities_of_stopping_whatever_happened(held_out: HeldOut) -> None:
    always = [ReplyLogProb(math.log(0.3) if s else math.log(0.7), -1.0) for s in held_out.stopped()]
    np.testing.assert_allclose(held_out.hazards(always), 0.3)


def test_attainable_f1_holds_what_the_true_hazard_gets(held_out: HeldOut) -> None:
    low, high = held_out.attainable_f1()
    assert 0 < low < held_out.stop_f1(held_out.exact) < high < 1


def test_soft_f1_by_hand() -> None:
    assert soft_f1(np.array([True, False]), np.array([0.5, 0.25])) == pytest.approx(2 * 0.5 / (1 + 0.75))
    assert soft_f1(np.array([True, False]), np.array([1.0, 0.0])) == 1


def test_shuffling_keeps_agents_and_what_users_say_as_a_whole() -> None:
    records = dialogues("math", 20, 0, OTHER)
    changed = shuffled(records, 0)
    for before, after in zip(records, changed, strict=True):
        assert [m["content"] for m in after.messages[1::2]] == [m["content"] for m in before.messages[1::2]]
    said = [sorted(m["content"] for r in part for m in r.messages[::2]) for part in (records, changed)]
    assert said[0] == said[1]
    assert [r.messages[0] for r in records] != [r.messages[0] for r in changed]


def test_a_small_run_reports_every_arm_and_uses_finished_fits_again(tmp_path: Path) -> None:
    small = FitSettings(epochs=0.5, evaluations=1, cpu=True)
    settings = Settings(dialogues=30, held_out=10, seeds=1, controls=False, fit=small, out=tmp_path)
    first = run(settings)
    assert "calibrated" in report(first)
    assert {"prompted", "calibrated"} == first["seeds"][0]["arms"].keys()
    assert run(replace(settings)) == first
