"""TRL's GRPO trainer with two things set: per-token advantages and behaviour log-probabilities."""

import dialogue_gym.language_models.quiet  # noqa: F401  before TRL is imported

# isort: split
from collections.abc import Sequence
from typing import Any

import torch
from trl import GRPOTrainer

from dialogue_agents.grpo.credit import turn_advantages
from dialogue_agents.grpo.ratios import make_units, unit_log_probs, unit_shares
from dialogue_agents.grpo.settings import LearnerSettings


class DialogueGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """``GRPOTrainer`` for dialogues that ``rollout_func`` plays.

    TRL ignores the log-probabilities of a custom rollout, knows one advantage per row and ratios of tokens
    or rows. This class puts in the behaviour log-probabilities wherever TRL would use its own old ones, and
    an advantage for each token where credit goes by turns. Where a turn or a dialogue has one ratio, the
    old log-probabilities are those at which TRL's ratio of a token is that of its unit, and advantages are
    weighted so that TRL's mean over tokens is one over units. Nothing else is overridden.

    Args:
        settings: of the run.
        **keywords: as ``GRPOTrainer``.
    """

    def __init__(self, settings: LearnerSettings, **keywords: Any) -> None:
        self.settings = settings
        self._of_loss: dict[str, Any] = {}
        super().__init__(**keywords)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        behaviour = output.pop("sampling_per_token_logps")
        output["old_per_token_logps"] = behaviour
        if form := self.settings.turn_advantage:
            normalise = self.settings.scale_rewards != "none"
            advantages = turn_advantages(inputs, self.num_generations, form, normalise)
            output["advantages"] = _padded(advantages, behaviour)
        if (level := self.settings.ratio_level) != "token":
            mask = output["completion_mask"] * output["tool_mask"]
            output["units"] = make_units([row["turn_index"] for row in inputs], mask, level)
            output["advantages"] = self._weighted(output)
        return output

    def _weighted(self, output: dict[str, Any]) -> torch.Tensor:
        """Advantages, (B, T), that make the mean over tokens of a row or the batch one over units."""
        shares = unit_shares(output["units"])
        if self.loss_type == "grpo":
            tokens, units = (shares > 0).sum(1, keepdim=True), shares.sum(1, keepdim=True)
        else:
            tokens, units = output["num_items_in_batch"], self.accelerator.gather(shares.sum()).sum()
        advantages = output["advantages"]
        each = advantages if advantages.dim() == 2 else advantages.unsqueeze(1)
        weighted: torch.Tensor = each * shares * tokens / units.clamp(min=1.0)
        return weighted

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        self._of_loss = dict(inputs)  # a copy, since a batch may be used again
        return super()._compute_loss(model, self._of_loss)

    def _get_per_token_logps_and_entropies(self, *arguments: Any, **keywords: Any) -> Any:
        """The forward pass, in TRL's loss just before it reads the old log-probabilities."""
        output = super()._get_per_token_logps_and_entropies(*arguments, **keywords)
        if "units" in self._of_loss:
            old, units = self._of_loss["old_per_token_logps"], self._of_loss.pop("units")
            self._of_loss["old_per_token_logps"] = unit_log_probs(output[0].detach(), old, units)
        return output


def _padded(rows: Sequence[Sequence[float]], like: torch.Tensor) -> torch.Tensor:
    padded = torch.zeros_like(like)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.tensor(row, dtype=like.dtype)
    return padded
