"""Implicit turn rewards: the outcome, split among turns by a reward model that was fitted to outcomes."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dialogue_gym.language_models import LanguageModel
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rewards.base import Training, is_over, is_unscored, replies, turn_rewards
from dialogue_gym.rewards.scoring import context_ids, log_probs, scoring_model

MANIFEST = "implicit_reward.json"
"""What is beside a fitted model: ``beta``, and the ``reference`` that it was fitted against."""


class ImplicitTurnReward:
    """Splits the score of a dialogue among its turns by their implicit rewards (ITPO, arXiv 2603.23550).

    The reward of a token is ``beta * (log p_model - log p_reference)``, as in DPO; a turn's is the sum over
    the tokens of its reply, end of turn included. Paid is the paper's normalised form: the score times the
    softmax of the turns' rewards over ``temperature``, so that rewards sum to the score. A dialogue that is
    not over has no score to split: its turns get 0.

    Its models read the messages alone. A dialogue that their context cannot hold gets no reward (None).

    Args:
        model: the fitted reward model; must be able to score given texts.
        reference: the model that it was fitted against, with the same tokenizer.
        beta: that of the fit; the paper's is 0.05 for math and 0.005 for documents.
        temperature: of the softmax.

    Raises:
        ValueError: a setting that cannot be, models that cannot score or whose tokenizers differ.
    """

    def __init__(
        self,
        model: str | Mapping[str, Any] | LanguageModel,
        reference: str | Mapping[str, Any] | LanguageModel,
        beta: float = 0.05,
        temperature: float = 0.4,
    ) -> None:
        for name, value in (("beta", beta), ("temperature", temperature)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"implicit: {name} must be above 0, got {value}")
        self.model = scoring_model(model, "implicit")
        self.reference = scoring_model(reference, "implicit")
        if self.model.codec.identity() != self.reference.codec.identity():
            raise ValueError("implicit: model and reference have different tokenizers or chat templates")
        self.beta, self.temperature = beta, temperature

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        reference: str | Mapping[str, Any] | LanguageModel | None = None,
        temperature: float = 0.4,
    ) -> "ImplicitTurnReward":
        """What ``python -m dialogue_agents.implicit_reward`` has fitted.

        Args:
            folder: its ``--out``.
            reference: the model that it was fitted against, where that has moved.
            temperature: of the softmax.

        Raises:
            FileNotFoundError: there is none.
        """
        path = Path(folder) / MANIFEST
        if not path.exists():
            raise FileNotFoundError(
                f"no implicit reward model at {str(folder)!r}: {MANIFEST} is missing; "
                "python -m dialogue_agents.implicit_reward fits one to a log"
            )
        manifest = json.loads(path.read_text())
        model = {"name": "transformers", "path": str(folder)}
        return cls(model, reference or manifest["reference"], manifest["beta"], temperature)

    def rewards(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        """The score times the share of each turn; None where a dialogue was not scored or is too long."""
        over = [i for i, r in enumerate(records) if is_over(r) and not is_unscored(r)]
        found: list[list[float] | None] = [
            None if is_unscored(record) else [0.0] * replies(record) for record in records
        ]
        for i, values in zip(over, self.turn_values([records[i] for i in over]), strict=True):
            score = records[i].reward or 0.0
            found[i] = None if values is None else [score * s for s in shares(values, self.temperature)]
        return found

    def turn_values(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        """The implicit reward of each reply, before it is normalised; None where a dialogue is too long."""
        rows = [
            (context_ids(self.model, record.messages[: 2 * turn + 1]), self._reply(record, turn))
            for record in records
            for turn in range(replies(record))
        ]
        pairs = zip(log_probs(self.model, rows), log_probs(self.reference, rows), strict=True)
        values = (None if a is None or b is None else self.beta * (sum(a) - sum(b)) for a, b in pairs)
        found: list[list[float] | None] = []
        for record in records:
            own = [next(values) for _ in range(replies(record))]
            known = [value for value in own if value is not None]
            found.append(known if len(known) == len(own) else None)
        return found

    def identity(self) -> dict[str, Any]:
        """Name, models and settings."""
        return {
            "name": "implicit",
            "model": self.model.identity(),
            "reference": self.reference.identity(),
            "beta": self.beta,
            "temperature": self.temperature,
        }

    def _reply(self, record: DialogueRecord, turn: int) -> list[int]:
        codec = self.model.codec
        return [*codec.content_ids(record.messages[2 * turn + 1]["content"]), codec.end_of_turn_id]


def shares(values: Sequence[float], temperature: float) -> list[float]:
    """Softmax of ``values / temperature``.

    Example:
        >>> [round(share, 3) for share in shares([0.4, 0.0], temperature=0.4)]
        [0.731, 0.269]
        >>> shares([], temperature=0.4)
        []
    """
    best = max(values, default=0.0)
    raw = [math.exp((value - best) / temperature) for value in values]
    return [value / sum(raw) for value in raw]


def _implicit(
    training: Training,
    path: str | Path,
    reference: str | Mapping[str, Any] | None = None,
    temperature: float = 0.4,
) -> ImplicitTurnReward:
    return ImplicitTurnReward.from_folder(path, reference, temperature)


turn_rewards.register("implicit", _implicit)
