"""Logged dialogues as a learner may see them, and how strongly each is imitated."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dialogue_agents.logs import usable_records
from dialogue_gym.logs import PolicyRecord, policy_view


@dataclass(frozen=True, slots=True)
class Weighted:
    """A dialogue and how strongly it is imitated; the weights of a log have the mean 1."""

    dialogue: PolicyRecord
    weight: float


def read_dialogues(path: Path, env_id: str, held_out: str | None = None) -> list[PolicyRecord]:
    """The scored dialogues of a log in which the agent spoke, in order.

    Where the log has turn rewards, only those that have them: others cannot be compared with them.

    Args:
        path: the log.
        env_id: the environment that its dialogues must be of.
        held_out: the split that evaluation uses, whose tasks may not be trained on; None without one.

    Raises:
        FileNotFoundError: no such log.
        ValueError: one line about what cannot be used, with file and line; or there is no such dialogue.
    """
    views = (policy_view(record) for _, record in usable_records(path, env_id, held_out))
    dialogues = [d for d in views if d.scored and d.turns]
    paid = [d for d in dialogues if d.turn_rewards is not None]
    dialogues = paid or dialogues
    if not dialogues:
        raise ValueError(f"{path}: no scored dialogue in which the agent speaks, so nothing to imitate")
    return dialogues


def by_prompt(dialogues: Sequence[PolicyRecord]) -> list[list[int]]:
    """Numbers of the dialogues of each prompt.

    Dialogues with the same first message have the same prompt: the policy's view, which is all that is
    learned from, knows no tasks.
    """
    prompts: defaultdict[str, list[int]] = defaultdict(list)
    for i, dialogue in enumerate(dialogues):
        prompts[dialogue.messages[0]["content"]].append(i)
    return list(prompts.values())


def check_comparable(path: Path, prompts: Sequence[Sequence[int]]) -> None:
    """Refuse a log in which no prompt was played twice.

    Raises:
        ValueError: says how to make one that will do.
    """
    if all(len(prompt) < 2 for prompt in prompts):
        raise ValueError(
            f"{path}: no two scored dialogues begin alike, so that there is nothing to compare; "
            "dialogue-gym collect --per-task 8 plays each task several times"
        )
