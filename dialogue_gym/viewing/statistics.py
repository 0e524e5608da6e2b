"""Figures of a log: ends, scores, turns, words, flags, and what happens turn by turn, with intervals.

All intervals are 95 % bootstrap intervals over dialogues, since turns of one dialogue hang together.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dialogue_gym.calibration.realism.leakage import (
    CURVES,
    TURNS,
    by_turn,
    horizon,
    overlapping,
    told_facts,
)
from dialogue_gym.calibration.realism.speech import Speaker, SpokenDialogue, SpokenTurn
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout.evaluation import Estimate, estimate, outcome
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.user_turns import user_turns
from dialogue_gym.viewing.entries import Entry, name_of
from dialogue_gym.viewing.flags import FLAGS
from dialogue_gym.viewing.pairs import Pair

Floats = npt.NDArray[np.float64]

_RESAMPLES = 500  # of figures by turn; sums are precomputed, so each is one row of a matrix product
BY_TURN: Mapping[str, str] = {
    "user_leaves": "share of the users still there who end the dialogue in this turn",
    "words": "words of the user's message",
    "facts_by_turn": "share of the brief's facts told so far",
    "brief_words_by_turn": "share of the content words of the brief or intent said so far",
    "brief_4grams_by_turn": "share of the message's runs of four words that stand in the brief or intent",
}
"""What the curves show; turn 0 is the opening. The last three are leakage, see ``calibration.realism``."""


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Figures of the dialogues of one environment in a log.

    Attributes:
        env_id: which environment.
        splits: splits of the tasks, those that are named.
        simulators: number of dialogues by who played the user.
        policies: number of dialogues by who played the agent.
        dialogues: how many.
        unscored: how many of them have no reward; they count in no mean of rewards or metrics.
        end_reasons: number of dialogues by end reason, "" for those that are not over.
        silent_ends: dialogues that the user left without a word.
        estimates: means over dialogues: "reward", the scorer's metrics, "turns", words, and "rating: NAME"
            where people rated.
        flags: by name, the share of messages of the side that can have it (the user's; "repeated" and
            "empty": of both) that have it; ``n`` counts dialogues.
        by_turn: by the names of ``BY_TURN``, a figure for each turn from the opening on; None where too
            few dialogues get there. Those that nobody knows of in this log are missing.
    """

    env_id: str
    splits: list[str]
    simulators: dict[str, int]
    policies: dict[str, int]
    dialogues: int
    unscored: int
    end_reasons: dict[str, int]
    silent_ends: int
    estimates: dict[str, Estimate]
    flags: dict[str, Estimate]
    by_turn: dict[str, list[Estimate | None]]

    def table(self) -> str:
        """Plain text for a terminal."""
        said = f"{self.env_id} {' '.join(self.splits)}".strip()
        who = f"user {_shares(self.simulators)}, agent {_shares(self.policies)}"
        left = f" ({self.silent_ends} without a word)" if self.silent_ends else ""
        ended = ", ".join(f"{k or 'not known'} {v}" for k, v in self.end_reasons.items())
        return "\n".join(
            [
                f"{said}: {self.dialogues} dialogues, {who}",
                f"ended by: {ended}{left}; unscored: {self.unscored} of {self.dialogues}",
                "",
                *estimate_rows(self.estimates),
                "",
                *estimate_rows({f"flag: {name}": e for name, e in self.flags.items()}),
                *self._turn_rows(),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able data."""
        return asdict(self)

    def _turn_rows(self) -> list[str]:
        if not self.by_turn:
            return ["", "by turn: not known, since no dialogue shows how its user began"]
        turns = max(map(len, self.by_turn.values()))
        rows = ["", f"{'by turn, 0 is the opening':{_WIDTH}}" + "".join(f"{t:11d}" for t in range(turns))]
        there = self.by_turn.get("words", [])
        rows.append(
            f"{'dialogues with a message':{_WIDTH}}" + "".join(f"{e.n if e else 0:11d}" for e in there)
        )
        for name, curve in self.by_turn.items():
            cells = "".join(f"{'-' if e is None else _brief(e):>11}" for e in curve)
            rows.append(f"{name:{_WIDTH}}{cells}")
        return rows


_WIDTH = 26


def estimate_rows(estimates: Mapping[str, Estimate]) -> list[str]:
    """Lines of a table of means, with a head; none where there is nothing."""
    if not estimates:
        return []
    width = max(_WIDTH, *map(len, estimates))
    rows = [f"{'':{width}}    mean  95 % interval            n"]
    for name, e in estimates.items():
        rows.append(f"{name:{width}}{e.mean:8.3f}  {f'[{e.low:.3f}, {e.high:.3f}]':21}{e.n:7d}")
    return rows


def log_statistics(entries: Sequence[Entry]) -> list[LogStatistics]:
    """Figures of a log, one for each environment in it, in the order of their first dialogues.

    Raises:
        ValueError: there is no dialogue.
    """
    if not entries:
        raise ValueError("there is no dialogue to count")
    by_env: dict[str, list[Entry]] = {}
    for entry in entries:
        by_env.setdefault(entry.record.env_id, []).append(entry)
    return [_statistics(env_id, group) for env_id, group in by_env.items()]


def paired_differences(pairs: Iterable[Pair]) -> dict[str, Estimate]:
    """Second minus first over dialogues on the same task, by the names of ``LogStatistics.estimates``."""
    both = [(p.first.record, p.second.record) for p in pairs if p.first and p.second]
    rows = [(_numbers(a), _numbers(b)) for a, b in both]
    names = dict.fromkeys(name for a, b in rows for name in a if name in b)
    found = {
        name: estimate([b[name] - a[name] for a, b in rows if name in a and name in b]) for name in names
    }
    return {name: e for name, e in found.items() if e is not None}


def _statistics(env_id: str, entries: Sequence[Entry]) -> LogStatistics:
    records = [entry.record for entry in entries]
    rows = [_numbers(record) for record in records]
    names = dict.fromkeys(["reward", *(name for row in rows for name in row)])
    estimates = {name: estimate([row[name] for row in rows if name in row]) for name in names}
    ends = Counter(record.end_reason or "" for record in records)
    return LogStatistics(
        env_id=env_id,
        splits=sorted({record.split for record in records} - {""}),
        simulators=dict(Counter(name_of(record.simulator) for record in records).most_common()),
        policies=dict(Counter(name_of(record.policy) for record in records).most_common()),
        dialogues=len(records),
        unscored=sum(record.reward is None for record in records),
        end_reasons=dict(ends.most_common()),
        silent_ends=sum(
            record.end_reason == "user_stop" and record.messages[-1:] != [] and len(record.messages) % 2 == 0
            for record in records
        ),
        estimates={name: e for name, e in estimates.items() if e is not None},
        flags=_flag_rates(entries),
        by_turn=_by_turn(entries),
    )


def _numbers(record: DialogueRecord) -> dict[str, float]:
    """What there is to average about one dialogue."""
    of, ratings = outcome(record), record.extra.get("ratings")
    rated = ratings.items() if isinstance(ratings, dict) else ()
    numbers: dict[str, float | None] = {
        "reward": of.reward,
        **of.metrics,
        "turns": float(of.turns),
        "words_per_user_turn": of.words_per_user_turn,
        "words_per_agent_turn": of.words_per_agent_turn,
        "ask_rate": None if of.asked is None else float(of.asked),
        **{f"rating: {name}": float(rating) for name, rating in rated if type(rating) in (int, float)},
    }
    return {name: value for name, value in numbers.items() if value is not None}


# flags ---------------------------------------------------------------------------------------------


def _flag_rates(entries: Sequence[Entry]) -> dict[str, Estimate]:
    rates = {}
    for name in FLAGS:
        sides = 1 if name in ("repeated", "empty") else 2  # every message, or every second one
        sums = np.zeros((len(entries), 2, 1))
        for row, entry in enumerate(entries):
            flagged = entry.flags[::sides]
            sums[row, :, 0] = sum(any(f.name == name for f in flags) for flags in flagged), len(flagged)
        curve = _curve(sums, overlapping)
        if curve and curve[0] is not None:
            rates[name] = curve[0]
    return rates


# turns ---------------------------------------------------------------------------------------------


def _by_turn(entries: Sequence[Entry]) -> dict[str, list[Estimate | None]]:
    speaker = Speaker(tuple(_spoken(entry) for entry in entries), logged=True)
    counts: dict[str, Callable[[SpokenTurn], tuple[int, int]]] = {"words": _words}
    counts |= {name: count for name, (count, _) in CURVES.items()}
    if not any(told_facts(turn)[1] for turn in speaker.turns()):
        del counts["facts_by_turn"]
    curves = {"user_leaves": _curve(_leaving(speaker), overlapping)}
    for name, count in counts.items():
        shape = CURVES[name][1] if name in CURVES else overlapping
        curves[name] = _curve(by_turn(speaker, count), shape)
    return {name: curves[name] for name in BY_TURN if curves.get(name)}


def _spoken(entry: Entry) -> SpokenDialogue:
    """The user's turns as the realism metrics count them; none where the record is of no known kind."""
    begins = "beginning" not in entry.record.extra.get("censored", ())
    try:
        turns = user_turns(entry.record, entry.number)
    except ValueError:
        turns = []
    said = (SpokenTurn(turn, turn.reply, in_words=bool(turn.reply.text.strip())) for turn in turns)
    return SpokenDialogue(tuple(said), begins)


def _words(turn: SpokenTurn) -> tuple[int, int]:
    return len(turn.text.split()), 1


def _leaving(speaker: Speaker) -> Floats:
    """(dialogues, 2, TURNS): users who end the dialogue in a turn, and users of whom that is known."""
    sums = np.zeros((len(speaker.dialogues), 2, TURNS))
    for row, dialogue in enumerate(speaker.dialogues):
        for turn in dialogue.turns if dialogue.begins else ():
            if turn.logged.stop_counts and turn.logged.index < TURNS:
                sums[row, :, turn.logged.index] += (turn.reply.stop, 1)
    return sums


def _curve(sums: Floats, shape: Callable[[Floats], Floats]) -> list[Estimate | None]:
    """Figures by turn with intervals, from (dialogues, 2, turns); [] where nothing was counted.

    The resamples are keyed by the number of dialogues, as those of ``estimate`` are.
    """
    if not sums[:, 1].any():
        return []
    n = len(sums)
    rng = NoiseKey(("bootstrap by turn", n)).generator()
    weights = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(np.float64)
    turns = min(horizon(sums.sum(axis=0)), sums.shape[-1])
    curve = shape(sums.sum(axis=0)[None])[0]
    resampled = shape(np.tensordot(weights, sums, axes=1))
    return [_at(curve[t], resampled[:, t], int((sums[:, 1, t] > 0).sum())) for t in range(turns)]


def _at(value: np.float64, resampled: Floats, n: int) -> Estimate | None:
    known = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(known):
        return None
    low, high = np.percentile(known, (2.5, 97.5))
    return Estimate(float(value), float(low), float(high), n)


# texts ---------------------------------------------------------------------------------------------


def _brief(e: Estimate) -> str:
    """A mean and half the width of its interval."""
    digits = 1 if e.mean >= 10 else 2
    return f"{e.mean:.{digits}f}±{(e.high - e.low) / 2:.{digits}f}"


def _shares(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    most = list(counts.items())[:3]
    more = f", {len(counts) - 3} more" if len(counts) > 3 else ""
    return "(" + ", ".join(f"{name} {count}" for name, count in most) + more + ")"
