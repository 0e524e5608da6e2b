"""Settings of the realism reward."""

from dataclasses import dataclass
from typing import Literal

from dialogue_gym.registry import nearest


@dataclass
class RewardSettings:
    """How a calibrated user learns from the realism reward."""

    rounds: int = 2
    """Times of sampling, training a discriminator, and learning from it, each from the best so far."""
    samples: int = 4
    """Replies sampled in each context; even, since they are compared two by two."""
    beta: float = 1.0
    """Weight of the KL term; at 1 the best policy for an ideal discriminator is people's own."""
    features: Literal["ngrams", "encoder"] = "ngrams"
    """What the discriminator that is learned from sees: counts, or the start model's hidden states."""
    folds: int = 3
    """Parts of the dialogues; replies are scored by a discriminator of the other parts."""
    learning_rate: float = 5e-5
    """Peak of AdamW's cosine schedule; about 1e-6 for full training of billions of parameters."""
    epochs: float = 1
    """Passes over a round's pairs."""
    batch_size: int = 16
    """Pairs an update."""
    max_length: int = 1024
    """Pairs with more tokens than this in a row are left out and counted."""
    keep: Literal["best", "last"] = "best"
    """Of the rounds within the bounds: the one with the lowest AUC, if below the start's, or the last."""
    diversity_tolerance: float = 0.05
    """A round is refused when distinct-2 falls by more than this share below the start's and people's."""
    nats_tolerance: float = 0.02
    """A round is refused when it raises the held-out nats a turn by more than this."""
    seed: int = 0
    """Seeds folds, samples, labels and the order of pairs."""
    cpu: bool = False
    """Stay on the CPU even where there is a GPU."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        for name, low in {"rounds": 1, "samples": 2, "folds": 2, "batch_size": 1, "max_length": 8}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if self.samples % 2:
            raise ValueError(f"samples must be even, got {self.samples}")
        for name in ("beta", "learning_rate", "epochs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("diversity_tolerance", "nats_tolerance", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name, valid in {"features": ("ngrams", "encoder"), "keep": ("best", "last")}.items():
            if getattr(self, name) not in valid:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}: {nearest(getattr(self, name), valid)}"
                )
