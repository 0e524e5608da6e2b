"""Direct preference optimisation of a calibrated user on pairs of token ids, with TRL."""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dialogue_gym.calibration.realism_reward.settings import RewardSettings
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.calibrated import CalibratedUser


def learn(
    user: CalibratedUser,
    rows: Sequence[dict[str, Any]],
    folder: Path,
    settings: RewardSettings,
    key: NoiseKey,
) -> None:
    """TRL's DPO on the rows; weights and tokenizer go to the folder. The user's model is changed."""
    if not rows:
        raise ValueError("the user's replies to each context are all the same, so there is nothing to prefer")
    from transformers import PrinterCallback

    with quiet(), tempfile.TemporaryDirectory() as work:
        trainer = preference_trainer(user.language_model, rows, settings, work, key)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        adapter = {"selected_adapters": ["default"]} if hasattr(trainer.model, "peft_config") else {}
        trainer.model.save_pretrained(folder, **adapter)
        user.codec.tokenizer.save_pretrained(folder)


def preference_trainer(
    language_model: Any,
    rows: Sequence[dict[str, Any]],
    settings: RewardSettings,
    work: str,
    key: NoiseKey,
) -> Any:
    """TRL's trainer for rows of token ids; an adapter is its own reference, whole weights are copied."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class TokenDPOTrainer(DPOTrainer):  # type: ignore[misc]
        """Takes token ids as they are; DPOTrainer would make text of them its own way."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            """Each pair with its own probability that the chosen reply is preferred.

            TRL's robust loss is ((1 - e) log s(x) - e log s(-x)) / (2 e - 1) for a rate e of flipped labels
            (s: sigmoid); with e = (p - 1) / (2 p - 1) it is -p log s(x) - (1 - p) log s(-x).
            """
            p = inputs["preference"].clamp(min=0.5 + 1e-4)
            self.label_smoothing = (p - 1) / (2 * p - 1)
            return super().compute_loss(model, inputs, *args, **kwargs)

    model = language_model.model
    with_adapter = hasattr(model, "peft_config")
    if with_adapter:  # PEFT loads adapters frozen; TRL then keeps a copy of it as the reference
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".default." in name)
    config = DPOConfig(
        output_dir=work,
        loss_type=["robust"],
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=10,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        weight_decay=0.0,
        max_length=None,
        save_strategy="no",
        logging_steps=50,
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        seed=key.bits() % 2**31,
        use_cpu=settings.cpu,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
    )
    return TokenDPOTrainer(
        model=model,
        ref_model=None if with_adapter else copy.deepcopy(model),
        args=config,
        train_dataset=Dataset.from_list(list(rows)),
        data_collator=_collator(language_model.codec.pad_id),
        processing_class=language_model.codec.tokenizer,
    )


def _collator(pad_id: int) -> Any:
    """TRL's, which drops the columns that it does not know, with the preferences."""
    import torch
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    padded = DataCollatorForPreference(pad_token_id=pad_id)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {**padded(rows), "preference": torch.tensor([row["preference"] for row in rows])}

    return collate
