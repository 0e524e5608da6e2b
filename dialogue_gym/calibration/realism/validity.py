"""How far each metric can be believed: its measured rank correlation with an exact divergence.

Figures of ``python -m benchmarks.metric_validity`` (math, mean over seeds 0 and 1): Spearman's rank
correlation, over users of graded badness, of the metric with the divergence per turn from the scripted
population, whose likelihood is exact. Users are bad in fifteen ways there, so a metric that names one
fault well, such as broken roles, follows the divergence little: it says what is wrong, not how far a user
is from people.
"""

KEPT = 0.6
"""The least correlation of a metric that counts in the verdict; the others are shown apart."""

VALIDITY: dict[str, float] = {
    "nats_per_turn": 1.00,
    "classifier_auc": 0.95,
    "nats_per_character": 0.90,
    "d1_style": 0.77,
    "dialogue_acts": 0.75,
    "d2_disclosure": 0.72,
    "outcome_calibration": 0.70,
    "facts_by_turn": 0.66,
    "brief_words_by_turn": 0.65,
    "stop_brier": 0.62,
    "stop_f1": 0.62,
    "d3_clarification": 0.58,
    "turns_per_dialogue": 0.57,
    "words_per_turn": 0.55,
    "d4_error_reaction": 0.53,
    "brief_4grams_by_turn": 0.51,
    "stop_recall": 0.49,
    "first_turn_distinct_2": 0.47,
    "vocabulary": 0.46,
    "first_turn_distinct_1": 0.43,
    "mattr": 0.34,
    "role_breaks": 0.13,
    "empty_turns": 0.13,
    "stop_precision": 0.12,
    "repeated_turns": -0.10,
}
"""By metric; what has not been measured is not here. ``nats_per_turn`` has 1 by construction."""
