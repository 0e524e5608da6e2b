"""From scores to a table: paired differences per dialogue, with intervals over dialogues."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.people.arms import Scores
from benchmarks.people.dialogues import Dialogue
from dialogue_gym.rollout.evaluation import Estimate, estimate

BASELINES = ("prompted", "few-shot", "ngram", "bank")

Table = dict[str, dict[str, Scores]]
"""Scores by arm and dialogue."""


def summarise(dialogues: Sequence[Dialogue], scores: Table, stop_share: float | None) -> dict[str, Any]:
    """All figures, by data set, and over all of them where there are several.

    Args:
        dialogues: those that were judged.
        scores: of every arm.
        stop_share: how often a person stops at a turn where that is known; None where it never is.
    """
    parts = {data: [d for d in dialogues if d.data == data] for data in sorted({d.data for d in dialogues})}
    if len(parts) > 1:
        parts["all"] = list(dialogues)
    return {data: _part(part, scores, stop_share) for data, part in parts.items()}


def _part(dialogues: Sequence[Dialogue], scores: Table, stop_share: float | None) -> dict[str, Any]:
    calibrated = [name for name in scores if name.startswith("calibrated")]
    pairs = [(name, other) for name in calibrated for other in BASELINES]
    if len(calibrated) > 1:
        pairs.append((calibrated[0], calibrated[1]))
    return {
        "dialogues": len(dialogues),
        "turns": sum(len(d.said) for d in dialogues),
        "characters": sum(_characters(d) for d in dialogues),
        "nats_per_character": {
            name: _estimate([sum(own[d.name].said) / _characters(d) for d in dialogues])
            for name, own in scores.items()
        },
        "differences": [_difference(dialogues, scores, *pair) for pair in pairs],
        "ranking": {
            name: _estimate(_wins(dialogues, own, scores["ngram"]))
            for name, own in scores.items()
            if name not in ("ngram", "bank")
        },
        "stops": {name: _estimate(_stop_gains(dialogues, scores[name], stop_share)) for name in calibrated},
    }


def _difference(dialogues: Sequence[Dialogue], scores: Table, name: str, other: str) -> dict[str, Any]:
    """How much likelier a dialogue's turns are under ``name`` than under ``other``."""

    def gains(size: Callable[[Dialogue], int]) -> list[float]:
        return [
            (sum(scores[name][d.name].said) - sum(scores[other][d.name].said)) / size(d) for d in dialogues
        ]

    per_turn = gains(lambda d: len(d.said))
    return {
        "of": name,
        "to": other,
        "nats_per_turn": _estimate(per_turn),
        "nats_per_character": _estimate(gains(_characters)),
        "dialogues_won": float(np.mean(np.asarray(per_turn) > 0)),
    }


def _wins(dialogues: Sequence[Dialogue], scores: dict[str, Scores], ngram: dict[str, Scores]) -> list[float]:
    """Per dialogue: how often its own turn gains more from the context than somebody else's.

    Both likelihoods are taken relative to the n-gram model's, or short turns would always win.
    """
    wins = []
    for dialogue in dialogues:
        own, plain = scores[dialogue.name], ngram[dialogue.name]
        lifts = [
            (said - said_plain) - (other - other_plain)
            for said, said_plain, other, other_plain in zip(
                own.said, plain.said, own.others, plain.others, strict=False
            )
        ]
        if lifts:
            wins.append(float(np.mean(np.heaviside(lifts, 0.5))))
    return wins


def _stop_gains(dialogues: Sequence[Dialogue], scores: dict[str, Scores], share: float | None) -> list[float]:
    """Per dialogue: nats per turn by which whether the person stops is likelier than under a constant."""
    if share is None:
        return []
    gains = []
    for dialogue in dialogues:
        counted = [turn.reply.stop for turn in dialogue.turns if turn.stop_counts]
        if counted and len(scores[dialogue.name].stops) == len(counted):
            constant = [np.log(share if stop else 1 - share) for stop in counted]
            gains.append(float(np.mean(np.asarray(scores[dialogue.name].stops) - constant)))
    return gains


def _characters(dialogue: Dialogue) -> int:
    """The end of a turn counts as one."""
    return sum(len(turn.reply.text) + 1 for turn in dialogue.said)


def _estimate(values: Sequence[float]) -> dict[str, Any] | None:
    found = estimate(values)
    return None if found is None else asdict(found)


def markdown(results: dict[str, Any]) -> str:
    """The tables as Markdown, which also reads well in a terminal."""
    return "\n\n".join(_section(data, part) for data, part in results.items())


def _section(data: str, part: dict[str, Any]) -> str:
    head = f"## {data}: {part['dialogues']} dialogues, {part['turns']} turns, {part['characters']} characters"
    lines = [head, "", "| likelihood of people's turns | nats per character |", "|---|---|"]
    lines += [f"| {name} | {_shown(value, 3)} |" for name, value in part["nats_per_character"].items()]
    lines += ["", "| likelier by | than | nats per turn | nats per character | dialogues won |"]
    lines += ["|---|---|---|---|---|"]
    for row in part["differences"]:
        cells = (row["of"], row["to"], _shown(row["nats_per_turn"], 2), _shown(row["nats_per_character"], 3))
        lines.append(f"| {' | '.join(cells)} | {row['dialogues_won']:.0%} |")
    lines += ["", "| own turn preferred to another's | share |", "|---|---|"]
    lines += [f"| {name} | {_shown(value, 2)} |" for name, value in part["ranking"].items()]
    stops = {name: value for name, value in part["stops"].items() if value}
    if stops:
        lines += ["", "| stopping, against a constant share | nats per turn |", "|---|---|"]
        lines += [f"| {name} | {_shown(value, 3)} |" for name, value in stops.items()]
    return "\n".join(lines)


def _shown(value: dict[str, Any] | None, digits: int) -> str:
    if value is None:
        return "-"
    found = Estimate(**value)
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}] (n = {found.n})"
