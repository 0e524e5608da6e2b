"""Flow: lengths, dialogue acts, what a classifier can tell apart; broken roles, empty and repeated turns."""

import numpy as np

from dialogue_gym.calibration.discriminator import NgramDiscriminator, held_out_logits, shown, weighted_auc
from dialogue_gym.calibration.realism.acts import ACTS, act, breaks_role
from dialogue_gym.calibration.realism.measures import (
    NOTHING_SAID,
    Metric,
    NotAvailable,
    dialogue_sums,
    distance,
    earth_movers,
    histogram,
    jensen_shannon,
    share,
)
from dialogue_gym.calibration.realism.resampling import Floats, Plan
from dialogue_gym.calibration.realism.speech import Speaker, SpokenTurn
from dialogue_gym.calibration.words import words
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.state import texts

MOST_WORDS = 200
CLASSIFIER_SPLITS = 5
CLASSIFIER_DIALOGUES = 12
"""A classifier needs at least so many dialogues, half of them on each side."""


def words_per_turn(speaker: Speaker) -> Floats:
    """(dialogues, MOST_WORDS + 1): histogram of words per turn."""
    return dialogue_sums(speaker, lambda turn: histogram([len(words(turn.text))], MOST_WORDS + 1))


def act_counts(speaker: Speaker) -> Floats:
    """(dialogues, acts): how often each act of ``ACTS`` occurs in replies to the agent."""

    def of_turn(turn: SpokenTurn) -> Floats:
        name = act(turn.text, turn.logged.request.conversation)
        return np.array([float(name == a and not turn.logged.is_opening) for a in ACTS])

    return dialogue_sums(speaker, of_turn)


def _classifier_auc(a: Speaker, b: Speaker, plan: Plan) -> Floats:
    """AUC of fresh classifiers, one for each split; scores are held out.

    A resample draws dialogues, by reweighting the scores, and classifiers too: how well one does depends
    on the dialogues that it happened to learn from.
    """
    if plan.dialogues < CLASSIFIER_DIALOGUES:
        raise NotAvailable(f"{plan.dialogues} dialogues, a classifier needs {CLASSIFIER_DIALOGUES}")
    turns = [
        [(side, i, turn) for i, d in enumerate(speaker.dialogues) for turn in d.turns if turn.in_words]
        for side, speaker in enumerate((a, b))
    ]
    both = turns[0] + turns[1]
    if not both:
        raise NotAvailable(NOTHING_SAID)
    discriminator = NgramDiscriminator()
    seen = [(turn.logged.request, shown(turn.logged, turn.reply)) for _, _, turn in both]
    features = discriminator.features(seen)
    sides, owners = np.array([s for s, _, _ in both]), np.array([i for _, i, _ in both])
    figures = []
    for first, second in zip(plan.first[::2][:CLASSIFIER_SPLITS], plan.second[::2], strict=False):
        rows = np.flatnonzero(np.where(sides == 0, first[owners], second[owners]))
        if len(set(sides[rows])) < 2 or min(len(set(owners[rows][sides[rows] == s])) for s in (0, 1)) < 3:
            raise NotAvailable("too few dialogues in which both say something")
        logits = held_out_logits(discriminator, features[rows], sides[rows], owners[rows])
        figures.append(weighted_auc(logits, sides[rows], plan.weights[:, owners[rows]]))
    table = np.array(figures).T
    drawn = (
        NoiseKey(("realism", "classifiers", *table.shape))
        .generator()
        .integers(0, table.shape[1], (table.shape[0] - 1, table.shape[1]))
    )
    return np.vstack([table[:1], np.take_along_axis(table[1:], drawn, axis=1)])


def _breaks(turn: SpokenTurn) -> tuple[float, float]:
    return float(breaks_role(turn.text)), 1.0


def _is_empty(turn: SpokenTurn) -> tuple[float, float]:
    """A silent end is no empty turn."""
    return float(not turn.text.strip() and not turn.reply.stop), 1.0


def _repeats(turn: SpokenTurn) -> tuple[float, float]:
    """The same words as an earlier message of the user."""
    said = words(turn.text)
    earlier = (words(text) for text in texts(turn.logged.request.conversation, "user"))
    return float(bool(said) and said in earlier), float(not turn.logged.is_opening)


UNIT = (0.0, 1.0)
METRICS = (
    Metric(
        "words_per_turn", "flow", "lower", "words", "turns",
        "Wasserstein-1 distance of words per user turn", distance(words_per_turn, earth_movers),
    ),
    Metric(
        "dialogue_acts", "flow", "lower", "bits", "turns",
        "Jensen-Shannon divergence (Lin 1991) of rule-based dialogue acts of replies",
        distance(act_counts, jensen_shannon), UNIT,
    ),
    Metric(
        "classifier_auc", "flow", "lower", "AUC", "turns",
        "classifier two-sample test (Lopez-Paz & Oquab 2017, 1610.06545): n-gram logistic regression, "
        "5 folds by dialogue", _classifier_auc, UNIT,
    ),
    Metric(
        "role_breaks", "roles", "lower", "share of turns", "turns",
        "patterns of a user who solves, speaks as the assistant or offers help (CollabLLM 2502.00640 and "
        "tau2-bench name these faults)", share(_breaks, only_in_words=True), UNIT,
    ),
    Metric(
        "empty_turns", "roles", "lower", "share of turns", "turns",
        "turns without a text that do not end the dialogue", share(_is_empty), UNIT,
    ),
    Metric(
        "repeated_turns", "roles", "lower", "share of turns", "turns",
        "replies in the same words as an earlier message of the user",
        share(_repeats, only_in_words=True), UNIT,
    ),
)  # fmt: skip
