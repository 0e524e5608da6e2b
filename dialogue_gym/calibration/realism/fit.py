"""Fit: how likely the logged users' turns are under a simulator, and how well it foresees their stops."""

from collections.abc import Callable
from math import inf

import numpy as np

from dialogue_gym.calibration.realism.measures import (
    Measure,
    Metric,
    NotAvailable,
    dialogue_sums,
    of_dialogues,
    ratio,
    weighted,
)
from dialogue_gym.calibration.realism.resampling import Floats, Plan
from dialogue_gym.calibration.realism.speech import Speaker, SpokenDialogue, SpokenTurn

TURN_BINS = 12


def _nats(turn: SpokenTurn) -> tuple[float, float]:
    """Nats of the logged reply, 1; stopping is part of it where the log shows whether the user stopped."""
    assert turn.log_prob is not None
    return -(turn.log_prob.total if turn.logged.stop_counts else turn.log_prob.text), 1.0


def _text_nats(turn: SpokenTurn) -> tuple[float, float]:
    """Nats of the logged text, its characters; those who leave without a word count for neither."""
    assert turn.log_prob is not None
    text = turn.logged.reply.text
    return (-turn.log_prob.text, float(len(text))) if text.strip() else (0.0, 0.0)


def _likelihood(of_turn: Callable[[SpokenTurn], tuple[float, float]]) -> Measure:
    def measure(a: Speaker, b: Speaker, plan: Plan) -> Floats:
        if a.logged:
            raise NotAvailable("people's own likelihood is not known")
        count = sum(1 for _ in a.turns())
        if unknown := sum(turn.log_prob is None for turn in a.turns()):
            raise NotAvailable(
                f"the simulator does not know the likelihood of {unknown} of {count} logged turns "
                "(it has no log_prob, or needs the beginning of the dialogue)"
            )
        if impossible := sum(of_turn(turn)[0] == inf for turn in a.turns()):
            raise NotAvailable(f"{impossible} of {count} logged turns are impossible for the simulator")
        totals = weighted(dialogue_sums(a, of_turn, only_in_words=False))
        return plan.whole(lambda w, _: ratio(totals(w)[:, 0], totals(w)[:, 1]))

    return measure


# stops ---------------------------------------------------------------------------------------------


def stop_turns(dialogue: SpokenDialogue) -> list[SpokenTurn]:
    """The turns at which the user could stop and the log shows whether it did."""
    return [turn for turn in dialogue.turns if turn.logged.stop_counts and not turn.logged.is_opening]


def chance_of_stopping(turn: SpokenTurn) -> float:
    """The speaker's hazard where it is known, else whether it stopped when asked."""
    return float(turn.reply.stop) if turn.hazard is None else turn.hazard


def _foreseen(dialogue: SpokenDialogue) -> Floats:
    """Expected true positives, false positives, misses, squared errors; and the number of turns."""
    h = np.array([chance_of_stopping(turn) for turn in stop_turns(dialogue)])
    y = np.array([float(turn.logged.reply.stop) for turn in stop_turns(dialogue)])
    return np.array([h @ y, h @ (1 - y), (1 - h) @ y, ((h - y) ** 2).sum(), len(y)])


def _stops_by_turn(dialogue: SpokenDialogue) -> Floats:
    """(2, TURN_BINS): stops, and turns at which the dialogue went on, by turn index."""
    table = np.zeros((2, TURN_BINS))
    for turn in stop_turns(dialogue):
        table[int(not turn.logged.reply.stop), min(turn.logged.index, TURN_BINS) - 1] += 1
    return table


def _foreseen_by_turn(stops_a: Floats, stops_b: Floats) -> Floats:
    """What ``_foreseen`` counts, for A's stops foreseen by how often people of B stop at that turn index."""
    h = (stops_b[:, 0] + 0.5) / (stops_b.sum(axis=1) + 1.0)  # Jeffreys' prior where nobody was seen
    stop, go = stops_a[:, 0], stops_a[:, 1]
    squared = stop * (1 - h) ** 2 + go * h**2
    return np.stack([(x).sum(axis=1) for x in (h * stop, h * go, (1 - h) * stop, squared, stop + go)], axis=1)


def _stops(figure: Callable[[Floats], Floats], needs_hazard: bool = False) -> Measure:
    def measure(a: Speaker, b: Speaker, plan: Plan) -> Floats:
        tables = weighted(of_dialogues(b, _stops_by_turn))
        if not tables(plan.weights[:1])[0, 0].any():
            raise NotAvailable("the log shows no user who ends a dialogue")
        if a.logged:
            return plan.halves(lambda w, v: figure(_foreseen_by_turn(tables(w), tables(v))))
        if needs_hazard and any(turn.hazard is None for turn in a.turns()):
            raise NotAvailable("the simulator does not know its probability of stopping")
        foreseen = weighted(of_dialogues(a, _foreseen))
        return plan.halves(lambda w, _: figure(foreseen(w)))

    return measure


def _precision(t: Floats) -> Floats:
    return ratio(t[:, 0], t[:, 0] + t[:, 1])


def _recall(t: Floats) -> Floats:
    return ratio(t[:, 0], t[:, 0] + t[:, 2])


def _f1(t: Floats) -> Floats:
    return ratio(2 * t[:, 0], 2 * t[:, 0] + t[:, 1] + t[:, 2])


def _brier(t: Floats) -> Floats:
    return ratio(t[:, 3], t[:, 4])


_SOFT = (
    "dialogue-termination F1 of UserLM (2510.06552), in expected counts where hazards are known; people "
    "against people: foreseen by how often other people stop at that turn"
)
_FIT = "held-out negative log-likelihood of user turns (UserLM, 2510.06552)"
UNIT = (0.0, 1.0)
METRICS = (
    Metric("nats_per_turn", "fit", "lower", "nats", "turns", _FIT, _likelihood(_nats)),
    Metric(
        "nats_per_character", "fit", "lower", "nats", "turns",
        _FIT + ", by characters of text: comparable across tokenizers", _likelihood(_text_nats),
    ),
    Metric("stop_precision", "fit", "higher", "share", "turns", _SOFT, _stops(_precision), UNIT),
    Metric("stop_recall", "fit", "higher", "share", "turns", _SOFT, _stops(_recall), UNIT),
    Metric("stop_f1", "fit", "higher", "share", "turns", _SOFT, _stops(_f1), UNIT),
    Metric(
        "stop_brier", "fit", "lower", "squared error", "turns",
        "Brier (1950), of the probability of stopping", _stops(_brier, needs_hazard=True), UNIT,
    ),
)  # fmt: skip
