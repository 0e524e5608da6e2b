"""TRL's GRPO trainer with two things set: per-token advantages and behaviour log-probabilities."""

import dialogue_gym.language_models.quiet  # noqa: F401  before TRL is imported

# isort: split
from collections.abc import Sequence
from typing import Any

import torch
from trl import GRPOTrainer

from dialogue_agents.grpo.credit import turn_advantages
from dialogue_agents.grpo.settings import LearnerSettings


class DialogueGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """``GRPOTrainer`` for dialogues that ``rollout_func`` plays.

    TRL ignores the log-probabilities of a custom rollout and knows one advantage per row. This class
    puts in the behaviour log-probabilities wherever TRL would use its own old ones, and an advantage
    for each token where credit goes by turns. Nothing else is overridden.

    Args:
        settings: of the run.
        **keywords: as ``GRPOTrainer``.
    """

    def __init__(self, settings: LearnerSettings, **keywords: Any) -> None:
        self.settings = settings
        super().__init__(**keywords)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        behaviour = output.pop("sampling_per_token_logps")
        output["old_per_token_logps"] = behaviour
        if self.settings.by_turns:
            advantages = turn_advantages(inputs, self.num_generations, self.settings.scale_rewards != "none")
            output["advantages"] = _padded(advantages, behaviour)
        return output


def _padded(rows: Sequence[Sequence[float]], like: torch.Tensor) -> torch.Tensor:
    padded = torch.zeros_like(like)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.tensor(row, dtype=like.dtype)
    return padded
