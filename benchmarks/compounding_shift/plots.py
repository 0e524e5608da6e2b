"""Plots of the curves."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from dialogue_gym.reports import Plot, figure, plot

# told apart by the colour-blind too (Okabe & Ito 2008)
_BLUE, _ORANGE, _GREEN, _PURPLE, _GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#555555"
_LOOK = {
    "policy": ("policy shift", _BLUE, "o"),
    "static": ("static contexts", _GREEN, "s"),
    "simulator": ("simulator shift", _ORANGE, "^"),
}
_NAMED = (_BLUE, _GREEN, _ORANGE, _PURPLE, "#e69f00", "#56b4e9")


def errors(chain: str, curves: Mapping[str, Any]) -> Plot:
    """Error of the state by turn, of whole histories, and the bound, for each shift of a chain."""
    drawn, axes = _axes(f"Distribution error by turn, {chain}", "turn", "total variation")
    for shift, row in curves.items():
        label, colour, marker = _LOOK[shift]
        turns = _turns(row["error"])
        axes.plot(turns, row["error_bound"], color=colour, linewidth=1, linestyle=":")
        axes.plot(turns, row["history_error"], color=colour, linewidth=1, linestyle="--")
        axes.plot(turns, row["error"], color=colour, marker=marker, markersize=4, label=label)
    _styles(axes, (("-", "state"), ("--", "whole history"), (":", "bound")))
    return plot(drawn, f"distribution error by turn, {chain}")


def gaps(chain: str, curves: Mapping[str, Any]) -> Plot:
    """Summed reward gap against the horizon, with the theorem's bound, both axes logarithmic."""
    drawn, axes = _axes(f"Summed reward gap, {chain}", "horizon H", "|gap|", logarithmic=True)
    for shift, row in curves.items():
        label, colour, marker = _LOOK[shift]
        gap, bound = np.abs(row["gap"]), np.array(row["uniform_bound"])
        shown = bound > 0  # with one turn static contexts have no gap
        turns = _turns(gap)
        slope = _number(row["exponent"])
        axes.plot(turns[shown], bound[shown], color=colour, linewidth=1, linestyle=":")
        axes.plot(
            turns[shown],
            gap[shown],
            color=colour,
            marker=marker,
            markersize=4,
            label=f"{label}, slope {slope}",
        )
    _styles(axes, (("-", "exact"), (":", "bound")))
    return plot(drawn, f"summed reward gap against horizon, {chain}")


def last_rewards(small: Mapping[str, Any], large: Mapping[str, Any]) -> Plot:
    """The gap when only the last turn is paid, under a small and under a large policy shift."""
    drawn, axes = _axes("One reward on the last turn (policy shift)", "horizon H", "|gap|")
    for (chain, rows), line in zip(small.items(), ("-", "--"), strict=True):
        for size, row, colour in (
            (rows["policy"]["size"], rows["policy"], _BLUE),
            (large["size"], large[chain], _ORANGE),
        ):
            turns = _turns(row["last_gap"])
            axes.plot(
                turns, np.abs(row["last_gap"]), color=colour, linestyle=line, label=f"{size:g}, {chain}"
            )
            axes.plot(turns, row["error_bound"], color=colour, linewidth=1, linestyle=":")
    axes.set_ylim(0, 1.05)
    axes.legend(frameon=False, fontsize=8, title="dotted: bound", title_fontsize=8, loc=(0.52, 0.45))
    return plot(drawn, "gap of one reward on the last turn")


def bound_used(random: Mapping[str, Any]) -> Plot:
    """What share of the bound random processes use, against the horizon."""
    title = f"Random processes ({random['processes']} each)"
    drawn, axes = _axes(title, "horizon H", "summed error / bound")
    for shift in ("policy", "simulator"):
        label, colour, marker = _LOOK[shift]
        low, middle, high = random[shift]["used"]
        axes.fill_between(_turns(middle), low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(_turns(middle), middle, color=colour, marker=marker, markersize=4, label=f"{label}, median")
    axes.set_ylim(0, 1.05)
    axes.legend(frameon=False, fontsize=8, title="band: 95 % of the processes", title_fontsize=8)
    return plot(drawn, "share of the bound that random processes use")


def estimates(title: str, name: str, unit: str, curves: Mapping[str, Any], bound: str = "") -> Plot:
    """One estimated curve of each pair of processes, with its interval.

    Args:
        title: of the plot.
        name: of the curve.
        unit: of the vertical axis.
        curves: as ``estimated.measure`` gives them.
        bound: name of a bound to draw too, or "".
    """
    drawn, axes = _axes(title, "horizon H" if "gap" in name else "turn", unit)
    for (label, row), colour in zip(curves.items(), cycle(_NAMED), strict=False):  # colours may come again
        turns = _turns(row[name]["mean"])
        axes.fill_between(turns, row[name]["low"], row[name]["high"], color=colour, alpha=0.15, linewidth=0)
        axes.plot(turns, row[name]["mean"], color=colour, marker="o", markersize=3, label=label)
        if bound:
            axes.plot(turns, row[bound], color=colour, linewidth=1, linestyle=":")
    if bound:
        axes.set_ylim(0, 1.05)
    _below(drawn, "dotted: bound" if bound else None)
    return plot(drawn, title)


def error_sums(curves: Mapping[str, Any]) -> Plot:
    """Estimated sum of errors up to each horizon beside the theorem's bound, both axes logarithmic."""
    drawn, axes = _axes("Sum of errors and bound", "horizon H", "reward units", logarithmic=True)
    for (label, row), colour in zip(curves.items(), cycle(_NAMED), strict=False):
        turns, slope = _turns(row["error_sum"]), _number(row["exponent_of_error_sum"])
        axes.plot(
            turns, row["error_sum"], color=colour, marker="o", markersize=3, label=f"{label}, slope {slope}"
        )
        axes.plot(turns, row["gap_bound"], color=colour, linewidth=1, linestyle=":")
    _below(drawn, "dotted: bound")
    return plot(drawn, "sum of errors and bound against the horizon")


def _axes(title: str, x: str, y: str, logarithmic: bool = False) -> tuple[Any, Any]:
    drawn = figure(5.2, 3.6)
    axes = drawn.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([1, 2, 4, 8, 12], ["1", "2", "4", "8", "12"])
        axes.minorticks_off()
    return drawn, axes


def _styles(axes: Any, lines: Sequence[tuple[str, str]]) -> None:
    """A legend of the colours, and grey samples of what the lines' styles mean."""
    for style, label in lines:
        axes.plot([], [], color=_GREY, linestyle=style, label=label)
    axes.legend(frameon=False, fontsize=8)


def _below(drawn: Any, title: str | None) -> None:
    """A legend below the plot, where any number of names fits."""
    drawn.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=8, title=title, title_fontsize=8
    )


def _turns(curve: Sequence[float]) -> Any:
    return np.arange(1, len(curve) + 1)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
