"""The scorer of math dialogues: is the agent's last stated answer right?"""

from collections.abc import Callable
from typing import Any

from dialogue_gym.dialogue import Conversation
from dialogue_gym.scoring.answers import answers_equal, last_answer
from dialogue_gym.scoring.base import Score
from dialogue_gym.scoring.cost import Cost
from dialogue_gym.tasks.base import Task


class MathScorer:
    """1 for a right last answer, 0 otherwise, minus what the agent's words cost.

    Metrics: ``accuracy`` (0 or 1), ``answered`` (0 or 1), ``words``, ``cost``, and ``tokens`` with a counter.

    Args:
        cost_per_word: reward units that each word of the agent costs.
        cost_per_token: the same for tokens; needs ``count_tokens``.
        count_tokens: the number of tokens in a text.
        timeout_s: seconds that comparing two expressions may take; plain numbers take microseconds.

    Raises:
        ValueError: a price is negative, or ``count_tokens`` is missing.
    """

    def __init__(
        self,
        cost_per_word: float = 0.0,
        cost_per_token: float = 0.0,
        count_tokens: Callable[[str], int] | None = None,
        timeout_s: float = 2.0,
    ) -> None:
        self.cost = Cost(cost_per_word, cost_per_token, count_tokens)
        if not (isinstance(timeout_s, int | float) and 0 < timeout_s <= 60):
            raise ValueError(f"timeout_s is {timeout_s!r}; it should be more than 0 and at most 60 seconds")
        self.timeout_s = timeout_s

    def score(self, task: Task, conversation: Conversation) -> Score:
        """Score the dialogue as it stands; for any text."""
        answer = last_answer(conversation)
        right = answer is not None and answers_equal(answer, task.reference.answer, self.timeout_s)
        metrics = {"accuracy": float(right), "answered": float(answer is not None)}
        metrics |= self.cost.metrics(conversation)
        return Score(metrics["accuracy"] - metrics["cost"], metrics)

    def identity(self) -> dict[str, Any]:
        """JSON-able name and settings, for logs."""
        return {"name": "answer", "timeout_s": self.timeout_s, **self.cost.identity()}
