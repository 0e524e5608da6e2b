"""Policies that are kept along a run, for studies that look at more than its end."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from dialogue_agents.grpo.settings import LearnerSettings


def kept_policies(settings: LearnerSettings) -> dict[int, Path]:
    """The folder of each policy that a run keeps, by the update after which it is taken.

    Example:
        >>> from dialogue_agents.grpo.settings import GRPOSettings
        >>> [str(p) for p in kept_policies(GRPOSettings(out=Path("run"), steps=40, policies=2)).values()]
        ['run/policy-20', 'run/policy']
    """
    updates = settings.steps * settings.updates_per_rollout
    steps = [round(updates * part / settings.policies) for part in range(1, settings.policies)]
    return {**{step: settings.out / f"policy-{step}" for step in steps}, updates: settings.out / "policy"}


class KeepPolicies(TrainerCallback):  # type: ignore[misc]
    """Saves them when their update has come; the final one is the run's own to save."""

    def __init__(self, trainer: Any, settings: LearnerSettings) -> None:
        self.trainer = trainer
        self.folders = kept_policies(settings)
        self.folders.popitem()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the policy, again where a killed run has done so before, which gives the same."""
        if state.global_step in self.folders:
            self.trainer.save_model(str(self.folders[state.global_step]))
