"""Everything that can be set in a run of DRIFT."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from dialogue_agents.grpo.settings import RunSettings

_AT_LEAST = {"repeat_penalty": 0, "epochs": 1, "batch_size": 1, "micro_batch": 0}


@dataclass(kw_only=True)
class DriftSettings(RunSettings):
    """Imitate the better ones of several logged dialogues of each prompt.

    The user is needed to make the log and in the evaluation, never in training. Defaults are those of the
    page beside this file.
    """

    logs: Path
    """A log of the policy, several dialogues a task, as ``dialogue-gym collect --per-task 8`` writes it."""
    replies: Literal["all", "last"] = "all"
    """What is imitated: "all" replies of a dialogue, or its "last" one, as in the paper, where each is an
    answer and none asks."""
    beta: float = 0.1
    """Temperature of the weights: exp(return / beta) over its mean among a prompt's dialogues."""
    gamma: float = 0.9
    """Discount of the reward for each turn before the one that earned it."""
    repeat_penalty: float = 0.5
    """What a return loses where all replies say the same; in proportion to the share of repeated ones."""
    epochs: int = 2
    """Passes over the log."""
    batch_size: int = 16
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
    out: Path = Path("runs/drift")
    """Folder for checkpoints, metrics, settings and the evaluation."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        for name, least in _AT_LEAST.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, got {self.beta}")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must be above 0 and at most 1, got {self.gamma}")
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch must divide batch_size = {self.batch_size}, got {self.micro_batch}"
            )

    def described(self) -> dict[str, Any]:
        """The settings, and what stands in the log, so that no run goes on with another one."""
        digest = blake2b(self.logs.read_bytes(), digest_size=8).hexdigest()
        return {**super().described(), "content of logs": digest}
