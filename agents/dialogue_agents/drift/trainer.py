"""Rows of token ids, and supervised fine-tuning where every row has a weight."""

import dialogue_gym.language_models.quiet  # noqa: F401  before transformers is imported

# isort: split
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from dialogue_agents.drift.settings import DriftSettings
from dialogue_agents.drift.weights import Weighted
from dialogue_agents.grpo.progress import Bar
from dialogue_gym.dialogue import Message
from dialogue_gym.language_models.codec import ChatCodec

_NOT_LEARNED = -100


def training_row(
    codec: ChatCodec, messages: Sequence[Message], replies: Literal["all", "last"]
) -> tuple[list[int], list[int]]:
    """Token ids of a dialogue up to its last reply, and labels: -100 where nothing is learned.

    A reply is learned with its end-of-turn token. A log keeps text, so that ids may differ from those that
    were sampled; what the policy reads at the next turn is the same text, by the same codec.
    """
    ids: list[int] = []
    labels: list[int] = []
    turns = len(messages) // 2
    for turn in range(turns):
        heard, said = messages[2 * turn], messages[2 * turn + 1]
        context = codec.extend([heard]) if turn else codec.encode([heard])
        reply = [*codec.content_ids(said["content"]), codec.end_of_turn_id]
        learned = replies == "all" or turn == turns - 1
        ids += context + reply
        labels += [_NOT_LEARNED] * len(context) + (reply if learned else [_NOT_LEARNED] * len(reply))
    return ids, labels


def training_rows(
    codec: ChatCodec, dialogues: Sequence[Weighted], replies: Literal["all", "last"], max_length: int
) -> list[dict[str, Any]]:
    """Rows for the trainer; dialogues longer than ``max_length`` tokens are left out.

    Raises:
        ValueError: none fits.
    """
    rows = []
    for weighted in dialogues:
        ids, labels = training_row(codec, weighted.dialogue.messages, replies)
        if len(ids) <= max_length:
            rows.append({"input_ids": ids, "labels": labels, "weight": weighted.weight})
    if not rows:
        raise ValueError(f"none of the {len(dialogues)} dialogues fits into the policy's {max_length} tokens")
    return rows


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The mean over rows of weight times mean cross-entropy of the row's learned tokens (DRIFT, 2605.31455).

    Args:
        logits: (B, T, vocabulary).
        labels: (B, T), -100 where nothing is learned.
        weights: (B,).
    """
    targets = labels[:, 1:]
    losses = cross_entropy(
        logits[:, :-1].float().transpose(1, 2), targets, ignore_index=_NOT_LEARNED, reduction="none"
    )
    return (weights * losses.sum(1) / (targets != _NOT_LEARNED).sum(1)).mean()


class WeightedTrainer(Trainer):  # type: ignore[misc]
    """Transformers' trainer with ``weighted_loss``."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.model_accepts_loss_kwargs = False  # micro-batches have equal shares, whatever their tokens

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        """The loss of a micro-batch."""
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        return weighted_loss(logits, inputs["labels"], inputs["weight"])


def make_trainer(
    model: Any, rows: list[dict[str, Any]], arguments: TrainingArguments, codec: ChatCodec
) -> WeightedTrainer:
    """The trainer with its rows."""
    trainer = WeightedTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=collator(codec.pad_id),
        processing_class=codec.tokenizer,
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Bar("DRIFT"))
    return trainer


def training_arguments(settings: DriftSettings) -> TrainingArguments:
    """Our settings in transformers' words."""
    micro = settings.micro_batch or settings.batch_size
    return TrainingArguments(
        output_dir=str(settings.out),
        use_cpu=settings.cpu,
        bf16=settings.dtype == "bfloat16",
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=settings.batch_size // micro,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        logging_steps=1,
        save_steps=settings.save_steps,
        save_total_limit=2,
        report_to=settings.report_to,
        remove_unused_columns=False,
    )


def collator(pad_id: int) -> Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Joins rows to a batch, padded on the right."""

    def join(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        length = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, value: int) -> torch.Tensor:
            return torch.tensor([row[name] + [value] * (length - len(row[name])) for row in rows])

        return {
            "input_ids": padded("input_ids", pad_id),
            "labels": padded("labels", _NOT_LEARNED),
            "attention_mask": torch.tensor(
                [[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows]
            ),
            "weight": torch.tensor([row["weight"] for row in rows]),
        }

    return join
