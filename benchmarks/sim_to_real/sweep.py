"""The declared contrast against a setting: ``python -m benchmarks.sim_to_real.sweep --over logs``.

``--over logs`` varies how many dialogues the calibrated user is fitted to, ``--over strength`` how
cooperative the naive user is; ``--values`` names the points. All other options are those of the study, and
stages in the study's folder are used again.
"""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.sim_to_real.analysis import DECLARED, ENOUGH_SEEDS
from benchmarks.sim_to_real.collect import collect
from benchmarks.sim_to_real.command import do_stages, origin, run_command, settings_from, to_json
from benchmarks.sim_to_real.plan import Study
from benchmarks.sim_to_real.plots import BLUE, GREY
from benchmarks.sim_to_real.report import interval
from benchmarks.sim_to_real.settings import StudySettings
from dialogue_gym.files import write_whole
from dialogue_gym.reports import Plot, Section, figure, lines, page, plot, text_table

POINTS = {"logs": (0, 50, 200, 1000), "strength": (0.0, 0.25, 0.5, 0.75, 1.0)}
NAMES = {"logs": "dialogues that the calibrated user is fitted to", "strength": "strength of the naive user"}
_COLUMNS = (
    "value",
    *DECLARED,
    "difference",
    "t over seeds [95 %]",
    "bootstrap [95 %]",
    "nats: calibrated",
    "naive",
)


def run(settings: StudySettings, over: str, values: Sequence[float], command: str) -> dict[str, Any]:
    """The contrast at each value; writes ``sweep-OVER.json``, ``.html`` and ``.png`` into the study's folder.

    Raises:
        StageError: a stage could not be done; what is done stays.
        ValueError: a value that the setting cannot have.
    """
    arms = ("base", "naive", "calibrated")
    at: list[dict[str, Any]] = [{over: value} for value in values]
    studies = [Study(replace(settings, arms=arms, **change)) for change in at]
    do_stages([stage for study in studies for stage in study.wanted()], settings)
    result = {
        "over": over,
        "points": [_point(value, collect(study)) for value, study in zip(values, studies, strict=True)],
        "where": settings.where,
        **origin(command, settings),
    }
    write_whole(settings.out / f"sweep-{over}.json", to_json(result))
    write_whole(settings.out / f"sweep-{over}.html", to_html(result))
    draw(result).savefig(settings.out / f"sweep-{over}.png", dpi=120)
    return result


def _point(value: float, found: dict[str, Any]) -> dict[str, Any]:
    declared = next(c for c in found["contrasts"] if c["declared"])
    scores = {arm: found["arms"][arm]["reference"] for arm in DECLARED}
    nats = {user: rows[-1]["per_turn"] for user, rows in found["divergence"].items()}
    return {"value": value, "contrast": declared, "scores": scores, "divergence": nats}


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """One for each value."""
    made = []
    for point in result["points"]:
        c, nats = point["contrast"], point["divergence"]
        made.append(
            (
                f"{point['value']:g}",
                *(interval(point["scores"][arm]) for arm in DECLARED),
                f"{c['difference']:+.3f}",
                f"[{c['t_low']:+.3f}, {c['t_high']:+.3f}]" if c["p"] is not None else "-",
                f"[{c['low']:+.3f}, {c['high']:+.3f}]",
                *(f"{nats[user]:.2f}" if user in nats else "-" for user in DECLARED),
            )
        )
    return made


def to_html(result: dict[str, Any]) -> str:
    """A page with the table and the plot."""
    text = (
        f"{DECLARED[0]} minus {DECLARED[1]} under the reference user, {result['settings']['seeds']} seeds, "
        f"{result['where']}. Nats: divergence a turn of each training user, with its last policy."
    )
    return page(
        f"The contrast against the {NAMES[result['over']]}",
        [Section(text=[text], table=text_table(_COLUMNS, rows(result)), plots=[_plot(result)])],
    )


def draw(result: dict[str, Any]) -> Any:
    """The contrast with its t-interval, or the bootstrap's for one seed, and the seeds behind it."""
    drawn = figure(6.0, 3.4)
    axes = drawn.add_subplot()
    contrasts = [point["contrast"] for point in result["points"]]
    at = list(range(len(contrasts)))
    for i, c in enumerate(contrasts):
        axes.plot([i] * len(c["by_seed"]), c["by_seed"], "_", color=GREY)
        known = c["p"] is not None
        axes.plot(
            [i, i], [c["t_low"], c["t_high"]] if known else [c["low"], c["high"]], color=BLUE, linewidth=2
        )
    axes.plot(at, [c["difference"] for c in contrasts], "o-", color=BLUE)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks(at, [f"{point['value']:g}" for point in result["points"]])
    axes.set_xlabel(NAMES[result["over"]])
    axes.set_ylabel(
        f"{DECLARED[0]} minus {DECLARED[1]}\nreward, {result['settings']['env']} {result['where']}"
    )
    return drawn


def _plot(result: dict[str, Any]) -> Plot:
    return plot(draw(result), f"the contrast against the {NAMES[result['over']]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    program = "python -m benchmarks.sim_to_real.sweep"
    reader = argparse.ArgumentParser(prog=program, add_help=False, allow_abbrev=False)
    reader.add_argument("--over", choices=tuple(POINTS), default="logs")
    reader.add_argument("--values", type=float, nargs="+")

    def body(given: list[str], command: str) -> None:
        own, others = reader.parse_known_args(given)
        values = own.values or POINTS[own.over]
        settings = settings_from(others, program)
        result = run(settings, own.over, [int(v) if own.over == "logs" else v for v in values], command)
        print(lines(_COLUMNS, rows(result)))
        if settings.seeds < ENOUGH_SEEDS:
            print(f"Warning: {settings.seeds} of at least {ENOUGH_SEEDS} seeds; that is too few for a claim.")
        print(f"{settings.out / f'sweep-{own.over}.html'}")

    return run_command(program, arguments, body)


if __name__ == "__main__":
    sys.exit(main())
