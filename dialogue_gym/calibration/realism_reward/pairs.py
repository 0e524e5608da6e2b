"""Preference pairs: the user's own replies, compared by discriminators that have not seen the dialogue."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dialogue_gym.calibration.discriminator import (
    EncoderDiscriminator,
    Exchange,
    FeatureDiscriminator,
    NgramDiscriminator,
    shown,
)
from dialogue_gym.calibration.realism.resampling import Floats
from dialogue_gym.calibration.realism_reward.settings import RewardSettings
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserReply
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.user_turns import UserTurn, user_turns

_ASKED_TOGETHER = 64  # dialogues


def preference_rows(
    user: CalibratedUser, records: Sequence[DialogueRecord], settings: RewardSettings, number: int = 1
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Pairs of the user's replies to the records' contexts, as token ids, and counts for the manifest.

    Returns:
        Rows with ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``, the user side's own ids, and
        ``preference``: the Bradley-Terry probability, from 0.5, of preferring the chosen reply.
    """
    key = NoiseKey(("realism reward", settings.seed, number))
    turns = [turn for i, record in enumerate(records) for turn in user_turns(record, i)]
    replies = _sample(user, records, settings.samples, key)
    rewards = _cross_fitted(user, turns, replies, settings, key)
    length = min(settings.max_length, user.language_model.max_context)  # type: ignore[attr-defined]
    rows, long = [], 0
    for turn, said, scores in zip(turns, replies, rewards, strict=True):
        context = user.side.context_ids(user.codec, turn.request)
        for j in range(0, len(said), 2):
            pair = said[j : j + 2]
            if not _comparable(turn, *pair):
                continue
            chosen = int(scores[j + 1] > scores[j])
            preference = _sigmoid(abs(scores[j] - scores[j + 1]))
            ids = [user.side.reply_ids(user.codec, reply.text, reply.stop) for reply in pair]
            if len(context) + max(map(len, ids)) > length:
                long += 1
                continue
            row = {"prompt_ids": context, "chosen_ids": ids[chosen], "rejected_ids": ids[1 - chosen]}
            rows.append({**row, "preference": preference})
    return rows, {"contexts": len(turns), "pairs": len(rows), "pairs_too_long": long}


def _comparable(turn: UserTurn, a: UserReply, b: UserReply) -> bool:
    """Two whole replies that differ; only in words where the log does not show whether people stopped."""
    if any(r.error is not None or r.metadata.get("finish_reason") == "length" for r in (a, b)):
        return False
    return (a.text, a.stop) != (b.text, b.stop) and (turn.stop_counts or a.stop == b.stop)


def _sigmoid(x: float) -> float:
    return float(0.5 * (1 + np.tanh(x / 2)))


def _sample(
    user: CalibratedUser, records: Sequence[DialogueRecord], samples: int, key: NoiseKey
) -> list[list[UserReply]]:
    """Replies for each user turn; the first turns of many dialogues in one call, then the second ones."""
    dialogues = [user_turns(record, i) for i, record in enumerate(records)]
    replies: dict[tuple[int, int], list[UserReply]] = {}
    for begin in range(0, len(dialogues), _ASKED_TOGETHER):
        part = range(begin, min(begin + _ASKED_TOGETHER, len(dialogues)))
        for position in range(max((len(dialogues[i]) for i in part), default=0)):
            rows = [i for i in part if position < len(dialogues[i])]
            asked = [
                replace(dialogues[i][position].request, dialogue_id=(i, k), key=key.child(i, position, k))
                for i in rows
                for k in range(samples)
            ]
            said = user.reply(asked)
            for j, i in enumerate(rows):
                replies[i, position] = said[j * samples : (j + 1) * samples]
        user.forget([(i, k) for i in part for k in range(samples)])
    return [replies[i, p] for i, turns in enumerate(dialogues) for p in range(len(turns))]


def _cross_fitted(
    user: CalibratedUser,
    turns: Sequence[UserTurn],
    replies: Sequence[Sequence[UserReply]],
    settings: RewardSettings,
    key: NoiseKey,
) -> Floats:
    """(turns, samples): log odds by a discriminator that saw neither people nor the user in that dialogue."""
    dialogue = [turn.request.dialogue_id for turn in turns]
    names = list(dict.fromkeys(dialogue))
    order = key.child("folds").generator().permutation(len(names))
    folds = {name: int(place) % settings.folds for name, place in zip(names, order, strict=True)}
    fold = np.array([folds[name] for name in dialogue])
    rewards = np.zeros((len(turns), settings.samples))
    for i in range(settings.folds):
        seen, scored = np.flatnonzero(fold != i).tolist(), np.flatnonzero(fold == i).tolist()
        people = [(turns[t].request, shown(turns[t], turns[t].reply)) for t in seen]
        own = _of_user(turns, replies, seen)
        labels = np.repeat([1, 0], [len(people), len(own)])
        groups = [*(dialogue[t] for t in seen), *(dialogue[t] for t in seen for _ in replies[t])]
        judge_of_fold = _discriminator(user, settings).fit(people + own, labels, groups)
        rewards[scored] = judge_of_fold.logit(_of_user(turns, replies, scored)).reshape(len(scored), -1)
    return rewards


def _of_user(
    turns: Sequence[UserTurn], replies: Sequence[Sequence[UserReply]], which: Sequence[int]
) -> list[Exchange]:
    return [(turns[t].request, shown(turns[t], reply)) for t in which for reply in replies[t]]


def _discriminator(user: CalibratedUser, settings: RewardSettings) -> FeatureDiscriminator:
    return (
        NgramDiscriminator() if settings.features == "ngrams" else EncoderDiscriminator(user.language_model)
    )
