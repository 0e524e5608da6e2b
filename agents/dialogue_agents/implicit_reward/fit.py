"""The fit: cross-entropy of the outcome under the log-ratio of the agent's messages."""

import dialogue_gym.language_models.quiet  # noqa: F401  before transformers is imported

# isort: split
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, log
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from dialogue_agents.finite import StopWhenNotFinite
from dialogue_agents.imitation.logged import by_prompt, read_dialogues
from dialogue_agents.imitation.trainer import training_row
from dialogue_agents.implicit_reward.settings import ImplicitRewardSettings
from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import PolicyRecord
from dialogue_gym.rewards.implicit import MANIFEST
from dialogue_gym.seeding import NoiseKey

_IGNORED = -100


@dataclass(slots=True)
class Row:
    """A dialogue in tokens.

    Attributes:
        ids: of the whole dialogue.
        labels: the ids of the agent's messages, -100 elsewhere.
        outcome: its score.
        reference: log-probability of the agent's messages before anything is learned.
    """

    ids: list[int]
    labels: list[int]
    outcome: float
    reference: float = 0.0


def fit(settings: ImplicitRewardSettings) -> dict[str, Any]:
    """Fit a model and write it to ``out``, with what was found in its manifest.

    The log-odds of success are ``beta * (log p - log p_reference)`` of the agent's messages, trained by
    cross-entropy on the score (implicit process rewards: PRIME, arXiv 2502.01456; for turns: ITPO, arXiv
    2603.23550). Reads the policy's view of the log.

    Returns:
        "before", "after" and "base_rate": cross-entropies of held-out dialogues, in nats, before and after
        the fit and where the mean outcome is always said; "dialogues" ("trained", "held_out", "too_long");
        "updates".

    Raises:
        FileExistsError: ``out`` holds a model.
        FileNotFoundError: no such log or model.
        NotFinite: a loss or gradient is not finite; what it was computed from is in ``out/bad-batch.pt``.
        ValueError: a log that cannot be used.
    """
    if (settings.out / MANIFEST).exists():
        raise FileExistsError(f"{settings.out} holds a model already; choose another --out")
    dialogues = _read(settings)
    with quiet():
        language_model: Any = load_language_model(settings.model)
        rows = [_row(language_model.codec, dialogue) for dialogue in dialogues]
        kept = [len(row.ids) <= language_model.max_context for row in rows]
        train, held = _split(settings, dialogues, rows, kept)
        found = _train(settings, language_model, train, held)
        found["dialogues"] = {"trained": len(train), "held_out": len(held), "too_long": kept.count(False)}
        _save(settings, language_model, found)
    return found


def outcome_loss(logits: Tensor, labels: Tensor, reference: Tensor, outcomes: Tensor, beta: float) -> Tensor:
    """The mean cross-entropy of outcomes under ``beta`` times the log-ratio of the labels.

    Args:
        logits: (B, T, vocabulary).
        labels: (B, T), -100 where nothing counts.
        reference: (B,), log-probabilities of the labels under the reference model.
        outcomes: (B,), from 0 to 1.
        beta: see the settings.
    """
    return binary_cross_entropy_with_logits(beta * (log_probs(logits, labels) - reference), outcomes)


