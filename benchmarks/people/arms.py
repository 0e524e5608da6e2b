"""The arms of the comparison: each gives every turn of a dialogue its log-probability."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.people.baselines import TurnBank
from benchmarks.people.dialogues import Dialogue, shortened
from benchmarks.people.ngram import ByteNgram
from benchmarks.people.scoring import context_ids, token_log_probs, turn_row
from dialogue_gym.simulators.calibrated import CalibratedUser
from dialogue_gym.simulators.language_model_user import LanguageModelUser
from dialogue_gym.simulators.user_turns import UserTurn


@dataclass(slots=True)
class Scores:
    """What an arm thinks of one dialogue; natural logarithms.

    Attributes:
        said: of each compared turn, that the person says exactly this, and goes on where that is known.
        others: the same of the turns that somebody else said, in place of the first of these turns.
        stops: of each turn whose stop counts, that the person stops or goes on as there; empty where the
            arm does not say so with a mark.
    """

    said: list[float]
    others: list[float] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)


Arm = Callable[[Dialogue, Sequence[UserTurn]], Scores | None]
"""Scores a dialogue, given turns that somebody else said in place of its own; None where it cannot, since
the dialogue is longer than the model's context."""


def text_arm(log_prob: Callable[[UserTurn], float]) -> Arm:
    """An arm that knows texts and no contexts."""

    def score(dialogue: Dialogue, others: Sequence[UserTurn]) -> Scores:
        return Scores([log_prob(turn) for turn in dialogue.said], [log_prob(turn) for turn in others])

    return score


def ngram_arm(model: ByteNgram) -> Arm:
    """The n-gram model of people's turns."""
    return text_arm(lambda turn: model.log_prob(turn.reply.text))


def bank_arm(bank: TurnBank) -> Arm:
    """The bank of real turns."""
    return text_arm(lambda turn: bank.log_prob(turn.reply.text, turn.is_opening))


def model_arm(user: LanguageModelUser, agent_tokens: int = 0) -> Arm:
    """A user played by a local language model.

    Args:
        user: prompted, few-shot or calibrated.
        agent_tokens: to how many tokens agents' messages are cut, for users that do not do it themselves.
    """
    model: Any = user.language_model

    def seen(turn: UserTurn) -> UserTurn:
        return turn if isinstance(user, CalibratedUser) else shortened(model.codec, turn, agent_tokens)

    def score(dialogue: Dialogue, others: Sequence[UserTurn]) -> Scores | None:
        rows = [turn_row(user, seen(turn)) for turn in dialogue.turns]
        contexts = [context_ids(user, seen(turn).request) for turn in dialogue.said[: len(others)]]
        foreign = [(ids, turn_row(user, turn)[1]) for ids, turn in zip(contexts, others, strict=True)]
        if max(len(context) + len(reply) for context, reply in rows + foreign) > model.max_context:
            return None
        tokens = dict(zip(map(id, dialogue.turns), token_log_probs(model, rows), strict=True))
        return Scores(
            [_said(user, turn, tokens[id(turn)]) for turn in dialogue.said],
            [
                _said(user, turn, token_log_probs(model, [row])[0])
                for turn, row in zip(others, foreign, strict=True)
            ],
            [
                sum(tokens[id(turn)][: _marks(user, turn)])
                for turn in dialogue.turns
                if turn.stop_counts and _marks(user, turn)
            ],
        )

    return score


def _said(user: LanguageModelUser, turn: UserTurn, log_probs: list[float]) -> float:
    """Prompted users go on by ending without a stop mark; calibrated ones say so first, where it counts."""
    return sum(log_probs[0 if turn.stop_counts else _marks(user, turn) :])


def _marks(user: LanguageModelUser, turn: UserTurn) -> int:
    """How many tokens of a turn come before its text and say whether the user goes on."""
    return len(user.side.mark_ids(user.codec, turn.reply.stop)) if isinstance(user, CalibratedUser) else 0
