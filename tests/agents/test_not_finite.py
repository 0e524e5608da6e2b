"""A loss that is no number stops GRPO before the update, with the step in the message and the batch saved."""

from typing import Any

import pytest
import torch

from dialogue_agents.finite import NotFinite
from dialogue_gym.rollout import Trajectory


@pytest.mark.parametrize("level", ["token", "turn"])
def test_grpo_stops_before_the_update(make_settings: Any, train: Any, level: str) -> None:
    settings = make_settings(fail=0.0, ratio_level=level, loss_type="grpo")

    def spoil(trajectories: list[Trajectory]) -> None:
        for t in trajectories:
            t.log_probs = [float("nan") if sampled else 0.0 for sampled in t.loss_mask]

    with pytest.raises(
        NotFinite, match=r"the loss of update 1 is not finite; its batch is in .*bad-batch\.pt"
    ):
        train(settings, spoil)
    batch = torch.load(settings.out / "bad-batch.pt")
    assert batch["completion_ids"].shape[0] == settings.groups * settings.group_size


def test_a_sound_run_saves_no_batch(make_settings: Any, train: Any) -> None:
    settings = make_settings()
    train(settings)
    assert not (settings.out / "bad-batch.pt").exists()
