"""The exact part: curves of the two-state dialogue with and without recovery, and of random processes."""

from typing import Any

import numpy as np

from benchmarks.compounding_shift.chains import (
    REWARD,
    closed_error,
    closed_gap,
    dialogue,
    mixed,
    random_process,
)
from benchmarks.compounding_shift.process import Curves, Floats, Process, Shift, compare, exponent

CHAINS = ("without recovery", "with recovery")
SHIFTS: tuple[Shift, ...] = ("policy", "static", "simulator")
LONG = 1000
"""Horizon at which the exponents have nearly reached their limits."""


def solve(policy_shift: float, simulator_shift: float, recovery: float, horizon: int) -> dict[str, Any]:
    """All curves of both chains: by chain, then by shift."""
    sizes = {"policy": policy_shift, "static": policy_shift, "simulator": simulator_shift}
    return {
        chain: {s: _curves(s, sizes[s], recovery * (chain == "with recovery"), horizon) for s in SHIFTS}
        for chain in CHAINS
    }


def two_processes(shift: Shift, size: float, recovery: float) -> tuple[Process, Process]:
    """Training and deployment of the two-state dialogue under a shift of a size."""
    right = dialogue(recovery=recovery)
    if shift == "simulator":
        return dialogue(miss=size, recovery=recovery), right
    return right, dialogue(guess=size, recovery=recovery)


def _curves(shift: Shift, size: float, recovery: float, horizon: int) -> dict[str, Any]:
    curves = compare(*two_processes(shift, size, recovery), REWARD, horizon, shift)
    error, gap = closed_form(shift, size, recovery, horizon)
    # so small that even a thousand turns stay far from saturation
    long = compare(*two_processes(shift, 1e-7, recovery), REWARD, LONG, shift, histories=False)
    return {
        "size": size,
        "recovery": recovery,
        **as_lists(curves),
        "closed_form_difference": float(np.abs([curves.error - error, np.abs(curves.gap) - gap]).max()),
        **exponents(curves, *fitted_range(horizon)),
        "limit": exponent(long.gap, LONG // 2, LONG),
        "limit_of_bound": exponent(long.uniform_bound, LONG // 2, LONG),
    }


def closed_form(shift: Shift, size: float, recovery: float, horizon: int) -> tuple[Floats, Floats]:
    """Error by turn and summed gap; for static contexts those of the turn before, times the last turn."""
    if shift != "static":
        return closed_error(size, recovery, horizon), closed_gap(size, recovery, horizon)
    before = np.concatenate([[0.0], closed_error(size, recovery, horizon)[:-1]])
    error = before * (1 - size - recovery)  # what the shared last turn leaves of the difference
    return error, np.cumsum(error)


def fitted_range(horizon: int) -> tuple[int, int]:
    """The horizons that exponents are fitted on: the upper part, from a third on."""
    return max(2, (horizon + 2) // 3), horizon


def as_lists(curves: Curves) -> dict[str, Any]:
    """The curves as JSON-able lists."""
    names = "per_turn error history_error error_bound gap last_gap gap_bound uniform_bound"
    return {name: getattr(curves, name).tolist() for name in names.split()}


def exponents(curves: Curves, low: int, high: int) -> dict[str, Any]:
    """Slopes on the log-log range, of the gap, its bound, and the gap when only the last turn is paid."""
    return {
        "fitted_on": [low, high],
        "exponent": exponent(curves.gap, low, high),
        "exponent_of_bound": exponent(curves.uniform_bound, low, high),
        "exponent_of_last": exponent(curves.last_gap, low, high),
    }


def saturating(size: float, recovery: float, horizon: int) -> dict[str, Any]:
    """One reward on the last turn under a large policy shift: nothing is left to lose after a while."""
    result: dict[str, Any] = {"size": size}
    for chain in CHAINS:
        curves = compare(
            *two_processes("policy", size, recovery * (chain == "with recovery")), REWARD, horizon, "policy"
        )
        result[chain] = {**as_lists(curves), **exponents(curves, *fitted_range(horizon))}
    return result


def random_ensemble(count: int, size: float, horizon: int, seed: int) -> dict[str, Any]:
    """Random processes: how much of the bound they use, and how their summed error grows.

    The summed error is the gap that the worst reward could see, if it may be another one on each turn.
    """
    result: dict[str, Any] = {"processes": count, "size": size}
    low, high = fitted_range(horizon)
    shifts: tuple[Shift, ...] = ("policy", "simulator")
    for shift in shifts:
        rng = np.random.default_rng([seed, shift == "simulator"])
        used, slopes = [], []
        for _ in range(count):
            curves = _random_curves(rng, size, horizon, shift)
            summed = np.cumsum(curves.error)
            used.append(summed / curves.gap_bound)
            slopes.append(exponent(summed, low, high) or np.nan)
        result[shift] = {
            "used": np.percentile(used, (2.5, 50, 97.5), axis=0).tolist(),
            "largest_used": float(np.max(used)),
            "exponents": np.percentile(slopes, (2.5, 50, 97.5)).tolist(),
        }
    return result


def _random_curves(rng: np.random.Generator, size: float, horizon: int, shift: Shift) -> Curves:
    deployment = random_process(rng)
    policy, user = deployment.policy, deployment.user
    if shift == "policy":
        policy = mixed(policy, size, rng)
    else:
        user = mixed(user, size, rng)
    training = Process(deployment.start, policy, user, deployment.following)
    return compare(training, deployment, rng.random(len(policy)), horizon, shift, histories=False)
