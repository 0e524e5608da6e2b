"""Scorers: from a dialogue to a reward and metrics."""

from functools import partial

from dialogue_gym.scoring.answers import answers_equal, last_answer
from dialogue_gym.scoring.base import Score, Scorer, scorers
from dialogue_gym.scoring.char_bleu import CharBleuScorer, char_bleu
from dialogue_gym.scoring.cost import Cost
from dialogue_gym.scoring.documents import DocumentScorer
from dialogue_gym.scoring.drafts import extract_draft
from dialogue_gym.scoring.extraction import extract_answer
from dialogue_gym.scoring.judged import JudgedScorer, MissingMetric
from dialogue_gym.scoring.math import MathScorer
from dialogue_gym.scoring.numbers import Number, parse_number
from dialogue_gym.scoring.reasoning import ReasoningGymScorer

scorers["math"].register("answer", MathScorer)
scorers["document"].register("facts_and_bleu", DocumentScorer)
scorers["document"].register("char_bleu", CharBleuScorer)
scorers["math"].register("judged", partial(JudgedScorer, "math"))
scorers["document"].register("judged", partial(JudgedScorer, "document"))

__all__ = [
    "CharBleuScorer",
    "Cost",
    "DocumentScorer",
    "JudgedScorer",
    "MathScorer",
    "MissingMetric",
    "Number",
    "ReasoningGymScorer",
    "Score",
    "Scorer",
    "answers_equal",
    "char_bleu",
    "extract_answer",
    "extract_draft",
    "last_answer",
    "parse_number",
    "scorers",
]
