"""Training stops where a loss is no longer a number, before the weights are spoiled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback


class NotFinite(ValueError):
    """A loss or a gradient became infinite or not a number; training stopped before the update."""


class StopWhenNotFinite(TrainerCallback):  # type: ignore[misc]
    """Raises ``NotFinite`` before an update that would spoil the weights, and saves the batch.

    Args:
        folder: where ``bad-batch.pt`` goes: what the loss was computed from, for ``torch.load``.

    Attributes:
        batch: the latest one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bad-batch.pt"
        self.batch: dict[str, Any] = {}

    def check_loss(self, loss: torch.Tensor, batch: Mapping[str, Any], update: int) -> None:
        """Note the batch of a loss, and look at the loss.

        Args:
            loss: of one number.
            batch: what it was computed from.
            update: how many there have been before.

        Raises:
            NotFinite: it is not finite.
        """
        self.batch = dict(batch)
        if not bool(torch.isfinite(loss.detach()).all()):
            raise self._stop("loss", update)

    def check_gradients(self, model: torch.nn.Module, update: int) -> None:
        """Look at the gradients that came of the latest loss.

        Args:
            model: whose.
            update: how many there have been before.

        Raises:
            NotFinite: one is not finite.
        """
        found = [p.grad for p in model.parameters() if p.grad is not None]
        if not all(bool(torch.isfinite(grad).all()) for grad in found):
            raise self._stop("gradient", update)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """``check_gradients`` in the loop of transformers' trainer."""
        self.check_gradients(model, state.global_step)

    def _stop(self, what: str, update: int) -> NotFinite:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(self.batch, self.path)
        return NotFinite(
            f"the {what} of update {update + 1} is not finite; its batch is in {self.path}; "
            "a lower learning_rate may help"
        )
