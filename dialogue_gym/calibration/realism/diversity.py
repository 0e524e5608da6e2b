"""Diversity of a speaker's words, as a ratio to people's at as many contexts."""

from collections.abc import Callable, Sequence

import numpy as np

from dialogue_gym.calibration.realism.measures import Measure, Metric, NotAvailable, ratio, weighted
from dialogue_gym.calibration.realism.resampling import Floats, Plan
from dialogue_gym.calibration.realism.speech import Speaker, SpokenDialogue
from dialogue_gym.calibration.words import ngrams, words

WINDOW = 50
Tokens = Sequence[tuple[str, ...]]


def _openings(dialogue: SpokenDialogue) -> Tokens:
    return [words(turn.text) for turn in dialogue.turns if turn.logged.is_opening and turn.in_words]


def _all_turns(dialogue: SpokenDialogue) -> Tokens:
    return [words(turn.text) for turn in dialogue.turns if turn.in_words]


def _types(speaker: Speaker, pick: Callable[[SpokenDialogue], Tokens], n: int) -> Callable[[Floats], Floats]:
    """From weights (K, dialogues) to (K, 2): different n-grams of the dialogues in it, and all n-grams."""
    from scipy.sparse import csr_array

    grams = [[g for text in pick(dialogue) for g in ngrams(text, n)] for dialogue in speaker.dialogues]
    ids = {gram: i for i, gram in enumerate(dict.fromkeys(g for row in grams for g in row))}
    if not ids:
        raise NotAvailable(f"no text of at least {n} words where it looks")
    rows = [i for i, row in enumerate(grams) for _ in row]
    columns = [ids[g] for row in grams for g in row]
    counts = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(grams), len(ids)))

    def types(weights: Floats) -> Floats:
        # a copy of a dialogue adds nothing that is new, so each counts once
        totals = (counts.T @ (weights > 0).T.astype(np.float64)).T
        return np.stack([(totals > 0).sum(axis=1), totals.sum(axis=1)], axis=1).astype(np.float64)

    return types


def distinct(tokens: Floats) -> Floats:
    """Different n-grams by all n-grams (Li et al. 2016); (K, 2) to (K,)."""
    return ratio(tokens[:, 0], tokens[:, 1])


def guiraud(tokens: Floats) -> Floats:
    """Different words by the square root of all words (Guiraud 1954); (K, 2) to (K,)."""
    return ratio(tokens[:, 0], np.sqrt(tokens[:, 1]))


def _compared(
    pick: Callable[[SpokenDialogue], Tokens], n: int, figure: Callable[[Floats], Floats]
) -> Measure:
    def measure(a: Speaker, b: Speaker, plan: Plan) -> Floats:
        types_a, types_b = _types(a, pick, n), _types(b, pick, n)
        return plan.halves(lambda w, v: ratio(figure(types_a(w)), figure(types_b(v))))

    return measure


def moving_average_ratios(tokens: Sequence[str], window: int = WINDOW) -> Floats:
    """The type-token ratio of the window that begins at each token, the end joined to the beginning.

    Example:
        >>> moving_average_ratios(["a", "b", "a", "a"], window=2)
        array([1. , 1. , 0.5, 0.5])
    """
    counts: dict[str, int] = {}
    ratios = np.empty(len(tokens))
    ring = [*tokens, *tokens[: window - 1]]
    for i, token in enumerate(ring):
        counts[token] = counts.get(token, 0) + 1
        if i >= window - 1:
            begin = i - window + 1
            ratios[begin] = len(counts) / window
            counts[ring[begin]] -= 1
            if not counts[ring[begin]]:
                del counts[ring[begin]]
    return ratios


def _windows(speaker: Speaker) -> Floats:
    """(dialogues, 2): sum of the ratios of windows that begin in a dialogue, and their number.

    All first turns are joined, then all second turns, and so on: the turns of one dialogue must not share
    windows, for a simulator that answers in a log's contexts says again what it said in the turn before.
    """
    turns = [
        (position, i, text)
        for i, dialogue in enumerate(speaker.dialogues)
        for position, text in enumerate(_all_turns(dialogue))
    ]
    turns.sort(key=lambda turn: turn[:2])
    tokens = [word for _, _, text in turns for word in text]
    if len(tokens) < WINDOW:
        raise NotAvailable(f"{len(tokens)} words in all, a window needs {WINDOW}")
    owners = np.repeat([i for _, i, _ in turns], [len(text) for _, _, text in turns])
    count = len(speaker.dialogues)
    sums = np.bincount(owners, moving_average_ratios(tokens), minlength=count)
    return np.stack([sums, np.bincount(owners, minlength=count)], axis=1).astype(np.float64)


def _mattr(a: Speaker, b: Speaker, plan: Plan) -> Floats:
    sums_a, sums_b = weighted(_windows(a)), weighted(_windows(b))

    def mean(totals: Floats) -> Floats:
        return ratio(totals[:, 0], totals[:, 1])

    return plan.halves(lambda w, v: ratio(mean(sums_a(w)), mean(sums_b(v))))


_FIRST = "distinct-n (Li et al. 2016, 1510.03055) of first turns, as UserLM (2510.06552) reports it"
METRICS = (
    Metric(
        "first_turn_distinct_1", "diversity", "equal", "ratio to people", "turns", _FIRST,
        _compared(_openings, 1, distinct),
    ),
    Metric(
        "first_turn_distinct_2", "diversity", "equal", "ratio to people", "turns", _FIRST,
        _compared(_openings, 2, distinct),
    ),
    Metric(
        "mattr", "diversity", "equal", "ratio to people", "turns",
        "moving-average type-token ratio, windows of 50 words (Covington & McFall 2010)", _mattr,
    ),
    Metric(
        "vocabulary", "diversity", "equal", "ratio to people", "turns",
        "different words by the square root of all words (Guiraud 1954)", _compared(_all_turns, 1, guiraud),
    ),
)  # fmt: skip
