"""Policies and trajectories: the currency between environments, learners and logs."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from dialogue_gym.dialogue import Conversation
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """Ask for the agent's next message in one dialogue.

    Attributes:
        dialogue_id: opaque; a policy may keep token ids and caches under it until ``forget``.
        conversation: what the environment showed: the whole dialogue so far, the user last.
        key: the noise for this one message.
    """

    dialogue_id: Hashable
    conversation: Conversation
    key: NoiseKey


@dataclass(slots=True)
class PolicyReply:
    """The agent's message and, for language models, how it came about in tokens.

    Attributes:
        text: the message, the environment's action.
        context_ids: token ids that were added to the context since the agent's last message (the whole
            opening at first, then the rest of the last turn, the user's message and the next header).
        token_ids: what was sampled, the end-of-turn token included when it was sampled.
        log_probs: behaviour log-probabilities of ``token_ids``, natural log.
        error: one line when the policy could not answer; the dialogue is then cut off, unscored.
        overflow: whether the error is a full context.
    """

    text: str
    context_ids: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    error: str | None = None
    overflow: bool = False


@runtime_checkable
class Policy(Protocol):
    """The agent: conversations in, assistant messages out, batched."""

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        """One reply per request, in order."""
        ...

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """These dialogues are over; drop what was cached for them."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-able description, for logs."""
        ...


@dataclass(slots=True)
class Trajectory:
    """What a learner gets of one dialogue. The token lists are append-only and of equal length.

    Attributes:
        token_ids: everything the policy's model saw or sampled, never re-tokenised.
        loss_mask: 1 where the policy sampled the token, else 0.
        log_probs: behaviour log-probability where ``loss_mask`` is 1, else 0.0.
        turn_index: turn of a sampled token, -1 elsewhere.
        rewards: the environment's reward of each turn; none where the dialogue was over before the first.
        reward: the score of the dialogue, or None when it was not scored; a missing reward, not a zero.
        record: the dialogue as the laboratory logs it.
    """

    token_ids: list[int]
    loss_mask: list[int]
    log_probs: list[float]
    turn_index: list[int]
    rewards: list[float]
    reward: float | None
    record: DialogueRecord

    @property
    def prompt_length(self) -> int:
        """Number of tokens before the first sampled one."""
        return self.loss_mask.index(1) if 1 in self.loss_mask else len(self.loss_mask)
