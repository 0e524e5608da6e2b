"""Leakage: how early a user tells what it knows, by turn."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from dialogue_gym.calibration.realism.measures import (
    Measure,
    Metric,
    NotAvailable,
    of_dialogues,
    ratio,
    weighted,
)
from dialogue_gym.calibration.realism.resampling import Floats, Plan
from dialogue_gym.calibration.realism.speech import Speaker, SpokenDialogue, SpokenTurn
from dialogue_gym.calibration.words import content_words, ngrams, words
from dialogue_gym.simulators.state import says, texts

TURNS = 10
"""Turns that curves have at most, the opening among them."""

Count = Callable[[SpokenTurn], tuple[int, int]]


def told_facts(turn: SpokenTurn) -> tuple[int, int]:
    """Facts of the brief told for the first time in this turn, and those that were held back until then."""
    before = "\n".join(texts(turn.logged.request.conversation, "user"))
    held = [f.value for f in turn.logged.request.brief.facts if not says(before, f.value)]
    return sum(says(turn.text, value) for value in held), len(held)


def told_words(turn: SpokenTurn) -> tuple[int, int]:
    """The same for the content words of the brief, or of the intent where there is no task."""
    before = {w for text in texts(turn.logged.request.conversation, "user") for w in words(text)}
    held = content_words(_brief(turn)) - before
    return len(held.intersection(words(turn.text))), len(held)


def copied_ngrams(turn: SpokenTurn) -> tuple[int, int]:
    """The turn's runs of four words that stand in the brief or intent, and all its runs of four words."""
    known = _runs(_brief(turn))
    spoken = ngrams(words(turn.text), 4) if known else []
    return sum(gram in known for gram in spoken), len(spoken)


def _brief(turn: SpokenTurn) -> str:
    brief = turn.logged.request.brief
    return "\n".join((brief.text, brief.goal, *(fact.text for fact in brief.facts)))


@lru_cache(maxsize=4096)
def _runs(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(gram for line in text.splitlines() for gram in ngrams(words(line), 4))


def by_turn(speaker: Speaker, count: Count) -> Floats:
    """(dialogues, 2, TURNS): sums of both counts by turn; excerpts without a beginning are zeros."""

    def table(dialogue: SpokenDialogue) -> Floats:
        sums = np.zeros((2, TURNS))
        for turn in dialogue.turns:
            if dialogue.begins and turn.in_words and turn.logged.index < TURNS:
                sums[:, turn.logged.index] += count(turn)
        return sums

    return of_dialogues(speaker, table)


def disclosed(totals: Floats) -> Floats:
    """(K, 2, TURNS) to (K, TURNS): the share told up to each turn.

    Speakers answer in the log's contexts, where different things are held back. What is known of each is
    the share that it tells of what is still held; the curve is what these make in a row (Kaplan & Meier
    1958).
    """
    told = np.nan_to_num(ratio(totals[:, 0], totals[:, 1]))
    return np.asarray(1.0 - np.cumprod(1.0 - told, axis=-1), dtype=np.float64)


def overlapping(totals: Floats) -> Floats:
    """(K, 2, TURNS) to (K, TURNS): the share at each turn; NaN where nothing was counted."""
    return ratio(totals[:, 0], totals[:, 1])


def horizon(totals: Floats) -> int:
    """Turns at which at least a twentieth of the most is counted, so that curves are not noise."""
    enough = totals[1] >= max(1.0, 0.05 * totals[1].max())
    return int(np.argmin(enough)) if not enough.all() else TURNS


def curve_distance(a: Floats, b: Floats, turns: int) -> Floats:
    """Mean absolute difference of curves (K, TURNS), turn ``i`` weighted by ``turns - i``.

    The weights are those by which the seed theorem (2605.26403) sums errors per turn: an early error
    is carried through all later turns.
    """
    weights = np.arange(turns, 0, -1, dtype=np.float64)
    gap = np.abs(a - b)[:, :turns]
    known = np.isfinite(gap) * weights
    return ratio((np.nan_to_num(gap) * known).sum(axis=1), known.sum(axis=1))


def _curves(count: Count, curve: Callable[[Floats], Floats], lacks: str) -> Measure:
    def measure(a: Speaker, b: Speaker, plan: Plan) -> Floats:
        sums_a, sums_b = by_turn(a, count), by_turn(b, count)
        turns = horizon(sums_b.sum(axis=0))
        if not sums_b[:, 1].any() or not turns:
            raise NotAvailable(lacks)
        total_a, total_b = weighted(sums_a), weighted(sums_b)
        return plan.halves(lambda w, v: curve_distance(curve(total_a(w)), curve(total_b(v)), turns))

    return measure


_THEOREM = "; distance of curves weighted (H - i) as in 2605.26403"
_NO_BRIEF = "the log has no briefs or intents, or no dialogues with a beginning"
METRICS = (
    Metric(
        "facts_by_turn", "leakage", "lower", "share", "turns",
        "values of the brief's facts told up to each turn" + _THEOREM,
        _curves(told_facts, disclosed, "the log has no tasks with facts, or no beginnings"), (0.0, 1.0),
    ),
    Metric(
        "brief_words_by_turn", "leakage", "lower", "share", "turns",
        "content words of the brief or intent said up to each turn" + _THEOREM,
        _curves(told_words, disclosed, _NO_BRIEF), (0.0, 1.0),
    ),
    Metric(
        "brief_4grams_by_turn", "leakage", "lower", "share", "turns",
        "4-grams of user turns that stand in the brief or intent (UserLM, 2510.06552)" + _THEOREM,
        _curves(copied_ngrams, overlapping, _NO_BRIEF), (0.0, 1.0),
    ),
)  # fmt: skip
CURVES: dict[str, tuple[Count, Callable[[Floats], Floats]]] = {
    "facts_by_turn": (told_facts, disclosed),
    "brief_words_by_turn": (told_words, disclosed),
    "brief_4grams_by_turn": (copied_ngrams, overlapping),
}
"""What the report draws, by metric."""
