"""Likelihood of all that a person said in a dialogue, in one pass of the language model over it.

The contexts of a dialogue's turns extend each other, so the longest row holds them all. Scoring each turn
by itself, as ``log_prob`` does, gives the same numbers and costs a pass per turn.
"""

from collections.abc import Sequence

from dialogue_gym.language_models import GenerationRequest
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.language_model_user import LanguageModelUser
from dialogue_gym.simulators.prompted import STOP_MARK
from dialogue_gym.simulators.user_turns import UserTurn

Row = tuple[list[int], list[int]]
"""Token ids of a context and of what follows."""


def token_log_probs(model: TransformersModel, rows: Sequence[Row]) -> list[list[float]]:
    """Natural-log probability of each token that follows its context.

    Rows whose ids begin the longest row's cost nothing; the others cost a pass each.

    Raises:
        ValueError: a row is longer than the model's context.
    """
    if not rows:
        return []
    context, reply = max(rows, key=lambda row: len(row[0]) + len(row[1]))
    whole, start = context + reply, min(len(context) for context, _ in rows)
    shared = _score(model, whole[:start], whole[start:])
    return [
        shared[len(context) - start : len(context) - start + len(reply)]
        if whole[: len(context) + len(reply)] == context + reply
        else _score(model, context, reply)
        for context, reply in rows
    ]


def _score(model: TransformersModel, context: list[int], reply: list[int]) -> list[float]:
    return model.score([GenerationRequest("people", (), NoiseKey(("people",)), context)], [reply])[0]


def context_ids(user: LanguageModelUser, request: UserRequest) -> list[int]:
    """What the model that plays this user reads."""
    asked = user.generation_request(request)
    if asked.prompt_ids is not None:
        return list(asked.prompt_ids)
    codec = user.language_model.codec  # type: ignore[attr-defined]
    return list(codec.encode(asked.messages))


def turn_row(user: LanguageModelUser, turn: UserTurn) -> Row:
    """The row of one turn, as the user's ``log_prob`` would score it."""
    codec = user.language_model.codec  # type: ignore[attr-defined]
    text, stop = turn.reply.text, turn.reply.stop
    context = context_ids(user, turn.request)
    if isinstance(user, CalibratedUser):
        return context, user.side.reply_ids(codec, text, stop)
    written = f"{text} {STOP_MARK}".lstrip() if stop else text
    return context, [*codec.content_ids(written), codec.end_of_turn_id]
