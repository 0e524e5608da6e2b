"""One run of DRIFT: evaluate, train on a weighted log, evaluate again."""

import dialogue_gym.language_models.quiet  # noqa: F401  before transformers is imported

# isort: split
from typing import Any

import torch

from dialogue_agents.drift.settings import DriftSettings
from dialogue_agents.drift.trainer import make_trainer, training_arguments, training_rows
from dialogue_agents.drift.weights import Weighted, read_weighted
from dialogue_agents.grpo.run import Run, load_policy, lora_config, prepare_folder
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.transformers_engine import TransformersModel


def run(settings: DriftSettings) -> dict[str, Any]:
    """Train and evaluate; the policy ends up in ``out/policy``, the figures in ``out/result.json``.

    Returns:
        As ``grpo.run.train``, with "losses" (one for each update) in place of "curve". In the "budget",
        "user_calls" of training are 0; "logged_user_calls" is what the log has cost.

    Raises:
        FileExistsError: ``out`` holds a run and ``resume`` is off.
        FileNotFoundError: no such log or policy, or nothing to resume.
        ValueError: a log that cannot be used, or the run in ``out`` has other settings.
    """
    held_out = settings.eval_split if settings.eval_dialogues else None
    dialogues = read_weighted(
        settings.logs, settings.env, settings.beta, settings.gamma, settings.repeat_penalty, held_out
    )
    with quiet():
        torch.set_num_threads(1)
        arguments = training_arguments(settings)
        model, tokenizer = load_policy(settings)
        codec = ChatCodec(tokenizer)
        length = TransformersModel(model, codec).max_context
        rows = training_rows(codec, dialogues, settings.replies, length)
        if arguments.process_index == 0:
            prepare_folder(settings)
        arguments.distributed_state.wait_for_everyone()
        trainer = make_trainer(_adapted(settings, model), rows, arguments, codec)
        return _DriftRun(settings, trainer, codec, dialogues, rows).result()


def _adapted(settings: DriftSettings, model: Any) -> Any:
    """The model, with an adapter where the settings want one."""
    if not settings.lora_rank:
        return model
    from peft import get_peft_model

    return get_peft_model(model, lora_config(settings))


class _DriftRun(Run):
    """A run whose figures are known from its rows."""

    def __init__(
        self,
        settings: DriftSettings,
        trainer: Any,
        codec: ChatCodec,
        dialogues: list[Weighted],
        rows: list[dict[str, Any]],
    ) -> None:
        super().__init__(settings, trainer, codec)
        self.epochs, self.dialogues, self.rows = settings.epochs, dialogues, rows

    def figures(self) -> dict[str, Any]:
        """Losses, and what was spent."""
        history, heard = self.trainer.state.log_history, [len(d.dialogue.messages) for d in self.dialogues]
        return {
            "losses": [entry["loss"] for entry in history if "loss" in entry],
            "dialogues": {"trained": len(self.rows), "too_long": len(self.dialogues) - len(self.rows)},
            "budget": {
                "updates": int(self.trainer.state.global_step),
                "policy_tokens": self.epochs * sum(label >= 0 for r in self.rows for label in r["labels"]),
                "user_calls": 0,
                "user_tokens": 0,
                "look_ahead_tokens": 0,
                "logged_user_calls": sum((length + 1) // 2 for length in heard),
            },
        }
