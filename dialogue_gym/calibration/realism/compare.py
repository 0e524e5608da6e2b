"""The comparison: every metric for the simulator, and for people against people."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dialogue_gym.calibration.realism import diversity, fit, flow, leakage, outcome, style
from dialogue_gym.calibration.realism.drawings import Drawing, drawings
from dialogue_gym.calibration.realism.measures import Metric, NotAvailable
from dialogue_gym.calibration.realism.resampling import (
    Floats,
    Interval,
    Plan,
    excess,
    interval,
    is_within,
    make_plan,
    spread,
)
from dialogue_gym.calibration.realism.speech import Failures, two_speakers
from dialogue_gym.calibration.realism.validity import VALIDITY
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.simulators.base import UserSimulator
from dialogue_gym.simulators.user_turns import by_people

GROUPS = ("fit", "diversity", "leakage", "style", "flow", "roles", "outcome")
METRICS: tuple[Metric, ...] = tuple(
    sorted(
        (
            replace(m, validity=VALIDITY.get(m.name))
            for room in (fit, diversity, leakage, style, flow, outcome)
            for m in room.METRICS
        ),
        key=lambda metric: GROUPS.index(metric.group),
    )
)
"""Every metric, in the order of reports."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one comparison.

    Attributes:
        metric: which.
        simulator: the simulator's figure; None where it is not available.
        people: the same figure for people against people: for distances the ceiling, for rates what
            people show; None where it is not available.
        excess: the simulator's less people's, from the same halves and resamples; for ratios to people
            how much further from 1 it is, as |ln ratio|.
        why_not: why a figure is not available, "" when both are.
    """

    metric: Metric
    simulator: Interval | None
    people: Interval | None
    excess: Interval | None
    why_not: str = ""

    @property
    def verdict(self) -> str:
        """Whether it is "within" people's spread as far as the data tell, or "outside"; "" if not known."""
        if self.excess is None:
            return ""
        return "within" if is_within(self.excess, self.metric.better) else "outside"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        intervals = {"simulator": self.simulator, "people": self.people, "excess": self.excess}
        return {
            "metric": self.metric.name,
            "group": self.metric.group,
            "better": self.metric.better,
            "unit": self.metric.unit,
            **{name: i.to_dict() if i else None for name, i in intervals.items()},
            "verdict": self.verdict or None,
            "not_available": self.why_not or None,
            "validity": self.metric.validity,
            "counts": self.metric.counts,
            "source": self.metric.source,
        }


