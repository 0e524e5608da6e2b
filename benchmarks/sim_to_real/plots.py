"""The study's plots."""

from collections.abc import Mapping
from typing import Any

from benchmarks.sim_to_real.arms import REFERENCE
from dialogue_gym.reports import Plot, figure, plot

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
COLOURS = {"naive": ORANGE, "calibrated": BLUE, "recalibrated": "#009e73"}


def scores(result: Mapping[str, Any]) -> Plot:
    """Rewards by arm under the reference, with seeds, and under the arm's own user."""
    return plot(draw_scores(result), "rewards by arm under the reference user and under the user of training")


def draw_scores(result: Mapping[str, Any]) -> Any:
    """The figure of ``scores``."""
    drawn = figure(6.5, 3.6)
    axes = drawn.add_subplot()
    for i, found in enumerate(result["arms"].values()):
        r = found["reference"]
        axes.plot(r["by_seed"], [i] * len(r["by_seed"]), "|", color=GREY, markersize=7, alpha=0.7)
        axes.plot([r["low"], r["high"]], [i, i], color=BLUE, linewidth=2)
        axes.plot([r["mean"]], [i], "o", color=BLUE)
        if found["own"]:
            axes.plot([found["own"]["mean"]], [i], "x", color=ORANGE)
    axes.plot([], [], "o-", color=BLUE, label="with the reference user, 95 %")
    axes.plot([], [], "|", color=GREY, label="a seed")
    axes.plot([], [], "x", color=ORANGE, label="with the user it trained with")
    axes.set_yticks(range(len(result["arms"])), list(result["arms"]))
    axes.invert_yaxis()
    axes.set_xlabel(f"reward, {result['settings']['env']} {result['where']}")
    axes.grid(axis="x", color="0.9")
    drawn.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    return drawn


def curves(result: Mapping[str, Any]) -> Plot:
    """Mean reward of training by update, each arm under its own user or log."""
    drawn = figure(6.5, 3.6)
    axes = drawn.add_subplot()
    for i, (arm, found) in enumerate(result["arms"].items()):
        runs = [[x if x is not None else float("nan") for x in run] for run in found["curves"]]
        if runs:
            mean = [sum(values) / len(values) for values in zip(*runs, strict=False)]
            axes.plot(range(1, len(mean) + 1), mean, color=f"C{i}", linewidth=1.2, label=arm)
    axes.set_xlabel("update")
    axes.set_ylabel("reward in training, mean of seeds")
    if len(result["arms"]) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=2)
    return plot(drawn, "rewards in training by update, each arm under its own user or log")


def divergence(result: Mapping[str, Any]) -> Plot:
    """Nats of each turn for each training user: with the base policy, and with those that it trained."""
    users = result["divergence"]
    drawn = figure(3.2 * len(users) + 0.6, 3.2)
    panels = drawn.subplots(1, len(users), sharey=True, squeeze=False)[0]
    for axes, (user, found) in zip(panels, users.items(), strict=True):
        for row in found:
            means = [turn["mean"] for turn in row["turns"]]
            errors = [turn["error"] or 0.0 for turn in row["turns"]]
            name = f"policy {row['checkpoint']}" if row["checkpoint"] else "base policy"
            line = "-" if row["checkpoint"] else ":"
            axes.errorbar(range(len(means)), means, errors, label=name, linestyle=line, marker=".")
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_title(user, fontsize=10)
        axes.set_xlabel("message of the user")
    panels[0].set_ylabel("KL(reference || user), nats")
    panels[0].legend(frameon=False, fontsize=7)
    return plot(drawn, "divergence of training users from the reference by turn")


def ranks(result: Mapping[str, Any]) -> Plot:
    """Each policy's score under a training user against that under the reference."""
    drawn = figure(6.5, 3.6)
    axes = drawn.add_subplot()
    for user in result["ranks"]:
        points = [(p["scores"][REFERENCE], p["scores"][user]) for p in result["policies"]]
        axes.plot(*zip(*points, strict=True), ".", color=COLOURS[user], label=user, alpha=0.6)
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8)
    axes.set_xlabel("reward with the reference")
    axes.set_ylabel("reward with a training user")
    axes.legend(frameon=False, fontsize=8)
    return plot(drawn, "policies' scores under training users against those under the reference")
