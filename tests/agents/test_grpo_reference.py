"""The trainer on TRL against GRPO in plain torch: the same trajectories give the same gradient."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dialogue_agents.grpo.reference import group_advantages, grpo_loss, turn_advantages, update
from dialogue_gym.seeding import NoiseKey


def reference_gradient(settings: Any, trajectories: Any) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(settings.policy)
    scale = settings.scale_rewards == "group"
    advantages = turn_advantages(trajectories, settings.group_size, scale, settings.advantage)
    loss = grpo_loss(
        model,
        trajectories,
        advantages,
        settings.epsilon,
        settings.temperature,
        settings.ratio_level,
        settings.loss_type,
    )
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert expected.norm() > 0
    return float((found - expected).norm() / expected.norm())


def shift(trajectories: Any) -> None:
    """Pretend that other weights had sampled; some ratios leave the clipping range on either side."""
    for i, t in enumerate(trajectories):
        noise = NoiseKey((i,)).generator().normal(0.0, 0.4, len(t.log_probs))
        t.log_probs = [p + n * m for p, n, m in zip(t.log_probs, noise, t.loss_mask, strict=True)]


def pay_by_turns(trajectories: Any) -> None:
    """Rewards in every turn, and other weights that had sampled, so far off that whole turns are clipped."""
    for i, t in enumerate(trajectories):
        noise = NoiseKey((i,)).generator().normal(0.0, 0.3, len(t.rewards))
        drift = [0.0 if turn < 0 else noise[turn] for turn in t.turn_index]
        t.log_probs = [p + d for p, d in zip(t.log_probs, drift, strict=True)]
        t.rewards = [float((7 * i + 3 * turn) % 5) for turn in range(len(t.rewards))]
        t.reward = None if t.reward is None else sum(t.rewards)
    shift(trajectories)


def check_mixed(trajectories: Any) -> None:
    """The batch must hold what the comparison is about."""
    assert any(t.reward is None for t in trajectories)
    assert any(t.reward is None and any(t.loss_mask) for t in trajectories)
    assert len({len(t.rewards) for t in trajectories if t.reward is not None}) > 1


@pytest.mark.parametrize("scale", ["none", "group"])
@pytest.mark.parametrize("micro_batch", [0, 6, 3])
@pytest.mark.parametrize("change", [None, shift])
def test_same_gradient(make_settings: Any, train: Any, scale: str, micro_batch: int, change: Any) -> None:
    settings = make_settings(
        steps=1, groups=3, scale_rewards=scale, micro_batch=micro_batch, learning_rate=0.0, max_grad_norm=1e9
    )
    watch = train(settings, change)
    check_mixed(watch.trajectories)
    assert len(watch.gradients) == 1
    assert relative(watch.gradients[0], reference_gradient(settings, watch.trajectories)) <= 1e-5


@pytest.mark.parametrize("advantage", ["episode", "turn_return", "turn_baseline"])
@pytest.mark.parametrize("level", ["token", "turn", "sequence"])
def test_same_gradient_for_every_ratio_and_advantage(
    make_settings: Any, train: Any, level: str, advantage: str
) -> None:
    """Half of the combinations with each mean, scaled or not; micro-batches hold unequal numbers of turns."""
    one = (level == "turn") ^ (advantage == "turn_baseline")
    settings = make_settings(
        steps=1,
        groups=3,
        ratio_level=level,
        advantage=advantage,
        loss_type="grpo" if one else "dapo",
        scale_rewards="none" if one else "group",
        micro_batch=3,
        learning_rate=0.0,
        max_grad_norm=1e9,
    )
    watch = train(settings, pay_by_turns)
    check_mixed(watch.trajectories)
    assert relative(watch.gradients[0], reference_gradient(settings, watch.trajectories)) <= 1e-5


def test_every_ratio_and_advantage_is_another_gradient(make_settings: Any, train: Any) -> None:
    trajectories = train(make_settings(steps=1, groups=3, learning_rate=0.0), pay_by_turns).trajectories
    gradients = [
        reference_gradient(make_settings(ratio_level=level, advantage=advantage), trajectories)
        for level in ("token", "turn", "sequence")
        for advantage in ("episode", "turn_return", "turn_baseline")
    ]
    for i, found in enumerate(gradients):
        assert all(relative(found, other) > 0.01 for other in gradients[:i])


def test_same_gradient_when_hot(make_settings: Any, train: Any) -> None:
    settings = make_settings(steps=1, temperature=1.7, learning_rate=0.0, max_grad_norm=1e9, fail=0.0)
    watch = train(settings)
    assert relative(watch.gradients[0], reference_gradient(settings, watch.trajectories)) <= 1e-5


def test_behaviour_log_probabilities_matter(make_settings: Any, train: Any) -> None:
    settings = make_settings(steps=1, learning_rate=0.0, max_grad_norm=1e9, fail=0.0)
    plain, shifted = train(settings).gradients[0], train(settings, shift).gradients[0]
    assert relative(shifted, plain) > 0.05


def test_update_improves_the_surrogate(make_settings: Any, train: Any) -> None:
    settings = make_settings(steps=1, learning_rate=0.0, fail=0.0)
    trajectories = train(settings).trajectories
    model = AutoModelForCausalLM.from_pretrained(settings.policy)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    losses = [update(model, optimizer, trajectories, settings.group_size) for _ in range(3)]
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("scale", [False, True])
def test_advantages_of_lone_and_missing_rewards(make_settings: Any, train: Any, scale: bool) -> None:
    def some_missing(trajectories: Any) -> None:
        for t, reward in zip(trajectories, [0.2, None, 0.6, 0.4, None, 1.0, None, None], strict=True):
            t.reward = reward

    settings = make_settings(steps=1, fail=0.0, learning_rate=0.0, scale_rewards="group" if scale else "none")
    watch = train(settings, some_missing)
    expected = group_advantages(watch.trajectories, 4, scale)
    assert expected[1] == expected[4] == expected[5] == 0.0  # missing, and a baseline of its own
    assert expected[0] == pytest.approx(-0.2 / (0.2 + 1e-4) if scale else -0.2)
    found = sorted(watch.inputs[0]["advantages"].tolist())
    assert found == pytest.approx(sorted(expected), abs=1e-5)
