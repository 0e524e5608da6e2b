"""BLEU over characters, for comparison with published figures of CollabLLM (2502.00640) and what follows it.

Its code hands raw strings to a function that expects lists of words, so that its tokens are characters.
Unrelated English text then scores 0.38 (0.28 to 0.52, chunks of 300 words), the same words in another order
0.91, and the published 32 to 38 lie where unrelated text does. Word BLEU, the default here, gives unrelated
text about 0.01.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from dialogue_gym.scoring.documents import LONGEST, DocumentScorer
from dialogue_gym.tasks.base import Task

UNRELATED_TEXT = 0.38
"""What unrelated English text of 300 words scores on average; reported beside every figure."""

_ORDER = 4


def char_bleu(draft: str, target: str) -> float:
    """Sentence BLEU-4 over characters in [0, 1], as CollabLLM's code computes it; 0 when a text is empty.

    No smoothing, case counts, clipped precisions and brevity penalty of Papineni et al. (2002).

    Example:
        >>> char_bleu("The club meets on Friday.", "The club meets on Friday.")
        1.0
        >>> round(char_bleu("A red car was sold in May.", "The club meets on Friday."), 2)
        0.0
    """
    if not draft or not target:
        return 0.0
    logs = []
    for n in range(1, _ORDER + 1):
        said, wanted = _ngrams(draft, n), _ngrams(target, n)
        clipped = sum((said & wanted).values())
        if not clipped:
            return 0.0
        logs.append(math.log(clipped / said.total()))
    brevity = min(0.0, 1 - len(target) / len(draft))
    return math.exp(brevity + sum(logs) / _ORDER)


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


class CharBleuScorer(DocumentScorer):
    """The character BLEU of the final draft against the target text, as in CollabLLM; for comparison only.

    Metrics: ``char_bleu``, ``char_bleu_of_unrelated_text`` (always 0.38, so that no table can show the one
    without the other), and those of ``DocumentScorer``, word BLEU among them. CollabLLM asks a language
    model for the final document; here it is the scorer's own ``extract_draft``, and an ``extractor`` of
    ``JudgedScorer`` adds the other.

    Args:
        cost_per_word: see ``DocumentScorer``.
        cost_per_token: see there.
        count_tokens: see there.
    """

    def __init__(
        self,
        cost_per_word: float = 0.0,
        cost_per_token: float = 0.0,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        super().__init__(cost_per_word, cost_per_token, count_tokens)

    def draft_metrics(self, task: Task, draft: str) -> dict[str, float]:
        """What there is to say of a draft."""
        compared = {"char_bleu": char_bleu(draft, task.reference.text[:LONGEST])}
        return compared | {"char_bleu_of_unrelated_text": UNRELATED_TEXT} | super().draft_metrics(task, draft)

    def quality(self, metrics: dict[str, float]) -> float:
        """The character BLEU alone."""
        return metrics["char_bleu"]

    def identity(self) -> dict[str, Any]:
        """JSON-able name and settings, for logs."""
        return {
            "name": "char_bleu",
            "bleu": "char, as in CollabLLM's code",
            "unrelated_text": UNRELATED_TEXT,
            **self.cost.identity(),
        }
