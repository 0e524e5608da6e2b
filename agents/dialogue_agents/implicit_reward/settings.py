"""Everything that can be set when an implicit reward model is fitted."""

from dataclasses import dataclass
from pathlib import Path

from dialogue_agents.settings import check_at_least


@dataclass(kw_only=True)
class ImplicitRewardSettings:
    """Fit a language model so that how much likelier it makes the agent's messages tells the outcome."""

    logs: Path
    """A log of scored dialogues, as ``dialogue-gym collect`` writes it; scores from 0 to 1."""
    env: str = "MathChat-v0"
    """Environment id of its dialogues."""
    model: str = "tiny"
    """Where fitting starts, and what the model is held against afterwards: "tiny" or "transformers:PATH"."""
    beta: float = 0.05
    """Nats of the log-odds of success for each nat of log-probability; the paper has 0.05 for math and 0.005
    for documents."""
    learning_rate: float = 1e-3
    """AdamW, constant, no weight decay; about 1e-6 for billions of parameters."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    epochs: int = 4
    """Passes over the log."""
    batch_size: int = 16
    """Dialogues an update."""
    held_out: float = 0.2
    """Share of the prompts that is not learned from, to see what was learned."""
    seed: int = 0
    """Seeds the split and the order of the dialogues."""
    out: Path = Path("runs/implicit_reward")
    """Folder for the model; the turn reward "implicit" reads it."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name in ("beta", "learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        check_at_least(self, {"epochs": 1, "batch_size": 1, "seed": 0})
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be a share between 0 and 1, got {self.held_out}")
