"""One run: evaluate, imitate a weighted log, evaluate again."""

import dialogue_gym.language_models.quiet  # noqa: F401  before transformers is imported

# isort: split
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from dialogue_agents.folder import prepare_folder
from dialogue_agents.grpo.run import Run, load_policy, lora_config
from dialogue_agents.imitation.logged import Weighted
from dialogue_agents.imitation.settings import ImitationSettings
from dialogue_agents.imitation.trainer import learned_tokens, make_trainer, training_rows
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.modules import on_cpu
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.logs import read_log


def imitate(settings: ImitationSettings, dialogues: Sequence[Weighted], title: str) -> dict[str, Any]:
    """Train and evaluate; the policy ends up in ``out/policy``, the figures in ``out/result.json``.

    Args:
        settings: of the run.
        dialogues: of the log, with their weights.
        title: stands before the progress bar.

    Returns:
        As ``grpo.run.train``, with "losses" (one for each update) in place of "curve". In the "budget",
        "user_calls" of training are 0; "logged_user_calls" is what the log has cost.

    Raises:
        FileExistsError: ``out`` holds a run and ``resume`` is off.
        FileNotFoundError: no such policy, or nothing to resume.
        NotFinite: the loss is not a number; what it was computed from is in ``out/bad-batch.pt``.
        ValueError: no dialogue fits into the policy, one pass takes more tokens than there may be, or the run
            in ``out`` has other settings.
    """
    with quiet(), on_cpu(settings.cpu):
        torch.set_num_threads(1)
        model, tokenizer = load_policy(settings)
        codec = ChatCodec(tokenizer)
        length = TransformersModel(model, codec).max_context
        rows = training_rows(codec, dialogues, settings.replies, length)
        settings = _affordable(settings, rows)
        trainer = make_trainer(_adapted(settings, model), rows, settings, codec, title)
        if trainer.is_world_process_zero():
            prepare_folder(settings, ("steps",))
        trainer.accelerator.wait_for_everyone()
        return _ImitationRun(settings, trainer, codec, dialogues, rows).result()


def held_out_split(settings: ImitationSettings) -> str | None:
    """The split that evaluation uses, if there is one."""
    return settings.eval_split if settings.eval_dialogues else None


def _affordable(settings: ImitationSettings, rows: list[dict[str, Any]]) -> ImitationSettings:
    """With as many passes as ``policy_tokens`` allows."""
    cost, bound = learned_tokens(rows), settings.policy_tokens
    if not bound:
        return settings
    if cost > bound:
        raise ValueError(
            f"one pass over {settings.logs} learns from {cost} tokens, more than policy_tokens = {bound}; "
            "a shorter log would be right"
        )
    return replace(settings, epochs=min(settings.epochs, bound // cost))


def _adapted(settings: ImitationSettings, model: Any) -> Any:
    """The model, with an adapter where the settings want one."""
    if not settings.lora_rank:
        return model
    from peft import get_peft_model

    return get_peft_model(model, lora_config(settings))


class _ImitationRun(Run):
    """A run whose figures are known from its rows."""

    settings: ImitationSettings

    def __init__(
        self,
        settings: ImitationSettings,
        trainer: Any,
        codec: ChatCodec,
        dialogues: Sequence[Weighted],
        rows: list[dict[str, Any]],
    ) -> None:
        super().__init__(settings, trainer, codec)
        self.dialogues, self.rows = dialogues, rows

    def figures(self) -> dict[str, Any]:
        """Losses, and what was spent."""
        history = self.trainer.state.log_history
        return {
            "losses": [entry["loss"] for entry in history if "loss" in entry],
            "dialogues": {"logged": len(self.dialogues), "trained": len(self.rows)},
            "budget": {
                "updates": int(self.trainer.state.global_step),
                "policy_tokens": self.settings.epochs * learned_tokens(self.rows),
                "user_calls": 0,
                "user_tokens": 0,
                "look_ahead_tokens": 0,
                "logged_user_calls": sum((len(r.messages) + 1) // 2 for r in read_log(self.settings.logs)),
            },
        }
