"""The protocol of turn rewards: recorded dialogues in, one number for each message of the agent out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.registry import Registry
from dialogue_gym.rollout import Policy


@runtime_checkable
class TurnReward(Protocol):
    """What a learner is paid in place of the environment's reward, turn by turn.

    It may read everything in a record, the reference too: it is a training signal of the laboratory, and
    nothing of what it reads is ever shown to a policy. The reported score, ``record.reward``, is not its
    business.

    One that knows the sum of a dialogue more cheaply than its parts has a method ``totals`` as well, with
    the arguments of ``rewards`` and one number or None for each dialogue; see there.

    ``dialogue_gym.testing.check_turn_reward`` checks one of yours.
    """

    def rewards(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        """One number for each message of the agent, for every dialogue as it stands.

        A dialogue that is not over is paid as far as it goes. None, a missing reward and not a zero, for
        one that ended unscored or that cannot be judged.

        Raises:
            ValueError: a dialogue without what the reward needs, such as its task.
        """
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-able name and settings."""
        ...


@dataclass(slots=True)
class CurrentPolicy:
    """The policy under training, whichever object has its weights at the time.

    Attributes:
        policy: who speaks now; exchanged by the learner.
    """

    policy: Policy | None = None

    def now(self) -> Policy:
        """Who speaks now.

        Raises:
            ValueError: nobody yet.
        """
        if self.policy is None:
            raise ValueError("this turn reward needs the policy under training, and was given none")
        return self.policy


@dataclass(frozen=True, slots=True)
class Training:
    """What a turn reward may use of the training that it serves.

    Attributes:
        env: a vector environment for ``play``, with the user, scorer and turn limit of the training;
            whatever dialogues are in it may be given up.
        policy: the policy under training.
    """

    env: DialogueVectorEnv
    policy: CurrentPolicy = field(default_factory=CurrentPolicy)


turn_rewards: Registry[TurnReward] = Registry("turn reward", group="dialogue_gym.rewards")
"""Factories; each gets the ``Training`` that it serves as the keyword ``training``."""


def build_turn_reward(spec: str | Mapping[str, Any] | TurnReward, training: Training) -> TurnReward:
    """A turn reward from its name, ``{"name": ..., **options}``, or as it is.

    Raises:
        ValueError: an unknown name or option, with the nearest ones; or a training that lacks what it needs.
    """
    if isinstance(spec, str | Mapping):
        spec = turn_rewards.build(spec, training=training)
    if not isinstance(spec, TurnReward):
        raise ValueError(f"a turn reward must be a TurnReward, a name or a dict, got {type(spec).__name__}")
    return spec


def replies(record: DialogueRecord) -> int:
    """Messages of the agent in a dialogue."""
    return len(record.messages) // 2


def is_over(record: DialogueRecord) -> bool:
    """Whether a dialogue has ended; logs of others tell at times only the score."""
    return record.end_reason is not None or record.reward is not None


def is_unscored(record: DialogueRecord) -> bool:
    """Whether a dialogue ended without a score."""
    return is_over(record) and record.reward is None


def ask(reward: TurnReward, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
    """The rewards of these dialogues, checked.

    Raises:
        TypeError: they are not one finite number for each message of the agent.
    """
    found = reward.rewards(records) if records else []
    if len(found) != len(records):
        raise TypeError(f"rewards() must return {len(records)} items, got {len(found)}")
    for record, values in zip(records, found, strict=True):
        if values is not None and not (
            len(values) == replies(record) and all(math.isfinite(value) for value in values)
        ):
            raise TypeError(
                f"rewards() must return None or {replies(record)} finite numbers, one for each message of "
                f"the agent, got {values!r:.200}"
            )
    return found


def totals(reward: TurnReward, records: Sequence[DialogueRecord]) -> list[float | None]:
    """What each dialogue has earned as it stands: the sum of its rewards, or None."""
    shortcut = getattr(reward, "totals", None)
    if shortcut is not None:
        found: list[float | None] = shortcut(records)
        return found
    return [None if values is None else math.fsum(values) for values in ask(reward, records)]


def check_paying(wrapper: object, env: Any, kind: type[Any], reward: Any) -> None:
    """Refuse what a wrapper cannot pay in.

    Raises:
        ValueError: the environment is not of this kind, or the reward is no ``TurnReward``.
    """
    name, inner = type(wrapper).__name__, type(env.unwrapped).__name__
    if not isinstance(env.unwrapped, kind):
        raise ValueError(f"{name} wraps a {kind.__name__}, got {inner}")
    if not isinstance(reward, TurnReward):
        raise ValueError(f"{name} needs a TurnReward, got {type(reward).__name__}")
