"""The finite process equals its closed forms; the theorems hold for any process; equal ones have no gap."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.compounding_shift.__main__ import main
from benchmarks.compounding_shift.chains import (
    REWARD,
    closed_error,
    closed_gap,
    dialogue,
    mixed,
    random_process,
)
from benchmarks.compounding_shift.estimated import (
    TinySettings,
    World,
    describe,
    divergence_bound,
    policy_ratios,
    share_apart,
    user_ratios,
)
from benchmarks.compounding_shift.exact import SHIFTS, closed_form, random_ensemble, two_processes
from benchmarks.compounding_shift.process import Process, compare, exponent, history_errors, total_variation
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood

TINY = 1e-12
chances = st.just(0.0) | st.floats(1e-4, 0.5)  # below, the closed forms lose their digits to cancellation


# closed forms --------------------------------------------------------------------------------------


def test_an_absorbing_chain_errs_by_the_chance_of_having_failed_once() -> None:
    curves = compare(dialogue(), dialogue(guess=0.03), REWARD, 12, "policy")
    survived = 0.97 ** np.arange(1, 13)
    np.testing.assert_allclose(curves.error, 1 - survived, atol=TINY)
    np.testing.assert_allclose(curves.history_error, 1 - survived, atol=TINY)
    sums = np.arange(1, 13) - 0.97 * (1 - survived) / 0.03
    np.testing.assert_allclose(curves.gap, sums, atol=TINY)
    np.testing.assert_allclose(curves.last_gap, 1 - survived, atol=TINY)
    np.testing.assert_allclose(curves.per_turn, 0.03, atol=TINY)


@given(size=chances, recovery=chances, shift=st.sampled_from(SHIFTS))
def test_both_chains_equal_their_closed_forms(size, recovery, shift) -> None:
    curves = compare(*two_processes(shift, size, recovery), REWARD, 12, shift)
    error, gap = closed_form(shift, size, recovery, 12)
    np.testing.assert_allclose(curves.error, error, atol=1e-9)
    np.testing.assert_allclose(np.abs(curves.gap), gap, atol=1e-9)


def test_closed_forms_without_a_shift_or_recovery_are_zero() -> None:
    assert not closed_error(0.0, 0.0, 5).any()
    assert not closed_gap(0.0, 0.0, 5).any()


def test_static_contexts_err_one_turn_later() -> None:
    policy, static = (compare(dialogue(), dialogue(guess=0.1), REWARD, 6, s) for s in ("policy", "static"))
    np.testing.assert_allclose(static.error[0], 0)
    np.testing.assert_allclose(static.error[1:], 0.9 * policy.error[:-1])
    np.testing.assert_allclose(static.uniform_bound, 0.1 * np.array([0, 1, 3, 6, 10, 15]))
    np.testing.assert_allclose(policy.uniform_bound, 0.1 * np.array([1, 3, 6, 10, 15, 21]))


@pytest.mark.parametrize("recovery", [0.0, 0.5])
@pytest.mark.parametrize("shift", SHIFTS)
def test_exponents_tend_to_two_without_recovery_and_to_one_with(shift, recovery) -> None:
    curves = compare(*two_processes(shift, 1e-7, recovery), REWARD, 1000, shift, histories=False)
    assert exponent(curves.gap, 500, 1000) == pytest.approx(1 if recovery else 2, abs=0.01)
    assert exponent(curves.uniform_bound, 500, 1000) == pytest.approx(2, abs=0.01)


def test_one_reward_at_the_end_saturates() -> None:
    curves = compare(dialogue(), dialogue(guess=0.5), REWARD, 12, "policy")
    assert curves.last_gap.max() <= 1
    assert exponent(curves.last_gap, 6, 12) < 0.05


def test_the_past_cannot_be_undone_but_the_state_recovers() -> None:
    curves = compare(dialogue(recovery=0.5), dialogue(guess=0.01, recovery=0.5), REWARD, 12, "policy")
    np.testing.assert_allclose(curves.history_error, 1 - 0.99 ** np.arange(1, 13))
    assert curves.error.max() < 0.02


# any process ---------------------------------------------------------------------------------------


def shifted(seed: int, shift: str, share: float) -> tuple[Process, Process]:
    rng = np.random.default_rng(seed)
    one = random_process(rng, states=4, acts=2, replies=2, concentration=rng.choice([0.1, 1.0]))
    policy = mixed(one.policy, share, rng) if shift != "simulator" else one.policy
    user = mixed(one.user, share, rng) if shift == "simulator" else one.user
    other = Process(one.start, policy, user, one.following)
    return (other, one) if rng.random() < 0.5 else (one, other)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.sampled_from(SHIFTS), share=st.floats(0.0, 1.0))
def test_the_theorems_hold_for_random_processes(seed, shift, share) -> None:
    reward = np.random.default_rng(seed).random(4)
    curves = compare(*shifted(seed, shift, share), reward, 5, shift)
    assert (curves.error <= curves.history_error + TINY).all()
    assert (curves.history_error <= curves.error_bound + TINY).all()
    assert (np.diff(curves.history_error) >= -TINY).all()
    assert (np.abs(curves.last_gap) <= curves.error + TINY).all()
    assert (np.abs(curves.gap) <= np.cumsum(curves.error) + TINY).all()
    assert (np.cumsum(curves.error) <= curves.gap_bound + TINY).all()
    assert (curves.gap_bound <= curves.uniform_bound + TINY).all()
    assert curves.largest <= share + TINY


def test_the_bound_weighs_each_turn_by_how_many_follow() -> None:
    curves = compare(*shifted(3, "policy", 0.5), np.ones(4) / 2, 6, "policy")
    expected = [sum((h - i + 1) * curves.per_turn[i - 1] for i in range(1, h + 1)) for h in range(1, 7)]
    np.testing.assert_allclose(curves.gap_bound, expected)


@given(seed=st.integers(0, 10**6), shift=st.sampled_from(SHIFTS))
@settings(max_examples=20, deadline=None)
def test_equal_processes_have_no_error_and_no_gap(seed, shift) -> None:
    one, _ = shifted(seed, shift, 0.3)
    curves = compare(one, one, np.random.default_rng(seed).random(4), 4, shift)
    for name in ("per_turn", "error", "history_error", "gap", "last_gap", "gap_bound"):
        np.testing.assert_allclose(getattr(curves, name), 0, atol=1e-15, err_msg=name)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_pooled_histories_equal_all_histories(seed) -> None:
    training, deployment = shifted(seed, "policy", 0.3)
    said = list(product(range(2), range(2)))
    difference = 0.0
    for start, one, two in product(range(4), said, said):
        chance = [p.start[start] for p in (training, deployment)]
        state = start
        for turn in (one, two):
            chance = [c * p.turn()[state][turn] for c, p in zip(chance, (training, deployment), strict=True)]
            state = training.following[state][turn]
        difference += abs(chance[0] - chance[1]) / 2
    assert history_errors(training, deployment, 2)[-1] == pytest.approx(difference, abs=1e-10)


def test_a_kernel_and_its_occupancies_are_distributions() -> None:
    process = random_process(np.random.default_rng(0))
    np.testing.assert_allclose(process.kernel().sum(1), 1)
    np.testing.assert_allclose(process.occupancies(9).sum(1), 1)


def test_random_processes_stay_below_the_bound() -> None:
    found = random_ensemble(20, 0.05, 6, 0)
    for shift in ("policy", "simulator"):
        assert 0 < found[shift]["largest_used"] <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": np.array([1.0])}, "should be"),
        ({"policy": np.array([[0.5, 0.6], [1.0, 0.0]])}, "row of policy"),
        ({"following": np.full((2, 2, 3), 2)}, "states below 2"),
    ],
)
def test_what_is_no_process_is_refused(change, message) -> None:
    right = dialogue()
    parts = {name: getattr(right, name) for name in ("start", "policy", "user", "following")}
    with pytest.raises(ValueError, match=message):
        Process(**{**parts, **change})


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1, got 0 to 2"):
        compare(dialogue(), dialogue(), 2 * REWARD, 3, "policy")
    elsewhere = Process(np.array([0.5, 0.5]), dialogue().policy, dialogue().user, dialogue().following)
    with pytest.raises(ValueError, match="same openings"):
        compare(dialogue(), elsewhere, REWARD, 3, "policy")
    with pytest.raises(ValueError, match="too many to follow"):
        history_errors(*[random_process(np.random.default_rng(i)) for i in range(2)], 12)


# estimates -----------------------------------------------------------------------------------------


def test_estimates_of_draws_reach_the_exact_figures() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), 3), rng.dirichlet(np.ones(6), 3)  # three independent turns
    drawn = np.array([rng.choice(6, 40_000, p=row) for row in p]).T
    ratios = np.log(p[range(3), drawn]) - np.log(q[range(3), drawn])
    per_turn = share_apart(ratios).mean(0)
    np.testing.assert_allclose(per_turn, total_variation(p, q), atol=0.01)
    joint = [np.einsum("i,j,k->ijk", *side).ravel() for side in (p, q)]
    assert share_apart(ratios.cumsum(1)).mean(0)[-1] == pytest.approx(total_variation(*joint), abs=0.01)
    assert ratios.sum(1).mean() == pytest.approx((p * np.log(p / q)).sum(), abs=0.05)


@given(st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4), st.floats(0.0, 1.0))
def test_divergence_bounds_total_variation(weights, share) -> None:
    q = np.array(weights) / sum(weights)
    p = (1 - share) * q + share * np.eye(4)[0]
    nats = float((p * np.log(p / q, where=p > 0, out=np.zeros(4))).sum())
    assert total_variation(p, q) <= divergence_bound(np.array([nats]))[0] + 1e-7


def test_a_description_sums_what_it_should() -> None:
    ratios = np.tile(np.log([2.0, 1.0, 4.0]), (5, 1))
    found = describe("simulator", ratios, np.tile([0.5, 0.0, -0.25], (5, 1)))
    np.testing.assert_allclose(found["cumulated"]["mean"], np.log([2, 2, 8]))
    np.testing.assert_allclose(found["error"]["mean"], [0.5, 0.5, 0.875])
    np.testing.assert_allclose(found["error_bound"], [0.5, 0.5, 1.0])
    np.testing.assert_allclose(found["gap_bound"], [0.5, 1.0, 2.25])
    np.testing.assert_allclose(found["gap"]["mean"], [0.5, 0.5, 0.25])
    np.testing.assert_allclose(found["gap"]["low"], found["gap"]["high"])


@pytest.fixture(scope="module")
def tiny_world() -> World:
    pytest.importorskip("torch")
    return World(TinySettings(dialogues=6), 4)


def test_in_the_tiny_world_equal_processes_have_no_divergence(tiny_world) -> None:
    log = tiny_world.play(tiny_world.reference)
    likelihood = PopulationLikelihood(tiny_world.reference).log_prob
    assert not user_ratios(log, likelihood, likelihood, 4).any()
    np.testing.assert_array_equal(policy_ratios(log, tiny_world.policy(), 1.0, 4), 0)


def test_policy_ratios_are_those_that_the_policy_sampled_with(tiny_world) -> None:
    log = tiny_world.play(tiny_world.reference, temperature=0.7)
    found = policy_ratios(log, tiny_world.policy(), 0.7, 4)
    model = tiny_world.policy().language_model
    for trajectory, row in zip(log, found, strict=True):
        # the first message at temperature 1, by the model's own scoring, less what sampling noted
        first = [i for i, turn in enumerate(trajectory.turn_index) if turn == 0]
        ids = trajectory.token_ids
        request = _request(ids[: first[0]])
        at_one = sum(model.score([request], [ids[first[0] : first[-1] + 1]])[0])
        sampled = sum(trajectory.log_probs[i] for i in first)
        assert row[0] == pytest.approx(at_one - sampled, abs=1e-3)


def _request(ids):
    from dialogue_gym.language_models import GenerationRequest
    from dialogue_gym.seeding import NoiseKey

    return GenerationRequest("score", [{"role": "user", "content": ""}], NoiseKey((0,)), ids)


# the command ---------------------------------------------------------------------------------------


def test_the_command_writes_figures_and_a_page_that_needs_nothing_else(tmp_path: Path, capsys) -> None:
    pytest.importorskip("torch")
    small = ["--horizon", "4", "--processes", "5", "--tiny.dialogues", "4", "--out", str(tmp_path)]
    assert main(small) == 0
    assert "without recovery" in capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    assert {"policy", "neighbouring population", "prompted user"} == result["estimated"]["curves"].keys()
    text = (tmp_path / "report.html").read_text()
    assert text.count("<svg") == 12
    assert "src=" not in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--horizon", "2"], "horizon must be from 3 to 30"),
        (["--recovery", "1.5"], "recovery must be between 0 and 1"),
        (["--tiny.evaluated-temperature", "0"], "must be above 0"),
        (["--tiny.users", "nowhere"], "nowhere: no calibrated user here"),
        (["--horizont", "5"], "--horizon"),
    ],
)
def test_bad_settings_are_refused_in_one_line(arguments, message, tmp_path, capsys) -> None:
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "error: " in said
    assert said.count("\n") == 1