def log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities of the labels of each row, (B,); shapes as in ``outcome_loss``."""
    nats = cross_entropy(
        logits[:, :-1].float().transpose(1, 2), labels[:, 1:], ignore_index=_IGNORED, reduction="none"
    )
    return -nats.sum(1)


def _read(settings: ImplicitRewardSettings) -> list[PolicyRecord]:
    dialogues = read_dialogues(settings.logs, settings.env)
    outcomes = [dialogue.reward or 0.0 for dialogue in dialogues]
    if not all(0 <= outcome <= 1 for outcome in outcomes):
        odd = next(outcome for outcome in outcomes if not 0 <= outcome <= 1)
        raise ValueError(f"{settings.logs}: scores must be from 0 to 1 to be outcomes, got {odd}")
    if min(outcomes) == max(outcomes):
        raise ValueError(
            f"{settings.logs}: all scores are {outcomes[0]}, so that there is nothing to tell apart"
        )
    return dialogues


def _row(codec: Any, dialogue: PolicyRecord) -> Row:
    ids, labels, _ = training_row(codec, dialogue.messages, "all")
    return Row(ids, labels, dialogue.reward or 0.0)


def _split(
    settings: ImplicitRewardSettings,
    dialogues: Sequence[PolicyRecord],
    rows: Sequence[Row],
    kept: Sequence[bool],
) -> tuple[list[Row], list[Row]]:
    """Rows to learn from and rows that are held out, with prompts in common with none."""
    prompts = by_prompt(dialogues)
    order = NoiseKey((settings.seed, "implicit", "split")).generator().permutation(len(prompts))
    count = ceil(settings.held_out * len(prompts) - 1e-9)
    held = {i for p in order[:count] for i in prompts[p]}
    parts = [[row for i, row in enumerate(rows) if kept[i] and (i in held) == out] for out in (False, True)]
    if not all(parts):
        raise ValueError(
            f"{settings.logs}: {kept.count(True)} dialogues that fit into the model, of {len(prompts)} "
            "prompts, are too few to learn from some and hold others out"
        )
    return parts[0], parts[1]


def _train(
    settings: ImplicitRewardSettings, language_model: Any, train: Sequence[Row], held: Sequence[Row]
) -> dict[str, Any]:
    module, pad = language_model.model, language_model.codec.pad_id
    module.eval()  # without dropout: a log-ratio of two draws of it would be noise
    with torch.no_grad():
        for rows in [*_in_order(settings, train), *_in_order(settings, held)]:
            batch = _padded(rows, pad, module.device)
            for row, value in zip(rows, log_probs(_logits(module, batch), batch["labels"]), strict=True):
                row.reference = float(value)
    before = _evaluate(settings, module, held, pad)
    optimizer = torch.optim.AdamW(module.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    watch, updates = StopWhenNotFinite(settings.out), 0
    for updates, rows in enumerate(_batches(settings, train), 1):
        batch = _padded(rows, pad, module.device)
        loss = _loss(settings, module, batch)
        watch.check_loss(loss, batch, updates - 1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        watch.check_gradients(module, updates - 1)
        torch.nn.utils.clip_grad_norm_(module.parameters(), settings.max_grad_norm)
        optimizer.step()
    mean = sum(row.outcome for row in train) / len(train)
    return {
        "before": before,
        "after": _evaluate(settings, module, held, pad),
        "base_rate": sum(_entropy(row.outcome, mean) for row in held) / len(held),
        "updates": updates,
    }


def _batches(settings: ImplicitRewardSettings, rows: Sequence[Row]) -> Iterator[list[Row]]:
    for epoch in range(settings.epochs):
        key = NoiseKey((settings.seed, "implicit", "order", epoch))
        order = key.generator().permutation(len(rows))
        for begin in range(0, len(rows), settings.batch_size):
            yield [rows[i] for i in order[begin : begin + settings.batch_size]]


def _in_order(settings: ImplicitRewardSettings, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for begin in range(0, len(rows), settings.batch_size):
        yield rows[begin : begin + settings.batch_size]


def _evaluate(settings: ImplicitRewardSettings, module: Any, held: Sequence[Row], pad: int) -> float:
    total = 0.0
    with torch.no_grad():
        for rows in _in_order(settings, held):
            total += float(_loss(settings, module, _padded(rows, pad, module.device))) * len(rows)
    return total / len(held)


def _loss(settings: ImplicitRewardSettings, module: Any, batch: Mapping[str, Tensor]) -> Tensor:
    logits = _logits(module, batch)
    return outcome_loss(logits, batch["labels"], batch["reference"], batch["outcomes"], settings.beta)


def _logits(module: Any, batch: Mapping[str, Tensor]) -> Tensor:
    logits: Tensor = module(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits


def _padded(rows: Sequence[Row], pad: int, device: Any) -> dict[str, Tensor]:
    """All that the loss is computed from; what is shorter is padded on the right."""
    width = max(len(row.ids) for row in rows)
    tables: dict[str, Any] = {
        "input_ids": [row.ids + [pad] * (width - len(row.ids)) for row in rows],
        "attention_mask": [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows],
        "labels": [row.labels + [_IGNORED] * (width - len(row.ids)) for row in rows],
        "reference": [row.reference for row in rows],
        "outcomes": [row.outcome for row in rows],
    }
    return {name: torch.tensor(table, device=device) for name, table in tables.items()}


def _entropy(outcome: float, said: float) -> float:
    """Cross-entropy of an outcome where a probability strictly between 0 and 1 is said."""
    said = min(max(said, 1e-6), 1 - 1e-6)
    return -outcome * log(said) - (1 - outcome) * log(1 - said)


def _save(settings: ImplicitRewardSettings, language_model: Any, found: dict[str, Any]) -> None:
    """The manifest last, so that a folder that has one is whole."""
    language_model.model.save_pretrained(settings.out)
    language_model.codec.tokenizer.save_pretrained(settings.out)
    name, _, path = settings.model.partition(":")
    reference = f"{name}:{Path(path).resolve()}" if path and Path(path).is_dir() else settings.model
    described = json.loads(json.dumps(asdict(settings), default=str))
    manifest = {"beta": settings.beta, "reference": reference, "settings": described, "found": found}
    (settings.out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
