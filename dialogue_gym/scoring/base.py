"""The protocol of scorers: a finished dialogue and a task in, a reward and metrics out."""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from dialogue_gym.dialogue import Conversation
from dialogue_gym.registry import Registry
from dialogue_gym.tasks.base import Kind, Task, registries


@dataclass(frozen=True, slots=True)
class Score:
    """What a dialogue earned.

    Attributes:
        reward: the number that learners maximise.
        metrics: its parts and other measures; a measure that could not be taken is left out, never 0.
    """

    reward: float
    metrics: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Scorer(Protocol):
    """Judges the agent's part of a dialogue; separate from the user."""

    def score(self, task: Task, conversation: Conversation) -> Score:
        """Score the dialogue as it stands. Must not raise for any text, however long or odd."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-able name and settings, for logs."""
        ...


scorers: dict[Kind, Registry[Scorer]] = registries("scorer")
