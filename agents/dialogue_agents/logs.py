"""Logs that learners read: what may not be learned from is said with its line."""

from collections.abc import Iterator
from pathlib import Path

from dialogue_gym.logs import DialogueRecord, read_log


def usable_records(path: Path, env_id: str, held_out: str | None) -> Iterator[tuple[int, DialogueRecord]]:
    """The dialogues of a log with their lines, from 1.

    Args:
        path: the log.
        env_id: the environment that its dialogues must be of.
        held_out: the split that evaluation uses, whose tasks may not be trained on; None without one.

    Raises:
        FileNotFoundError: no such log.
        ValueError: one line about what cannot be used, with file and line.
    """
    for line, record in enumerate(read_log(path), 1):
        where = f"{path}:{line}: a dialogue"
        if record.env_id != env_id:
            raise ValueError(f"{where} of {record.env_id}, should be of {env_id} (--env)")
        if record.split == held_out:
            raise ValueError(
                f"{where} of the split {held_out!r}, which evaluation uses; give a log of another split, "
                "or another --eval-split"
            )
        yield line, record
