"""What can be set in every run that imitates logged dialogues."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from dialogue_agents.grpo.settings import RunSettings
from dialogue_agents.settings import check_at_least


@dataclass(kw_only=True)
class ImitationSettings(RunSettings):
    """Imitate logged dialogues; the user is needed to make the log and to evaluate, never in training."""

    logs: Path
    """A log of the policy, as ``dialogue-gym collect --per-task 8`` writes it."""
    replies: Literal["all", "last"] = "all"
    """What is imitated: "all" replies of a dialogue, or its "last" one."""
    learning_rate: float = 5e-4
    """AdamW, constant, no weight decay."""
    epochs: int = 1
    """Passes over the log."""
    policy_tokens: int = 0
    """Tokens that may be learned from, each counted at every pass: there are fewer passes where as many as
    epochs says would take more; 0 sets no bound."""
    batch_size: int = 32
    """Dialogues an update (per process)."""
    micro_batch: int = 0
    """Dialogues per forward pass; 0 takes all of an update's at once. Smaller saves memory, not work."""
    simulator: str = "scripted"
    """Never called in training. Where eval_simulator is the same, the user of the evaluation, with
    language_model and env_kwargs."""
    max_turns: int = 6
    """Turn limit of the evaluation; that of the log is right."""
    temperature: float = 1.0
    """Sampling temperature of the policy in the evaluation."""
    save_steps: int = 40
    """A checkpoint every so many updates; the last two are kept."""
    out: Path = Path("runs/imitation")
    """Folder for checkpoints, metrics, settings and the evaluation."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        check_at_least(self, {"epochs": 1, "policy_tokens": 0, "batch_size": 1, "micro_batch": 0})
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch must divide batch_size = {self.batch_size}, got {self.micro_batch}"
            )

    def described(self) -> dict[str, Any]:
        """The settings, and what stands in the log, so that no run goes on with another one."""
        digest = blake2b(self.logs.read_bytes(), digest_size=8).hexdigest()
        return {**super().described(), "content of logs": digest}
