"""Contexts: what was said in a logged dialogue before a reply, and nothing of what came after."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dialogue_agents.logs import usable_records
from dialogue_gym.envs.starts import single_start
from dialogue_gym.logs import DialogueRecord, policy_view


@dataclass(frozen=True, slots=True)
class Context:
    """A logged prefix that ends with the user's message.

    Attributes:
        start: for the environment to go on from: the prefix with its task and persona, which the
            environment needs to score and to simulate; it shows the agent the messages alone.
        line: of the log, from 1.
    """

    start: DialogueRecord
    line: int

    @property
    def turns(self) -> int:
        """Replies that the agent has given before."""
        return len(self.start.messages) // 2


def cut(record: DialogueRecord, which: Literal["final", "all"]) -> list[DialogueRecord]:
    """The prefixes of a dialogue before its last reply, or before every one; none where it has no reply.

    Where to cut, and what stands before, is read off the policy's view; what belongs to later turns (how
    the dialogue ended, its score, the user's later states) is left out.
    """
    messages = policy_view(record).messages
    replies = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    return [
        replace(
            record,
            messages=messages[:i],
            turns_metadata=record.turns_metadata[: (i + 1) // 2],
            policy={},
            end_reason=None,
            reward=None,
            metrics={},
            extra={},
        )
        for i in (replies[-1:] if which == "final" else replies)
    ]


def read_contexts(
    path: Path, env_id: str, which: Literal["final", "all"], held_out: str | None = None
) -> list[Context]:
    """The contexts of a log, in order.

    Args:
        path: the log.
        env_id: the environment that its dialogues must be of.
        which: "final" or "all".
        held_out: the split that evaluation uses, whose tasks may not be trained on; None without one.

    Raises:
        FileNotFoundError: no such log.
        ValueError: one line about what cannot be used, with file and line.
    """
    contexts = [
        Context(start, line)
        for line, record in _checked(path, env_id, held_out)
        for start in cut(record, which)
    ]
    if not contexts:
        raise ValueError(f"{path}: has no dialogue with a reply, from which a context could be cut")
    return contexts


def _checked(path: Path, env_id: str, held_out: str | None) -> Iterator[tuple[int, DialogueRecord]]:
    for line, record in usable_records(path, env_id, held_out):
        where = f"{path}:{line}: a dialogue"
        if record.task is None:
            raise ValueError(f"{where} without its task, which scoring a reply needs")
        try:
            single_start({"dialogue": record})
        except ValueError as error:
            raise ValueError(f"{where} that no environment can go on from: {error}") from None
        yield line, record
