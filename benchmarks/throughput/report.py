"""Tables for the terminal and a plot of all sections."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.throughput.measuring import Findings, Series, spread
from dialogue_gym.reports import figure, lines

# told apart by the colour-blind too (Okabe & Ito 2008)
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#aa4499",
    "#e69f00",
    "#56b4e9",
    "#555555",
    "#000000",
    "#882255",
    "#999933",
)
_SHOWN = 6  # columns of a table; the others are in the JSON file


def text(section: str, findings: Findings) -> str:
    """A section's tables, targets and remarks."""
    parts = [f"== {section} ==", *findings.notes]
    for group in _groups(findings.series):
        places = group[0].at
        step = -(-len(places) // _SHOWN)
        chosen = sorted({*range(0, len(places), step), len(places) - 1})
        columns = [
            group[0].unit,
            *(f"{group[0].x} {places[i]:g}".strip() if group[0].x else "" for i in chosen),
        ]
        parts.append(lines(columns, [[s.name, *(spread(s.samples[i]) for i in chosen)] for s in group]))
    for target in findings.targets:
        sign = "<=" if target.kind == "most" else ">="
        verdict = "met" if target.met else "MISSED"
        parts.append(f"{verdict}: {target.name}: {spread(target.samples)}, target {sign} {target.bound:g}")
    return "\n".join(parts)


def plot(sections: Mapping[str, Findings], path: Path) -> None:
    """Each quantity over its places, medians with the range of the rounds, one panel for each."""
    panels = [(name, group) for name, f in sections.items() for group in _groups(f.series)]
    if not panels:
        return
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    drawn = figure(5.6 * columns, 4.4 * rows)
    axes = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axis, (name, group) in zip(axes, panels, strict=False):
        axis.set_title(name, fontsize=10)
        (_lines if group[0].x else _bars)(axis, group)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    drawn.savefig(path, dpi=110)


def _groups(series: Sequence[Series]) -> list[list[Series]]:
    """Series that share quantity and places."""
    groups: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        groups.setdefault((one.unit, one.x), []).append(one)
    return list(groups.values())


def _lines(axis: Any, group: Sequence[Series]) -> None:
    for one, colour in zip(group, cycle(_COLOURS), strict=False):
        middle = [median(samples) for samples in one.samples]
        axis.plot(one.at, middle, marker="o", markersize=3, color=colour, label=one.name)
        low, high = [min(s) for s in one.samples], [max(s) for s in one.samples]
        axis.fill_between(one.at, low, high, color=colour, alpha=0.15, linewidth=0)
    middles = [median(samples) for one in group for samples in one.samples]
    if min(middles) > 0 and max(middles) > 20 * min(middles):
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    if len(group[0].at) > 1 and max(group[0].at) >= 8 * min(group[0].at) > 0:
        axis.set_xscale("log", base=2)
    axis.set_xlabel(group[0].x)
    axis.set_ylabel(group[0].unit)
    axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _bars(axis: Any, group: Sequence[Series]) -> None:
    middle = [median(one.samples[0]) for one in group]
    reach = [
        [m - min(one.samples[0]) for m, one in zip(middle, group, strict=True)],
        [max(one.samples[0]) - m for m, one in zip(middle, group, strict=True)],
    ]
    axis.barh([one.name for one in group], middle, xerr=reach, color=_COLOURS[0])
    axis.tick_params(axis="y", labelsize=6)
    axis.set_xlabel(group[0].unit)
