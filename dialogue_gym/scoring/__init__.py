"""Scorers: from a dialogue to a reward and metrics."""

from dialogue_gym.scoring.answers import answers_equal, last_answer
from dialogue_gym.scoring.base import Score, Scorer, scorers
from dialogue_gym.scoring.cost import Cost
from dialogue_gym.scoring.documents import DocumentScorer
from dialogue_gym.scoring.drafts import extract_draft
from dialogue_gym.scoring.extraction import extract_answer
from dialogue_gym.scoring.math import MathScorer
from dialogue_gym.scoring.numbers import Number, parse_number

scorers["math"].register("answer", MathScorer)
scorers["document"].register("facts_and_bleu", DocumentScorer)

__all__ = [
    "Cost",
    "DocumentScorer",
    "MathScorer",
    "Number",
    "Score",
    "Scorer",
    "answers_equal",
    "extract_answer",
    "extract_draft",
    "last_answer",
    "parse_number",
    "scorers",
]
