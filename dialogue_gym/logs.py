"""The log format: one recorded dialogue a line, as JSON."""

from dataclasses import dataclass, field
from typing import Any

from dialogue_gym.dialogue import Message

SCHEMA_VERSION = 1


@dataclass(slots=True)
class DialogueRecord:
    """One recorded dialogue: the laboratory's view, with everything.

    Attributes:
        env_id: for example "MathChat-v0".
        split: the split that the task came from.
        task: ``tasks.task_to_dict`` of the task; None for imported dialogues without one.
        persona: the persona's fields; None when unknown (people).
        task_seed: keys the task, persona and opening.
        reply_seed: keys the user's replies.
        simulator: identity of the user.
        policy: identity of the agent; empty when unknown.
        messages: the dialogue; user first, roles alternate.
        turns_metadata: the user's metadata, one dict for each user message.
        end_reason: an ``EndReason`` value; None when it is not over.
        reward: None when unscored.
        metrics: the scorer's.
        extra: anything else that an importer or a study wants to keep.
    """

    env_id: str
    split: str
    task: dict[str, Any] | None
    persona: dict[str, Any] | None
    task_seed: int
    reply_seed: int
    simulator: dict[str, Any]
    policy: dict[str, Any]
    messages: list[Message]
    turns_metadata: list[dict[str, Any]]
    end_reason: str | None
    reward: float | None
    metrics: dict[str, float]
    extra: dict[str, Any] = field(default_factory=dict)
