"""From logged dialogues to training rows: token ids, and which of them the model of the user learns."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.user_side import UserSide
from dialogue_gym.simulators.user_turns import by_people, user_turns

MIN_USER_TURNS = 50


@dataclass(slots=True)
class Row:
    """One dialogue as the model reads it. Each prefix that ends in a user turn is one sample.

    Since every sample's context is a prefix of the next one's, one row trains all K + 1 of a dialogue.

    Attributes:
        input_ids: the dialogue by the user-side template.
        learned: 1 where a token is a user's: the mark, the words, the end-of-turn token.
        samples: user turns in it.
        cut: user turns that did not fit.
    """

    input_ids: list[int] = field(default_factory=list)
    learned: list[int] = field(default_factory=list)
    samples: int = 0
    cut: int = 0


def training_row(codec: ChatCodec, side: UserSide, record: DialogueRecord, max_length: int) -> Row:
    """The row of a dialogue; turns that end beyond ``max_length`` tokens are left out and counted.

    An excerpt teaches neither openings (its beginning is context) nor, where its end is unknown, that
    people go on: there the mark is not learned, only the words (a side without a mark for going on cannot
    tell them apart). An empty opening teaches nothing: later contexts begin after it.
    """
    row = Row()
    for turn in user_turns(record):
        if turn.is_opening and not turn.reply.text:
            continue
        context = side.context_ids(codec, turn.request)
        reply = side.reply_ids(codec, turn.reply.text, turn.reply.stop)
        if len(context) + len(reply) > max_length:
            row.cut += 1
            continue
        marks = 0 if turn.stop_counts else len(side.mark_ids(codec, turn.reply.stop))
        row.learned += [0] * (len(context) - len(row.learned) + marks) + [1] * (len(reply) - marks)
        row.input_ids = context + reply
        row.samples += 1
    return row


def split_dialogues(
    records: Sequence[DialogueRecord], share: float, seed: int
) -> tuple[list[DialogueRecord], list[DialogueRecord]]:
    """Training and held-out dialogues, chosen by a hash of what is said in them.

    Excerpts of one dialogue (``extra["group"]``) stay together, and so do dialogues that are alike.

    Raises:
        ValueError: all dialogues belong together, so that nothing can be held out.
    """
    groups = [group_of(record) for record in records]
    order = sorted(set(groups), key=lambda group: NoiseKey(("held out", seed, group)).bits())
    if len(order) < 2:
        raise ValueError(
            f"{len(records)} dialogues of {len(order)} groups cannot be split; more would be right"
        )
    held_out = set(order[: min(len(order) - 1, max(1, round(share * len(order))))])
    train = [r for r, group in zip(records, groups, strict=True) if group not in held_out]
    held = [r for r, group in zip(records, groups, strict=True) if group in held_out]
    return train, held


def group_of(record: DialogueRecord) -> str:
    """What may not be split between training and judging: the chat of an excerpt, else the dialogue."""
    return str(record.extra.get("group") or fingerprint([record]))


def fingerprint(records: Sequence[DialogueRecord]) -> str:
    """SHA-256 over what is said in dialogues and how they end, in order."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps([record.messages, record.end_reason], ensure_ascii=False).encode())
    return digest.hexdigest()


def check_enough(records: Sequence[DialogueRecord]) -> int:
    """The number of user turns.

    Raises:
        ValueError: fewer than 50.
    """
    turns = sum(len(user_turns(record)) for record in records)
    if turns < MIN_USER_TURNS:
        raise ValueError(
            f"the logs have {turns} user turns in {len(records)} dialogues; at least {MIN_USER_TURNS} are "
            "needed, since with fewer a fit says nothing about people"
        )
    return turns


def describe(records: Sequence[DialogueRecord]) -> dict[str, Any]:
    """What the manifest says of the data: counts, who spoke, and the hash."""
    return {
        "sha256": fingerprint(records),
        "dialogues": len(records),
        "dialogues_of_people": sum(map(by_people, records)),
        "user_turns": sum(len(user_turns(record)) for record in records),
        "sources": sorted({str(r.simulator.get("source") or r.simulator.get("name")) for r in records}),
    }


def row_counts(rows: Sequence[Row]) -> dict[str, int]:
    """Totals for the manifest."""
    return {
        "rows": sum(row.samples > 0 for row in rows),
        "samples": sum(row.samples for row in rows),
        "samples_cut": sum(row.cut for row in rows),
        "learned_tokens": sum(sum(row.learned) for row in rows),
    }
