"""A comparison for people to read: a table for terminals, and a page with plots."""

from collections.abc import Sequence
from typing import Any

from dialogue_gym.calibration.realism.compare import Figure, Realism
from dialogue_gym.calibration.realism.drawings import Drawing
from dialogue_gym.calibration.realism.resampling import Interval
from dialogue_gym.calibration.realism.validity import KEPT
from dialogue_gym.reports import Cell, Plot, Section, Table, figure, page, plot

_PEOPLE, _SIMULATOR = "#0072b2", "#d55e00"  # told apart by the colour-blind too (Okabe & Ito 2008)
_COLUMNS = ("metric", "better", "simulator [95 %]", "people against people [95 %]", "verdict")
_BETTER = {"lower": "lower", "higher": "higher", "equal": "near 1"}
_NOTES = (
    "Simulator: how far its turns are from those of the log's users, in the same contexts. People against "
    "people: the same figure between the users of one half of the dialogues and those of the other half, "
    "averaged over random halves of equal size. Rates (roles) are the speaker's own.",
    "With words: where the log's user said something and the simulator did not leave without a word. What is "
    "said is compared there, on both sides; when users leave is judged by the fit. A simulator that leaves "
    "almost everywhere has few such turns, and its figures say little.",
    "Verdict: within when the data cannot tell the simulator from people by this figure (the interval of the "
    "difference, over the same halves and resamples, reaches the good side of 0). One figure in forty falls "
    "outside by chance.",
    "Few dialogues make wide intervals: within then says little.",
    "Apart: metrics that follow the exact divergence of degraded users from a population too little (rank "
    f"correlation under {KEPT}, benchmarks/metric_validity). They say what is wrong, not how far a user "
    "is from people, and do not count.",
)


def table(realism: Realism) -> str:
    """The figures as lines of plain text for a terminal."""
    counting, apart = _parted(realism.figures)
    lines, others = ([[c.text for c in row] for row in _rows(figures)] for figures in (counting, apart))
    widths = [max(len(line[i]) for line in (_COLUMNS, *lines, *others)) for i in range(len(_COLUMNS) - 1)]
    rule = ["-" * width for width in (*widths, len(_COLUMNS[-1]))]
    title = ["apart:", *[""] * len(widths)]
    rows = [_COLUMNS, rule, *lines, [""] * len(rule), title, *others]
    text = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    missing = [f"not available: {f.metric.name}: {f.why_not}" for f in realism.figures if f.why_not]
    head = [_about(realism), *_warnings(realism), ""]
    return "\n".join([*head, *(line.rstrip() for line in text), "", *missing])


def to_html(realism: Realism) -> str:
    """The comparison as one self-contained page."""
    missing = [f"Not available: {f.metric.name}: {f.why_not}." for f in realism.figures if f.why_not]
    counting, apart = _parted(realism.figures)
    return page(
        f"Realism of {_name(realism.simulator)}",
        [
            Section(text=[_about(realism), *_warnings(realism)]),
            Section("Figures", table=Table(_COLUMNS, _rows(counting))),
            Section("Apart: what says little about the distance", table=Table(_COLUMNS, _rows(apart))),
            Section("How to read them", text=_NOTES),
            Section("Side by side", plots=[_draw(drawing) for drawing in realism.drawings]),
            *([Section("What could not be computed", text=missing)] if missing else []),
            Section("Sources", table=_sources(realism.figures)),
        ],
    )


def _parted(figures: Sequence[Figure]) -> tuple[list[Figure], list[Figure]]:
    """Those of metrics that count, and the others."""
    return [f for f in figures if f.metric.counts], [f for f in figures if not f.metric.counts]


def _about(realism: Realism) -> str:
    users = ", ".join(f"{count} by {name}" for name, count in realism.reference.items())
    inside, judged = realism.within
    return (
        f"{_name(realism.simulator)} against the users of {realism.dialogues} dialogues ({users}), "
        f"{realism.turns} user turns, {realism.turns_in_words} of them with words: "
        f"{inside} of {judged} figures within people's spread."
    )


def _name(identity: dict[str, Any]) -> str:
    model = identity.get("model")
    name = model.get("name") or model.get("model") or model.get("path") if isinstance(model, dict) else None
    return str(identity.get("name", "simulator")) + (f" ({name})" if name else "")


def _warnings(realism: Realism) -> list[str]:
    warnings = []
    if realism.failures.count:
        warnings.append(
            f"The simulator failed in {realism.failures.count} contexts, which are left out; the first "
            f"error: {realism.failures.first}"
        )
    strangers = {name: n for name, n in realism.reference.items() if name != "people"}
    if strangers:
        count = sum(strangers.values())
        warnings.append(
            f"{count} dialogues are not by people ({', '.join(strangers)}): "
            "people stands for those users here."
        )
    return warnings


def _rows(figures: Sequence[Figure]) -> list[list[Cell]]:
    tones = {"within": "good", "outside": "bad", "": "dim"}
    return [
        [
            Cell(f.metric.name, hint=f.metric.source),
            Cell(_BETTER[f.metric.better], "dim"),
            Cell(_text(f.simulator), hint=f.why_not if f.simulator is None else f.metric.unit),
            Cell(_text(f.people), hint=f.why_not if f.people is None else f.metric.unit),
            Cell(f.verdict or "not known", tones[f.verdict]),
        ]
        for f in figures
    ]


def _text(value: Interval | None) -> str:
    return "not available" if value is None else f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _sources(figures: Sequence[Figure]) -> Table:
    return Table(
        ("metric", "group", "unit", "validity", "source"),
        [
            [
                Cell(f.metric.name),
                Cell(f.metric.group),
                Cell(f.metric.unit),
                Cell("not measured" if f.metric.validity is None else f"{f.metric.validity:.2f}"),
                Cell(f.metric.source),
            ]
            for f in figures
        ],
    )


# plots ---------------------------------------------------------------------------------------------


def _draw(drawing: Drawing) -> Plot:
    drawn = figure()
    axes = drawn.add_subplot()
    {"curve": _curve, "bars": _bars, "calibration": _calibration}[drawing.kind](axes, drawing)
    axes.set_title(drawing.title, fontsize=11)
    axes.set_xlabel(drawing.x_label or drawing.y_label)
    axes.set_ylabel(drawing.y_label if drawing.x_label else "")
    axes.spines[["top", "right"]].set_visible(False)
    return plot(drawn, f"{drawing.title}: people and simulator")


def _curve(axes: Any, drawing: Drawing) -> None:
    marker = "o" if len(drawing.x) <= 12 else None
    axes.plot(drawing.x, drawing.people, color=_PEOPLE, marker=marker, label="people")
    axes.plot(
        drawing.x, drawing.simulator, color=_SIMULATOR, marker=marker, linestyle="--", label="simulator"
    )
    axes.set_ylim(0, 1.02)
    axes.xaxis.get_major_locator().set_params(integer=True)  # turns and words are counted
    axes.legend(frameon=False)


def _bars(axes: Any, drawing: Drawing) -> None:
    places = range(len(drawing.x))
    axes.barh([p - 0.2 for p in places], drawing.people, 0.38, color=_PEOPLE, label="people")
    axes.barh([p + 0.2 for p in places], drawing.simulator, 0.38, color=_SIMULATOR, label="simulator")
    axes.set_yticks(list(places), drawing.x)
    axes.invert_yaxis()
    axes.legend(frameon=False)


def _calibration(axes: Any, drawing: Drawing) -> None:
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="calibrated")
    axes.plot(drawing.x, drawing.people, color=_SIMULATOR, marker="o", linestyle="--", label="simulator")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False)