@dataclass(frozen=True, slots=True)
class Realism:
    """How far a simulator is from the users of a log.

    Attributes:
        simulator: identity of the simulator.
        reference: who the log's users are, by name, and the number of their dialogues.
        dialogues: that were compared.
        turns: that were compared.
        turns_in_words: those of them that count for what is said: where the log's user said something, and
            the simulator did not leave without a word.
        failures: contexts in which the simulator gave no reply.
        figures: one for each of ``METRICS``, in that order.
        drawings: curves and histograms for plots.
        settings: seed, resamples and splits.
    """

    simulator: dict[str, Any]
    reference: dict[str, int]
    dialogues: int
    turns: int
    turns_in_words: int
    failures: Failures
    figures: tuple[Figure, ...]
    drawings: tuple[Drawing, ...]
    settings: dict[str, int]

    def __getitem__(self, name: str) -> Figure:
        """The figure of the metric with this name.

        Raises:
            KeyError: there is no such metric.
        """
        for figure in self.figures:
            if figure.metric.name == name:
                return figure
        raise KeyError(name)

    @property
    def within(self) -> tuple[int, int]:
        """How many figures are within people's spread, and how many have a verdict.

        Of metrics that count alone: those that follow the exact divergence.
        """
        verdicts = [figure.verdict for figure in self.figures if figure.verdict and figure.metric.counts]
        return verdicts.count("within"), len(verdicts)

    def table(self) -> str:
        """The figures as plain text for a terminal."""
        from dialogue_gym.calibration.realism import report

        return report.table(self)

    def to_html(self) -> str:
        """One self-contained page with plots.

        Raises:
            ImportError: matplotlib or jinja2 is missing; the message names the extra.
        """
        from dialogue_gym.calibration.realism import report

        return report.to_html(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, everything that the report shows."""
        return {
            "simulator": self.simulator,
            "reference": self.reference,
            "dialogues": self.dialogues,
            "turns": self.turns,
            "turns_in_words": self.turns_in_words,
            "failures": {"count": self.failures.count, "first": self.failures.first},
            "settings": self.settings,
            "within": list(self.within),
            "figures": [figure.to_dict() for figure in self.figures],
            "drawings": {drawing.name: drawing.to_dict() for drawing in self.drawings},
        }


def measure_realism(
    records: Sequence[DialogueRecord],
    simulator: UserSimulator,
    *,
    dialogues: Sequence[DialogueRecord] = (),
    resamples: int = 200,
    splits: int = 16,
    seed: int = 0,
    batch_size: int = 64,
    progress: Callable[[str], None] = lambda _: None,
) -> Realism:
    """Compare a simulator with the users of held-out dialogues.

    Args:
        records: the log; none that the simulator learned from.
        simulator: answers in the log's own contexts.
        dialogues: what the simulator and the log's policy said on the same tasks, for turn counts and
            outcomes; without them these are not available.
        resamples: bootstrap resamples of the dialogues.
        splits: random halves that distances are averaged over.
        seed: of the simulator's noise, the halves and the resamples.
        batch_size: dialogues that the simulator is asked about at a time.
        progress: called with the name of what is computed next.

    Raises:
        ValueError: fewer than 4 dialogues with user turns, too few resamples, or a simulator that fails.
    """
    progress("replies")
    people, simulated, failures = two_speakers(records, simulator, seed=seed, batch_size=batch_size)
    plan = make_plan(len(people.dialogues), resamples=resamples, splits=splits, seed=seed)
    sides: dict[str, tuple[Any, Any, Plan] | str] = {"turns": (people, simulated, plan)}
    sides["dialogues"] = "needs dialogues that the simulator played freely on the log's tasks"
    if dialogues:
        free = outcome.matched(records, dialogues)
        if len(free[0].records) < 4:
            sides["dialogues"] = f"{len(free[0].records)} dialogues that ran freely, 4 are needed"
        else:
            own = make_plan(len(free[0].records), resamples=resamples, splits=splits, seed=seed)
            sides["dialogues"] = (*free, own)
    figures = []
    for metric in METRICS:
        progress(metric.name)
        figures.append(_figure(metric, sides[metric.of]))
    names = Counter("people" if by_people(r) else str(r.simulator.get("name", "unknown")) for r in records)
    return Realism(
        simulator.identity(),
        dict(names),
        len(people.dialogues),
        sum(1 for _ in people.turns()),
        sum(turn.in_words for turn in people.turns()),
        failures,
        tuple(figures),
        drawings(people, simulated),
        {"seed": seed, "resamples": resamples, "splits": splits},
    )


def _figure(metric: Metric, sides: tuple[Any, Any, Plan] | str) -> Figure:
    if isinstance(sides, str):
        return Figure(metric, None, None, None, sides)
    people, simulated, plan = sides
    ours, why = _measured(metric, simulated, people, plan)
    theirs, why_theirs = _measured(metric, people, people, plan)
    around = spread if metric.better == "equal" else interval
    return Figure(
        metric,
        None if ours is None else interval(ours, metric.bounds),
        None if theirs is None else around(theirs, metric.bounds),
        None if ours is None or theirs is None else excess(ours, theirs, metric.better),
        why or (f"people against people: {why_theirs}" if why_theirs else ""),
    )


def _measured(metric: Metric, a: Any, b: Any, plan: Plan) -> tuple[Floats | None, str]:
    try:
        figures = metric.measure(a, b, plan)
    except NotAvailable as reason:
        return None, str(reason)
    return (figures, "") if interval(figures) is not None else (None, "too few turns of the kind it counts")
