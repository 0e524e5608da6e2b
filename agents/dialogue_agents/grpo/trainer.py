"""TRL's GRPO trainer with two things set: per-token advantages and behaviour log-probabilities."""

import dialogue_gym.language_models.quiet  # noqa: F401  before TRL is imported

# isort: split
from collections.abc import Sequence
from typing import Any

import torch
from trl import GRPOTrainer

from dialogue_agents.finite import StopWhenNotFinite
from dialogue_agents.grpo.credit import turn_advantages
from dialogue_agents.grpo.engines import EngineDrift
from dialogue_agents.grpo.ratios import make_units, truncated_weights, unit_log_probs, unit_shares
from dialogue_agents.grpo.settings import LearnerSettings


class DialogueGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """``GRPOTrainer`` for dialogues that ``rollout_func`` plays.

    TRL ignores the log-probabilities of a custom rollout, knows one advantage per row and ratios of tokens
    or rows. This class puts in the behaviour log-probabilities wherever TRL would use its own old ones, and
    an advantage for each token where credit goes by turns. Where a turn or a dialogue has one ratio, the
    old log-probabilities are those at which TRL's ratio of a token is that of its unit, and advantages are
    weighted so that TRL's mean over tokens is one over units. How far what was sampled is from the trainer's
    log-probabilities at that time is a metric. Where sampling has other arithmetic than training (an engine,
    a merged adapter, bfloat16), ratios are against the trainer's, and advantages are weighted by truncated
    importance weights. A loss or gradient that is no number stops training (``NotFinite``). Nothing else is
    overridden.

    Args:
        settings: of the run.
        **keywords: as ``GRPOTrainer``.
    """

    def __init__(self, settings: LearnerSettings, **keywords: Any) -> None:
        self.settings = settings
        self._of_loss: dict[str, Any] = {}
        self._batch: dict[str, Any] = {}
        super().__init__(**keywords)
        self._watch = StopWhenNotFinite(settings.out)
        self.add_callback(self._watch)

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
        weighted: torch.Tensor = _by_token(output["advantages"]) * shares * tokens / units.clamp(min=1.0)
        return weighted

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        self._batch, self._of_loss = inputs, dict(inputs)  # a copy, since a batch may be used again
        loss = super()._compute_loss(model, self._of_loss)
        self._watch.check_loss(loss, inputs, self.state.global_step)
        return loss

    def _get_per_token_logps_and_entropies(self, *arguments: Any, **keywords: Any) -> Any:
        """The forward pass, in TRL's loss just before it reads old log-probabilities and advantages."""
        output = super()._get_per_token_logps_and_entropies(*arguments, **keywords)
        if self._of_loss:
            of_loss, self._of_loss = self._of_loss, {}
            self._set_ratios(of_loss, output[0].detach())
        return output

    def _set_ratios(self, of_loss: dict[str, Any], new: torch.Tensor) -> None:
        """Old log-probabilities, and how much what was sampled counts, once the new ones are known."""
        units, behaviour = of_loss.pop("units", None), of_loss["old_per_token_logps"]
        # at a batch's first use these are of the weights that sampled it: no other forward is needed
        first = "own_log_probs" not in self._batch
        own = self._batch.setdefault("own_log_probs", new)
        values = {"drift": (own - behaviour).abs()}
        if self.settings.samples_otherwise:
            weights = truncated_weights(own, behaviour, units, self.settings.importance_cap)
            of_loss["old_per_token_logps"] = own
            of_loss["advantages"] = _by_token(of_loss["advantages"]) * weights
            values |= {"weight": weights, "capped": (weights >= self.settings.importance_cap).float()}
        if first:
            self._note(values, (of_loss["completion_mask"] * of_loss["tool_mask"]).bool())
        if units is not None:
            of_loss["old_per_token_logps"] = unit_log_probs(new, of_loss["old_per_token_logps"], units)

    def _note(self, values: dict[str, torch.Tensor], mask: torch.Tensor) -> None:
        """Metrics of the trained tokens of a batch, over all processes.

        Raises:
            EngineDrift: the mean difference is beyond what is allowed for single tokens.
        """
        sums = [value.where(mask, 0.0).sum() for value in values.values()]
        largest = values["drift"].where(mask, 0.0).max()
        rows = self.accelerator.gather(torch.stack([mask.sum().float(), largest, *sums]).unsqueeze(0))
        (count, *totals), drift = rows[:, [0, *range(2, rows.shape[1])]].sum(0).tolist(), rows[:, 1].max()
        if not count:
            return
        metrics = self._metrics["train"]
        for name, total in zip(values, totals, strict=True):
            metrics[f"engine/{name}_mean"].append(total / count)
        metrics["engine/drift_max"] = [max([float(drift), *metrics["engine/drift_max"]])]
        if self.settings.samples_otherwise:
            self._check_drift(totals[0] / count)

    def _check_drift(self, mean: float) -> None:
        if mean <= (bound := self.settings.drift_bound):
            return
        who, hint = "the engine", "do they lack the temperature (vLLM: --logprobs-mode processed_logprobs)?"
        if self.settings.engine is None:
            who, hint = "the policy", "in float32 and without merge_lora there is no such difference."
        raise EngineDrift(
            f"what {who} sampled after update {self.state.global_step} has log-probabilities that are on "
            f"average {mean:.3g} off the trainer's, more than max_drift {bound:g}: {hint} Nothing was "
            "learned from them; --resume goes on from the last checkpoint"
        )


def _by_token(advantages: torch.Tensor) -> torch.Tensor:
    """(B, T) as they are, (B,) as (B, 1)."""
    return advantages if advantages.dim() == 2 else advantages.unsqueeze(1)


def _padded(rows: Sequence[Sequence[float]], like: torch.Tensor) -> torch.Tensor:
    padded = torch.zeros_like(like)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.tensor(row, dtype=like.dtype)
    return padded
