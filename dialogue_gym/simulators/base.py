"""The protocol of user simulators: batched, keyed, stateless in behaviour."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from dialogue_gym.dialogue import Conversation
from dialogue_gym.registry import Registry
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.personas import Persona
from dialogue_gym.tasks.base import Brief, Kind


@dataclass(frozen=True, slots=True)
class UserRequest:
    """Ask for the user's next message in one dialogue.

    Attributes:
        dialogue_id: opaque; a simulator may cache under it until ``forget`` is called with it.
        kind: "math" or "document".
        brief: what this user knows and wants.
        persona: how this user behaves.
        conversation: the messages so far; empty when the user opens, else the agent spoke last.
        key: the noise for this one reply.
    """

    dialogue_id: Hashable
    kind: Kind
    brief: Brief
    persona: Persona
    conversation: Conversation
    key: NoiseKey


@dataclass(slots=True)
class UserReply:
    """What the user says.

    Attributes:
        text: the message.
        stop: whether the user ends the dialogue with it.
        metadata: JSON-able details for the laboratory's log (which facts were told, model, ...).
        error: when set, this dialogue alone has failed; the text is ignored.
        timed_out: whether the error is a missed deadline.
        overflow: whether the error is a full context of the user's model.
    """

    text: str
    stop: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    timed_out: bool = False
    overflow: bool = False


@dataclass(frozen=True, slots=True)
class ReplyLogProb:
    """Natural-log probabilities of a given reply: of stopping as it does, and of its text.

    Their sum is the reply's. Which of the two is conditioned on the other depends on what the simulator
    decides first; see ``ScoringUserSimulator.decides_stop_first``.
    """

    stop: float
    text: float

    @property
    def total(self) -> float:
        """Log-probability of the reply as a whole."""
        return self.stop + self.text


@runtime_checkable
class UserSimulator(Protocol):
    """Plays the user in many dialogues at once.

    ``reply`` must depend on each request alone: not on its neighbours, their order, or earlier calls.
    """

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """One reply per request, in order. Raise only when the whole batch failed."""
        ...

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """These dialogues are over; drop what was cached for them."""
        ...

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """The persona of the dialogue with this key."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-able: name, model, prompt hash, sampling; goes into every log line."""
        ...


@runtime_checkable
class ScoringUserSimulator(UserSimulator, Protocol):
    """A simulator that also knows how likely a given reply is.

    Attributes:
        decides_stop_first: whether ``log_prob(...).stop`` depends on the context alone, so that it is the
            hazard of stopping; else it is conditioned on the text, and hazards must be sampled.
    """

    decides_stop_first: bool

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        """Log-probability of each reply under this simulator; ``-inf`` where impossible."""
        ...


simulators: Registry[UserSimulator] = Registry("user simulator", group="dialogue_gym.simulators")
