"""Progress: how much likelier each turn makes the right answer, as potential-based shaping."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dialogue_gym.language_models import LanguageModel
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rewards.base import Training, is_over, is_unscored, replies, turn_rewards
from dialogue_gym.rewards.scoring import context_ids, log_probs, scoring_model
from dialogue_gym.tasks.base import Kind, task_from_dict

LEADS: dict[Kind, str] = {"math": "The answer is", "document": "Draft:"}
"""What the assistant is taken to have begun its message with; a space and the reference come next."""


class Progress:
    """Pays each turn for the change in a language model's log-probability of the reference.

    With the potential ``phi_t``, the mean natural log-probability of the reference's tokens as the
    assistant's next message after t turns (``phi_0``: after the opening)::

        r_t = weight * (gamma * phi_t - phi_(t - 1))             while the dialogue goes on
        r_t = score - weight * phi_(t - 1)                       with the last reply

    That is potential-based shaping with a potential of zero at the end (Ng, Harada, Russell 1999):
    ``sum gamma ** (t - 1) * r_t`` is ``gamma ** (T - 1) * score - weight * phi_0``, whatever was said, so
    that the best policy stays the best, with any language model. What changes is which turn is paid: with
    ``gamma`` 1, a learner that compares sums of dialogues with the same opening learns nothing new from it.

    The idea, progress of the one who is helped in place of a last reward, is that of UCO (arXiv 2511.08873);
    the formulas are ours. The mean over tokens, and not their sum, makes one weight fit answers of two tokens
    and documents of sixty. The model reads what the agent reads, the messages, and no brief: with that the
    answer is known before anything is said.

    It reads the reference: it is a training signal of the laboratory, and nothing of it is shown to a
    policy. A dialogue that the model's context cannot hold gets no reward (None).

    Args:
        language_model: a name or object; must be able to score given texts.
        weight: of the progress beside the score.
        gamma: the learner's discount.
        leads: by the kind of task, what comes before the reference; ``LEADS`` where it says nothing.

    Raises:
        ValueError: a setting that cannot be, or a language model that cannot score.
    """

    def __init__(
        self,
        language_model: str | Mapping[str, Any] | LanguageModel,
        weight: float = 0.1,
        gamma: float = 1.0,
        leads: Mapping[Kind, str] | None = None,
    ) -> None:
        if not math.isfinite(weight):
            raise ValueError(f"progress: weight must be a number, got {weight}")
        if not 0 < gamma <= 1:
            raise ValueError(f"progress: gamma must be above 0 and at most 1, got {gamma}")
        self.language_model = scoring_model(language_model, "progress")
        self.weight, self.gamma = weight, gamma
        self.leads = {**LEADS, **(leads or {})}

    def rewards(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        """One number for each reply; None where a dialogue was not scored or is too long.

        A running dialogue is paid as far as it goes; a reply that nobody has answered yet gets 0.

        Raises:
            ValueError: a task that has no reference, or a dialogue without a task.
        """
        scored = [i for i, record in enumerate(records) if not is_unscored(record)]
        found: list[list[float] | None] = [None] * len(records)
        for i, potentials in zip(scored, self.potentials([records[i] for i in scored]), strict=True):
            known = [p for p in potentials if p is not None]
            found[i] = self._paid(records[i], known) if len(known) == len(potentials) else None
        return found

    def potentials(self, records: Sequence[DialogueRecord]) -> list[list[float | None]]:
        """``phi_0, phi_1, ...`` of each dialogue, up to the last turn that the user has answered.

        Without that of the last turn where the dialogue is over, which is zero by definition. None where the
        model's context has no room.

        Raises:
            ValueError: a task that has no reference, or a dialogue without a task.
        """
        rows, counts = [], []
        for record in records:
            reference, lead = self._reference(record)
            turns = range(replies(record) if is_over(record) else (len(record.messages) + 1) // 2)
            for turn in turns:
                context = context_ids(self.language_model, record.messages[: 2 * turn + 1], lead)
                rows.append((context, reference))
            counts.append(len(turns))
        scores = iter(log_probs(self.language_model, rows))
        means = (None if score is None else sum(score) / len(score) for score in scores)
        return [[next(means) for _ in range(count)] for count in counts]

    def identity(self) -> dict[str, Any]:
        """Name, model and settings."""
        return {
            "name": "progress",
            "model": self.language_model.identity(),
            "weight": self.weight,
            "gamma": self.gamma,
            "leads": self.leads,
        }

    def _paid(self, record: DialogueRecord, potentials: Sequence[float]) -> list[float]:
        paid = []
        for turn in range(1, replies(record) + 1):
            last = turn == replies(record)
            if last and is_over(record):
                paid.append((record.reward or 0.0) - self.weight * potentials[turn - 1])
            elif turn < len(potentials):
                paid.append(self.weight * (self.gamma * potentials[turn] - potentials[turn - 1]))
            else:
                paid.append(0.0)
        return paid

    def _reference(self, record: DialogueRecord) -> tuple[list[int], str]:
        """The token ids to score, and what comes before them."""
        if record.task is None:
            raise ValueError("progress: a dialogue without its task, whose reference is needed")
        task = task_from_dict(record.task)
        reference = task.reference
        text = reference.answer if task.kind == "math" else reference.text or ", ".join(reference.facts)
        if not text.strip():
            what = "answer" if task.kind == "math" else "text and no facts"
            raise ValueError(f"progress: task {task.id!r} has no reference {what}, which progress is towards")
        # most tokenizers keep a space with the word that follows
        return self.language_model.codec.content_ids(f" {text}"), self.leads[task.kind]


def _progress(
    training: Training,
    language_model: str | Mapping[str, Any] | LanguageModel | None = None,
    weight: float = 0.1,
    gamma: float = 1.0,
) -> Progress:
    """Without a language model of its own it takes the user's."""
    simulator = training.env.simulator
    model = language_model or getattr(simulator, "language_model", None)
    if model is None:
        raise ValueError(
            f"progress: the user {type(simulator).__name__} has no language model; train with one that has, "
            'or give a model: {"name": "progress", "language_model": "tiny"}'
        )
    return Progress(model, weight, gamma)


turn_rewards.register("progress", _progress)
