"""Rows of token ids, and supervised fine-tuning where every row has a weight."""

import dialogue_gym.language_models.quiet  # noqa: F401  before transformers is imported

# isort: split
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

from dialogue_agents.device import trainer_arguments
from dialogue_agents.finite import StopWhenNotFinite
from dialogue_agents.grpo.progress import use_bar
from dialogue_agents.imitation.logged import Weighted
from dialogue_agents.imitation.settings import ImitationSettings
from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.codec import ChatCodec

_NOT_LEARNED = -100
_NOTHING = 1e-3
"""A weight below which a dialogue is left out; the mean is 1."""


def training_row(
    codec: ChatCodec, messages: Sequence[Message], replies: Literal["all", "last"]
) -> tuple[list[int], list[int], list[float]]:
    """Token ids of a dialogue up to its last reply, labels, and what each token counts.

    A reply is learned with its end-of-turn token. A log keeps text, so that ids may differ from those that
    were sampled; what the policy reads at the next turn is the same text, by the same codec.

    Returns:
        Ids; labels, -100 where nothing is learned; and shares, of which those of a reply add up to 1, so
        that a reply counts as one however long it is.
    """
    ids: list[int] = []
    labels: list[int] = []
    shares: list[float] = []
    turns = len(messages) // 2
    for turn in range(turns):
        heard, said = messages[2 * turn], messages[2 * turn + 1]
        context = codec.extend([heard]) if turn else codec.encode([heard])
        reply = [*codec.content_ids(said["content"]), codec.end_of_turn_id]
        learned = replies == "all" or turn == turns - 1
        ids += context + reply
        labels += [_NOT_LEARNED] * len(context) + (reply if learned else [_NOT_LEARNED] * len(reply))
        shares += [0.0] * len(context) + [learned / len(reply)] * len(reply)
    return ids, labels, shares


def training_rows(
    codec: ChatCodec, dialogues: Sequence[Weighted], replies: Literal["all", "last"], max_length: int
) -> list[dict[str, Any]]:
    """Rows for the trainer.

    Dialogues longer than ``max_length`` tokens are left out, and so are those that weigh next to nothing,
    which would cost as much time as the others. What these would add to a gradient is next to nothing, but
    leaving them out is no mere saving: the loss is a mean over the rows that stay, so that a pass has fewer
    updates, in each of which those rows count for more.

    Raises:
        ValueError: none fits.
    """
    rows = []
    for weighted in dialogues:
        if weighted.weight < _NOTHING:
            continue
        ids, labels, shares = training_row(codec, weighted.dialogue.messages, replies)
        if len(ids) <= max_length:
            weights = [weighted.weight * share for share in shares]
            rows.append({"input_ids": ids, "labels": labels, "weights": weights})
    if not rows:
        raise ValueError(f"none of the {len(dialogues)} dialogues fits into the policy's {max_length} tokens")
    return rows


def learned_tokens(rows: Sequence[dict[str, Any]]) -> int:
    """How many tokens a pass over the rows learns from."""
    return sum(label >= 0 for row in rows for label in row["labels"])


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The mean over rows of the weighted sum of the cross-entropies of a row's learned tokens.

    Args:
        logits: (B, T, vocabulary).
        labels: (B, T), -100 where nothing is learned.
        weights: (B, T), of the labels.
    """
    losses = cross_entropy(
        logits[:, :-1].float().transpose(1, 2), labels[:, 1:], ignore_index=_NOT_LEARNED, reduction="none"
    )
    return (weights[:, 1:] * losses).sum(1).mean()


class WeightedTrainer(Trainer):  # type: ignore[misc]
    """Transformers' trainer with ``weighted_loss``; it stops where that is no number.

    Args:
        watch: what looks at the losses.
        **keywords: as ``Trainer``.
    """

    def __init__(self, watch: StopWhenNotFinite, **keywords: Any) -> None:
        super().__init__(callbacks=[watch], **keywords)
        self.watch = watch
        self.model_accepts_loss_kwargs = False  # micro-batches have equal shares, whatever their tokens

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        """The loss of a micro-batch."""
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        loss = weighted_loss(logits, inputs["labels"], inputs["weights"])
        self.watch.check_loss(loss, inputs, self.state.global_step)
        return loss


def make_trainer(
    model: Any, rows: list[dict[str, Any]], settings: ImitationSettings, codec: ChatCodec, title: str
) -> WeightedTrainer:
    """The trainer with its rows.

    Args:
        model: to train.
        rows: see ``training_rows``.
        settings: of the run.
        codec: of the model's tokenizer.
        title: stands before the progress bar.
    """
    trainer = WeightedTrainer(
        StopWhenNotFinite(settings.out),
        model=model,
        args=training_arguments(settings),
        train_dataset=rows,
        data_collator=collator(codec.pad_id),
        processing_class=codec.tokenizer,
    )
    use_bar(trainer, title)
    return trainer


def training_arguments(settings: ImitationSettings) -> TrainingArguments:
    """Our settings in transformers' words."""
    return TrainingArguments(
        **trainer_arguments(settings, settings.batch_size, settings.micro_batch),
        num_train_epochs=settings.epochs,
        save_steps=settings.save_steps,
        remove_unused_columns=False,
    )


def collator(pad_id: int) -> Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Joins rows to a batch, padded on the right."""

    def join(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        length = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, value: float) -> torch.Tensor:
            return torch.tensor([row[name] + [value] * (length - len(row[name])) for row in rows])

        return {
            "input_ids": padded("input_ids", pad_id),
            "labels": padded("labels", _NOT_LEARNED),
            "attention_mask": torch.tensor(
                [[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows]
            ),
            "weights": padded("weights", 0.0),
        }

    return join
