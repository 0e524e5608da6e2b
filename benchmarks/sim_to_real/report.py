"""The study for people: tables in the terminal, and a page with plots and transcripts."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sim_to_real.analysis import DECLARED, ENOUGH_SEEDS
from dialogue_gym.reports import Cell, Plot, Section, Table, figure, page, plot

_ARMS = ("arm", "reward under the reference [95 %]", "asks", "turns", "gap to its own user", "policy tokens")
_CONTRASTS = ("arm", "against naive", "t over seeds [95 %]", "bootstrap [95 %]", "p")
_READING = (
    "All figures are those of a toy unless the preset says otherwise. The primary figure is the reward under "
    "the reference user, whom only the oracle has trained with. Intervals of scores resample seeds and "
    "dialogues; the contrast of calibrated against naive was declared in advance, the p values of the others "
    "are Holm-corrected.",
    "Gap: the score under the user of training minus that under the reference. A user who agrees with "
    "everything makes it large and positive.",
)


def terminal(result: Mapping[str, Any]) -> str:
    """Both tables as lines of plain text, and a warning where seeds are few."""
    seeds = result["settings"]["seeds"]
    parts = [
        "in this toy",
        _lines(_ARMS, _arm_rows(result)),
        "",
        _lines(_CONTRASTS, _contrast_rows(result)),
    ]
    return "\n".join([*parts, *_warning(seeds)])


def to_html(result: Mapping[str, Any], transcripts: Mapping[str, str]) -> str:
    """One self-contained page.

    Args:
        result: what the study found.
        transcripts: by arm, a dialogue on the same task.
    """
    sections = [
        Section(text=[*_READING, *_warning(result["settings"]["seeds"])]),
        Section("Scores", table=_table(_ARMS, _arm_rows(result)), plots=[_scores(result), _curves(result)]),
        Section(
            f"{DECLARED[0]} and others against {DECLARED[1]}",
            table=_table(_CONTRASTS, _contrast_rows(result)),
        ),
        Section("One task, each arm", table=_table(("arm", "dialogue"), list(transcripts.items()))),
        Section("Settings", [", ".join(f"{k} {v}" for k, v in result["settings"].items())]),
    ]
    return page("From simulated users to the reference", sections)


def _warning(seeds: int) -> list[str]:
    if seeds >= ENOUGH_SEEDS:
        return []
    return [f"Warning: {seeds} seeds are too few for a claim; {ENOUGH_SEEDS} would be the least."]


def _arm_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for arm, found in result["arms"].items():
        r, own = found["reference"], found["own"]
        tokens = [budget["policy_tokens"] for budget in found["budget"]]
        rows.append(
            (
                arm,
                f"{r['mean']:.3f} [{r['low']:.3f}, {r['high']:.3f}]",
                f"{found['ask_rate']:.2f}",
                f"{found['turns']:.1f}",
                f"{own['mean'] - r['mean']:+.3f}" if own else "-",
                f"{sum(tokens) / len(tokens):,.0f}" if tokens else "-",
            )
        )
    return rows


def _contrast_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            c["arm"] + (" (declared)" if c["declared"] else ""),
            f"{c['difference']:+.3f}",
            f"[{c['t_low']:+.3f}, {c['t_high']:+.3f}]" if c["p"] == c["p"] else "-",  # NaN: one seed
            f"[{c['low']:+.3f}, {c['high']:+.3f}]",
            f"{c['p']:.3f}" if c["p"] == c["p"] else "-",
        )
        for c in result["contrasts"]
    ]


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (columns, *rows)
    ]
    return "\n".join(line.rstrip() for line in shown)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return Table(columns, [[Cell(text) for text in row] for row in rows])


def _scores(result: Mapping[str, Any]) -> Plot:
    drawn = figure(6.5, 3.6)
    axes = drawn.add_subplot()
    for i, (_, found) in enumerate(result["arms"].items()):
        r = found["reference"]
        axes.plot([r["low"], r["high"]], [i, i], color="#0072b2", linewidth=2)
        axes.plot([r["mean"]], [i], "o", color="#0072b2", label="reference" if i == 0 else None)
        axes.plot(
            r["by_seed"], [i] * len(r["by_seed"]), "|", color="#666666", label="a seed" if i == 0 else None
        )
        if found["own"]:
            axes.plot([found["own"]["mean"]], [i], "x", color="#d55e00")
    axes.plot([], [], "x", color="#d55e00", label="its own user")
    axes.set_yticks(range(len(result["arms"])), list(result["arms"]))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("reward")
    axes.legend(frameon=False, fontsize=8)
    return plot(drawn, "rewards by arm under the reference user and under the user of training")


def _curves(result: Mapping[str, Any]) -> Plot:
    drawn = figure(6.5, 3.6)
    axes = drawn.add_subplot()
    for i, (arm, found) in enumerate(result["arms"].items()):
        runs = [[x if x is not None else float("nan") for x in run] for run in found["curves"]]
        for j, run in enumerate(runs):
            axes.plot(range(1, len(run) + 1), run, color=f"C{i}", linewidth=0.9, label=None if j else arm)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("update")
    axes.set_ylabel("reward in training")
    if len(result["arms"]) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=2)
    return plot(drawn, "rewards in training by update, each under its own user or log")
