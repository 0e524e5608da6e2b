"""Supervised fine-tuning of a language model on the user turns of logs, with TRL's ``SFTTrainer``."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from dialogue_gym.calibration.checkpoints import last_checkpoint
from dialogue_gym.calibration.progress import no_dataset_bars, progress_bar
from dialogue_gym.calibration.samples import (
    Row,
    check_enough,
    describe,
    row_counts,
    split_dialogues,
    training_row,
)
from dialogue_gym.language_models import load_language_model
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.simulators.calibrated_folder import (
    MANIFEST,
    WORK,
    check_free,
    claim,
    load_folder,
    publish,
    weights_hash,
)
from dialogue_gym.simulators.prompted import STOP_MARK
from dialogue_gym.simulators.user_side import Condition, UserSide

_LINEAR = "all-linear"


@dataclass
class FitSettings:
    """How a model is fitted."""

    model: str = "tiny"
    """Where fitting starts: "tiny", a folder or hub name for transformers, or a calibrated folder."""
    condition: Condition = "brief"
    """What the user's model is told: the whole "brief", the "intent" (the goal alone), or "none"."""
    agent_tokens: int = 0
    """Agents' messages longer than this are shortened to it, beginning and end; 0 keeps all."""
    max_length: int = 1024
    """Turns that end beyond this many tokens are left out and counted."""
    lora_rank: int = 0
    """Train a LoRA adapter of this rank on all linear layers; 0 trains all weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Weights' precision."""
    learning_rate: float = 3e-4
    """Peak of AdamW's cosine schedule; about 1e-5 for full training of billions of parameters."""
    epochs: float = 15
    """At most so many passes over the training dialogues."""
    batch_size: int = 16
    """Dialogues an update (per process)."""
    micro_batch: int = 0
    """Dialogues a forward pass; 0 takes all of an update's at once. Smaller saves memory."""
    embedding_noise: float = 5.0
    """NEFTune's alpha (2310.05914): noise on the embeddings, against overfitting small logs; 0 for none."""
    held_out: float = 0.1
    """Share of the dialogues that early stopping looks at."""
    patience: int = 3
    """Evaluations without a better held-out loss after which fitting stops; the best weights are kept."""
    evaluations: int = 10
    """Evaluations on the held-out dialogues during fitting."""
    seed: int = 0
    """Seeds the split and the order of the dialogues."""
    cpu: bool = False
    """Stay on the CPU even where there is a GPU."""

    def __post_init__(self) -> None:
        limits = {"max_length": 8, "batch_size": 1, "patience": 1, "evaluations": 1, "lora_rank": 0}
        for name, low in {**limits, "seed": 0, "micro_batch": 0, "agent_tokens": 0}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        for name in ("learning_rate", "epochs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be a share between 0 and 1, got {self.held_out}")
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch must divide batch_size, got {self.micro_batch} and {self.batch_size}"
            )


