"""What the report draws: curves and histograms of both speakers, as plain numbers."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from dialogue_gym.calibration.realism.acts import ACTS
from dialogue_gym.calibration.realism.fit import chance_of_stopping, stop_turns
from dialogue_gym.calibration.realism.flow import act_counts, words_per_turn
from dialogue_gym.calibration.realism.leakage import CURVES, by_turn, horizon
from dialogue_gym.calibration.realism.measures import NotAvailable
from dialogue_gym.calibration.realism.resampling import Floats
from dialogue_gym.calibration.realism.speech import Speaker

STOP_BINS = 5
MOST_WORDS_DRAWN = 40


@dataclass(frozen=True, slots=True)
class Drawing:
    """Numbers of one plot.

    Attributes:
        name: unique.
        title: what it shows.
        x_label: of the horizontal axis; for bars there is none, and ``y_label`` names their length.
        y_label: of the vertical axis.
        kind: "curve", "bars" or "calibration".
        x: positions, or names of bars.
        people: as long.
        simulator: as long.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    kind: str
    x: list[Any]
    people: list[float]
    simulator: list[float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what is not known is null."""

        def plain(values: list[float]) -> list[float | None]:
            return [float(v) if np.isfinite(v) else None for v in values]

        return {"x": self.x, "people": plain(self.people), "simulator": plain(self.simulator)}


def drawings(people: Speaker, simulated: Speaker) -> tuple[Drawing, ...]:
    """The plots that this comparison has data for."""
    drawn: list[Drawing] = []
    for draw in (_leakage, _lengths, _acts, _stops):
        with suppress(NotAvailable):  # the figures say why
            drawn += draw(people, simulated)
    return tuple(drawn)


_LEAKAGE_TITLES = {
    "facts_by_turn": "Facts told up to each turn",
    "brief_words_by_turn": "Words of the brief said up to each turn",
    "brief_4grams_by_turn": "4-grams copied from the brief, by turn",
}


def _leakage(people: Speaker, simulated: Speaker) -> Iterator[Drawing]:
    for name, (count, curve) in CURVES.items():
        totals = [by_turn(speaker, count).sum(axis=0)[None] for speaker in (people, simulated)]
        if not totals[0][0, 1].any():
            continue
        turns = horizon(totals[0][0])
        lines = [curve(t)[0, :turns].tolist() for t in totals]
        yield Drawing(
            name,
            _LEAKAGE_TITLES[name],
            "turn (0 is the opening)",
            "share",
            "curve",
            list(range(turns)),
            *lines,
        )


def _lengths(people: Speaker, simulated: Speaker) -> Iterator[Drawing]:
    shares = [_share(words_per_turn(speaker).sum(axis=0)) for speaker in (people, simulated)]
    lines = [np.cumsum(s)[: MOST_WORDS_DRAWN + 1].tolist() for s in shares]
    yield Drawing(
        "words_per_turn", "Words per user turn", "words, at most", "share of turns", "curve",
        list(range(MOST_WORDS_DRAWN + 1)), *lines,
    )  # fmt: skip


def _acts(people: Speaker, simulated: Speaker) -> Iterator[Drawing]:
    shares = [_share(act_counts(speaker).sum(axis=0)).tolist() for speaker in (people, simulated)]
    yield Drawing("dialogue_acts", "What replies do", "", "share of replies", "bars", list(ACTS), *shares)


def _stops(people: Speaker, simulated: Speaker) -> Iterator[Drawing]:
    turns = [turn for dialogue in simulated.dialogues for turn in stop_turns(dialogue)]
    if not turns or any(turn.hazard is None for turn in turns):
        return
    # rounding errors differ between those who stopped and those who did not, and must not sort them
    chance = np.array([chance_of_stopping(turn) for turn in turns]).round(6)
    stopped = np.array([float(turn.logged.reply.stop) for turn in turns])
    edges = np.unique(np.quantile(chance, np.arange(1, STOP_BINS) / STOP_BINS))
    place = np.searchsorted(edges, chance)  # equal chances fall into one bin
    bins = [np.flatnonzero(place == i) for i in np.unique(place)]
    said = [float(chance[part].mean()) for part in bins]
    yield Drawing(
        "stop_calibration", "Do users stop when the simulator would?", "simulator's probability of stopping",
        "share of users that stopped", "calibration", said,
        [float(stopped[part].mean()) for part in bins], said,
    )  # fmt: skip


def _share(counts: Floats) -> Floats:
    return np.asarray(counts / max(counts.sum(), 1.0), dtype=np.float64)
