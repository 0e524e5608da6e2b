"""The scorer of document dialogues: required facts and word BLEU of the agent's final draft."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dialogue_gym.dialogue import Conversation
from dialogue_gym.scoring.base import Score
from dialogue_gym.scoring.cost import Cost
from dialogue_gym.scoring.drafts import extract_draft
from dialogue_gym.tasks.base import Task

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

LONGEST = 20_000
"""Characters of a draft that are compared."""


class DocumentScorer:
    """Half the share of required facts in the final draft, half its BLEU against the target text.

    Where a task has no facts, BLEU alone. Only the agent's own work counts: see ``extract_draft``. BLEU is
    word-level sentence BLEU-4 (Papineni et al., 2002) by sacrebleu: lower case, tokenizer 13a, effective
    order, from 0 to 1. Unrelated English text scores about 0.01; with
    characters in place of words it would score 0.38.

    Metrics: ``facts`` (left out when the task has none), ``bleu``, ``drafted`` (0 or 1), ``words``, ``cost``,
    and ``tokens`` with a counter.

    Args:
        cost_per_word: reward units that each word of the agent costs.
        cost_per_token: the same for tokens; needs ``count_tokens``.
        count_tokens: the number of tokens in a text.

    Raises:
        ValueError: a price is negative, or ``count_tokens`` is missing.
    """

    def __init__(
        self,
        cost_per_word: float = 0.0,
        cost_per_token: float = 0.0,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        self.cost = Cost(cost_per_word, cost_per_token, count_tokens)

    def score(self, task: Task, conversation: Conversation) -> Score:
        """Score the dialogue as it stands; for any text."""
        metrics = self.draft_metrics(task, extract_draft(conversation)[:LONGEST])
        quality = self.quality(metrics)
        metrics |= self.cost.metrics(conversation)
        return Score(quality - metrics["cost"], metrics)

    def draft_metrics(self, task: Task, draft: str) -> dict[str, float]:
        """What there is to say of a draft."""
        metrics = {"bleu": word_bleu(draft, task.reference.text), "drafted": float(bool(draft))}
        if task.reference.facts:
            metrics["facts"] = fact_share(draft, task.reference.facts)
        return metrics

    def quality(self, metrics: dict[str, float]) -> float:
        """What the draft earns, before costs."""
        if "facts" not in metrics:
            return metrics["bleu"]
        return 0.5 * metrics["facts"] + 0.5 * metrics["bleu"]

    def identity(self) -> dict[str, Any]:
        """JSON-able name and settings, for logs."""
        return {"name": "facts_and_bleu", "bleu": "word", **self.cost.identity()}


def fact_share(draft: str, facts: tuple[str, ...]) -> float:
    """The share of facts that stand in a draft as whole tokens, whatever their case.

    Example:
        >>> fact_share("Chess on friday at 17:00", ("Friday", "7", "17"))
        0.3333333333333333
    """
    text = draft.casefold()
    return sum(_fact_pattern(fact).search(text) is not None for fact in facts) / len(facts)


@lru_cache(maxsize=4096)
def _fact_pattern(fact: str) -> re.Pattern[str]:
    """The fact with free white space, not inside a longer word, number or time."""
    body = r"\s+".join(re.escape(word) for word in fact.casefold().split())
    body = re.sub(r"(?<=[0-9])\\s\+(?=[ap]\\?\.?m)", r"\\s*", body)  # "7 pm" is "7pm"
    return re.compile(rf"(?<!\w)(?<![0-9][.,:/]){body}(?!\w)(?![.,:/][0-9])")


def word_bleu(draft: str, target: str) -> float:
    """Word-level sentence BLEU-4 in [0, 1]; 0 when either text is empty.

    Example:
        >>> word_bleu("The chess club meets on Friday.", "the chess club meets on friday.")
        1.0
    """
    if not draft.strip() or not target.strip():
        return 0.0
    score = float(_bleu().sentence_score(draft, [target[:LONGEST]]).score) / 100
    return round(min(1.0, score), 12)  # an exact match is 100 only up to rounding


@lru_cache(maxsize=1)
def _bleu() -> "BLEU":
    from sacrebleu.metrics import BLEU  # a tenth of a second that math alone need not pay

    return BLEU(lowercase=True, tokenize="13a", effective_order=True)