@dataclass
class Fit:
    """What fitting gave.

    Attributes:
        folder: where the calibrated user is.
        manifest: what its manifest says.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    def summary(self) -> str:
        """A few lines for people."""
        data, metrics = self.manifest["data"], self.manifest["metrics"]
        cut = data["train"]["samples_cut"] + data["held_out"]["samples_cut"]
        longer = f" ({cut} more end beyond max_length; agent_tokens would shorten them)" if cut else ""
        return (
            f"{data['dialogues']} dialogues ({data['dialogues_of_people']} of people), "
            f"{data['user_turns']} user turns, {data['train']['samples']} samples to learn from{longer}\n"
            f"held-out loss {metrics['loss_before']:.3f} -> {metrics['loss_after']:.3f} nats a token, "
            f"{metrics['steps']} updates, {metrics['cpu_seconds']:.0f} CPU s"
        )


def fit(records: Sequence[DialogueRecord], out: str | Path, settings: FitSettings | None = None) -> Fit:
    """Fit a user to logged dialogues and write it to a folder that ``CalibratedUser`` loads.

    K turns of a dialogue give K + 1 samples, the last of which teaches when people leave (UserLM,
    2510.06552); the loss is the mean over the tokens of user turns. The persona is never read. A killed
    run goes on from its last evaluation when it is started again with the same records and settings.

    Args:
        records: dialogues; excerpts teach neither openings nor ends.
        out: a folder to make; must not hold a calibrated user yet.
        settings: see there.

    Raises:
        ValueError: fewer than 50 user turns, nothing to hold out, a folder that is taken.
        FileNotFoundError: no such model.
    """
    settings, out = settings or FitSettings(), Path(out)
    check_free(out)
    check_enough(records)
    parts = split_dialogues(records, settings.held_out, settings.seed)
    model, side = _start(settings)
    train, held = (_rows(model, side, part, settings.max_length) for part in parts)
    data = {**describe(records), "train": row_counts(train), "held_out": row_counts(held)}
    with quiet():
        arguments = _arguments(settings, len(train), out / WORK)
    with arguments.distributed_state.main_process_first():
        work = claim(out, {"data": data, "settings": asdict(settings)})
    started = time.process_time()
    with quiet(), no_dataset_bars():
        trainer, metrics = _train(model, settings, train, held, arguments)
    metrics["cpu_seconds"] = round(time.process_time() - started, 1)
    if not trainer.is_world_process_zero():
        return Fit(out, {"data": data, "metrics": metrics})
    made = work / "user"
    with quiet():
        trainer.model.save_pretrained(made)
        model.codec.tokenizer.save_pretrained(made)
    return Fit(out, publish(out, made, _content(model, settings, side, data, metrics)))


def _start(settings: FitSettings) -> tuple[Any, UserSide]:
    """The model to fit and how dialogues are shown to it: in the form that it already knows, if any."""
    path = settings.model.removeprefix("transformers:")
    if path == "tiny":  # was trained to play users
        model, side = load_language_model("tiny"), UserSide(instruction="", go_on="", leave=STOP_MARK)
    elif (Path(path) / MANIFEST).exists():
        model, manifest = load_folder(path)
        side = UserSide(**manifest["user_side"])
        if manifest["model"]["adapter"]:
            raise ValueError(f"{path}: is an adapter; its base would be right: {manifest['model']['base']}")
    else:
        model = load_language_model({"name": "transformers", "path": path, "dtype": settings.dtype})
        side = UserSide()
    return model, replace(side, condition=settings.condition, agent_tokens=settings.agent_tokens)


def _rows(model: Any, side: UserSide, records: Sequence[DialogueRecord], max_length: int) -> list[Row]:
    length = min(max_length, model.max_context)
    rows = [training_row(model.codec, side, record, length) for record in records]
    if not any(row.samples for row in rows):
        raise ValueError(f"no user turn fits into {length} tokens; a larger max_length or agent_tokens would")
    return rows


def _train(
    model: Any, settings: FitSettings, train: list[Row], held: list[Row], arguments: Any
) -> tuple[Any, dict[str, Any]]:
    from transformers import EarlyStoppingCallback, PrinterCallback
    from trl import SFTTrainer

    trainer = SFTTrainer(
        model=model.model,
        args=arguments,
        train_dataset=_dataset(train),
        eval_dataset=_dataset(held),
        processing_class=model.codec.tokenizer,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=settings.patience), progress_bar()],
        peft_config=_lora(settings),
    )
    trainer.remove_callback(PrinterCallback)
    before = trainer.evaluate()["eval_loss"]
    trainer.train(resume_from_checkpoint=last_checkpoint(arguments.output_dir))
    after = trainer.evaluate()["eval_loss"]
    return trainer, {
        "loss_before": round(before, 4),
        "loss_after": round(after, 4),
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
    }


def _arguments(settings: FitSettings, rows: int, work: Path) -> Any:
    from trl import SFTConfig

    micro = settings.micro_batch or settings.batch_size
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # torchrun's and accelerate's
    updates = max(1, round(settings.epochs * -(-rows // (settings.batch_size * processes))))
    every = max(1, updates // settings.evaluations)
    return SFTConfig(
        output_dir=str(work),
        max_steps=updates,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(20, updates // 10),
        weight_decay=0.0,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=settings.batch_size // micro,
        max_length=None,
        packing=False,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=1,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=every,
        report_to="none",
        disable_tqdm=True,
        seed=settings.seed,
        use_cpu=settings.cpu,
        bf16=False,
        neftune_noise_alpha=settings.embedding_noise or None,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
    )


def _dataset(rows: Sequence[Row]) -> Any:
    from datasets import Dataset

    kept = [row for row in rows if row.samples]
    return Dataset.from_dict(
        {"input_ids": [r.input_ids for r in kept], "assistant_masks": [r.learned for r in kept]}
    )


def _lora(settings: FitSettings) -> Any:
    if not settings.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, target_modules=_LINEAR, task_type="CAUSAL_LM"
    )


def _content(
    model: Any, settings: FitSettings, side: UserSide, data: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    base = str(model.model.config._name_or_path)
    if Path(base).is_dir():  # an adapter must find it from any folder
        base = str(Path(base).resolve())
    return {
        "model": {
            "base": base,
            "base_sha256": weights_hash(base),
            "adapter": settings.lora_rank > 0,
            "dtype": settings.dtype,
        },
        "user_side": side.to_dict(),
        "codec": model.codec.identity(),
        "data": data,
        "settings": asdict(settings),
        "metrics": metrics,
        "versions": {name: version(name) for name in ("dialogue-gym", "torch", "transformers", "trl")},
    }
