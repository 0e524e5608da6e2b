"""Dialogues without a reward: some cost their own part of an update, nothing else ends the run."""

from dialogue_gym.logs import DialogueRecord

LOOK_AHEAD_FAILURE = "look_ahead_failure"
"""Where a record's ``extra`` says why none of its continuations was scored."""


class NothingScored(ValueError):
    """None of many dialogues has a reward, so that there is nothing to learn from them, whoever failed."""


def nothing_scored(dialogues: str, why: str) -> NothingScored:
    """The error, in the words of all learners.

    Args:
        dialogues: how many, and which.
        why: the first of them has none; see ``reason``.

    Example:
        >>> print(nothing_scored("8 dialogues of batch 0", "simulator_failure: no answer"))
        none of the 8 dialogues of batch 0 has a reward, the first because of simulator_failure: no answer
    """
    return NothingScored(f"none of the {dialogues} has a reward, the first because of {why}")


def reason(record: DialogueRecord) -> str:
    """Why a dialogue has no reward, for people."""
    failure = record.extra.get("failure") or record.extra.get(LOOK_AHEAD_FAILURE)
    if record.reward is None:
        return f"{record.end_reason}: {failure}" if failure else f"{record.end_reason}"
    return f"its continuations: {failure}" if failure else "the turn reward, which has none for it"
