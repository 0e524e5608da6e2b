"""Rule-based policies for the procedural tasks: a fixed yardstick, and demonstrations to learn from.

They read nothing but the conversation, not even how many turns are left: who asks for more facts than a
short dialogue has turns for never answers. They know the forms of the procedural templates, so they are no
use on other tasks; there they ask for what is missing and state nothing.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from dialogue_gym.registry import nearest
from dialogue_gym.rollout.base import PolicyReply, PolicyRequest
from dialogue_gym.tasks.base import Kind
from dialogue_gym.tasks.talk import question, result


class RulePolicy:
    """Asks for each missing fact, then answers in full; with ``ask_rate`` below 1 it sometimes guesses.

    Args:
        kind: "math" or "document".
        ask_rate: probability, per message, of asking when a fact is missing; else it makes one up.

    Raises:
        ValueError: unknown kind, or a rate outside [0, 1].
    """

    def __init__(self, kind: Kind, ask_rate: float = 1.0) -> None:
        if kind not in ("math", "document"):
            raise ValueError(f"unknown kind {kind!r}: {nearest(kind, ('math', 'document'))}")
        if not 0.0 <= ask_rate <= 1.0:
            raise ValueError(f"ask_rate must be in [0, 1], got {ask_rate}")
        self.kind = kind
        self.ask_rate = ask_rate

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """One message per conversation."""
        return [PolicyReply(self._speak(request)) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing to forget."""

    def identity(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "rules", "kind": self.kind, "ask_rate": self.ask_rate}

    def _speak(self, request: PolicyRequest) -> str:
        asked = question(self.kind, request.conversation, request.key)
        if asked is not None and request.key.child("ask").uniform() < self.ask_rate:
            return asked
        return result(self.kind, request.conversation, request.key)
