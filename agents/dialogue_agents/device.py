"""How and where a trainer computes, in transformers' words."""

from typing import Any

import torch
from transformers.utils import is_torch_bf16_gpu_available

from dialogue_agents.grpo.settings import RunSettings


def trainer_arguments(settings: RunSettings, batch: int, micro: int) -> dict[str, Any]:
    """Keywords of ``TrainingArguments`` for what the settings of all runs say.

    Args:
        settings: of the run.
        batch: dialogues an update, of this process.
        micro: dialogues per forward pass; 0 for all of them.

    Raises:
        ValueError: as ``device_arguments``.
    """
    micro = micro or batch
    return {
        **device_arguments(settings),
        "output_dir": str(settings.out),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "logging_steps": 1,
        "save_total_limit": 2,
        "report_to": settings.report_to,
    }


def device_arguments(settings: RunSettings) -> dict[str, Any]:
    """Keywords of ``TrainingArguments`` for the settings' device and precision.

    Raises:
        ValueError: bfloat16 without a GPU that has it, and the run is not told to stay on the CPU.
    """
    if settings.dtype == "bfloat16" and not settings.cpu and not is_torch_bf16_gpu_available():
        raise ValueError(
            "dtype bfloat16 needs a GPU that has it, and none is here: add --cpu to stay on the CPU, or "
            "leave --dtype out for float32"
        )
    return {
        "use_cpu": settings.cpu,
        "bf16": settings.dtype == "bfloat16",
        # pinning is for copies to a GPU; without one torch warns
        "dataloader_pin_memory": not settings.cpu and torch.accelerator.is_available(),
    }
