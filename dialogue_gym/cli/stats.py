"""``dialogue-gym stats``: figures of logs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tyro.conf import Positional  # noqa: TID253 - opened only by those who ask for this command

from dialogue_gym.cli.shown_logs import read_entries
from dialogue_gym.rollout.evaluation import Estimate
from dialogue_gym.viewing import Entry, LogStatistics, log_statistics, pair_up, paired_differences
from dialogue_gym.viewing.statistics import estimate_rows


@dataclass
class StatsSettings:
    r"""Figures of logs: ends, scores, turns, words, flags, and what users do turn by turn.

    Intervals are 95 % bootstrap intervals over dialogues; by turn, the mean and half their width. Unscored
    dialogues have no reward and count in no mean of it. Leakage by turn: facts and words of the brief told
    so far, and the share of what the user says that is copied from it. Two logs with tasks in common are
    also compared dialogue by dialogue.

    Examples:
      One log, and two side by side:
        dialogue-gym stats runs/dialogues.jsonl
        dialogue-gym stats runs/before.jsonl runs/after.jsonl
      As JSON, of the dialogues that users ended:
        dialogue-gym stats runs/dialogues.jsonl --filter end=user_stop --json > stats.json
    """

    logs: Positional[tuple[Path, ...]]
    """Logs, or files in any form that `dialogue-gym import` tells by itself."""
    filter: tuple[str, ...] = ()
    """Count only what fits; see `dialogue-gym show --help`."""
    json: bool = False
    """Print JSON instead of tables."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: there is no log.
        """
        if not self.logs:
            raise ValueError("no logs were given; dialogue-gym stats FILE would be right")


def run(settings: StatsSettings) -> int:
    """Read, count and print.

    Raises:
        OSError: a log is missing.
        ValueError: a log without a dialogue, or a filter that cannot be.
    """
    read = [read_entries(path, settings.filter) for path in settings.logs]
    figures = [log_statistics(found) for found in read]
    pairs, differences = _compared(read)
    if settings.json:
        print(_as_json(settings.logs, figures, pairs, differences))
        return 0
    for path, blocks in zip(settings.logs, figures, strict=True):
        print(path, *(f"\n{block.table()}" for block in blocks), sep="\n", end="\n\n")
    if differences:
        print(f"{settings.logs[1]} - {settings.logs[0]}: {pairs} pairs on the same tasks")
        print(*estimate_rows(differences), sep="\n")
    return 0


def _compared(read: Sequence[list[Entry]]) -> tuple[int, dict[str, Estimate]]:
    """How many pairs two logs make, and how they differ; nothing for other numbers of logs."""
    if len(read) != 2:
        return 0, {}
    pairs = [pair for pair in pair_up(*read) if pair.first and pair.second]
    return len(pairs), paired_differences(pairs)


def _as_json(
    logs: Sequence[Path],
    figures: Sequence[Sequence[LogStatistics]],
    pairs: int,
    differences: dict[str, Estimate],
) -> str:
    data = {
        "logs": [
            {"log": str(path), "environments": [block.to_dict() for block in blocks]}
            for path, blocks in zip(logs, figures, strict=True)
        ],
        "second_minus_first": {
            "pairs": pairs,
            "estimates": {name: asdict(e) for name, e in differences.items()},
        }
        if len(logs) == 2
        else None,
    }
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
