"""GRPO in plain torch, top to bottom: what the trainer on TRL must agree with.

Same trajectories in, same gradient out. It has one device, one update per rollout and no extras; it is
here to be read and to be compared with.
"""

from collections.abc import Sequence
from typing import Any

import torch

from dialogue_gym.rollout import Trajectory


def group_advantages(trajectories: Sequence[Trajectory], group_size: int, scale: bool) -> list[float]:
    """Reward minus the mean of its group (GRPO, arXiv 2402.03300, eq. 3); unscored dialogues get 0.

    Args:
        trajectories: groups are consecutive.
        group_size: dialogues a group.
        scale: divide by the group's standard deviation (unbiased) plus 1e-4, as the paper does; off in
            Dr. GRPO (arXiv 2503.20783).
    """
    advantages: list[float] = []
    for start in range(0, len(trajectories), group_size):
        rewards = [t.reward for t in trajectories[start : start + group_size]]
        scored = torch.tensor([r for r in rewards if r is not None], dtype=torch.float64)
        for reward in rewards:
            advantage = 0.0 if reward is None else reward - float(scored.mean())
            if scale and len(scored) > 1:
                advantage /= float(scored.std()) + 1e-4
            advantages.append(advantage)
    return advantages


def token_log_probs(model: Any, trajectory: Trajectory, temperature: float = 1.0) -> torch.Tensor:
    """Log-probability of every token given those before it, shape (length - 1,); one unpadded forward."""
    ids = torch.tensor([trajectory.token_ids], device=model.device)
    logits = model(input_ids=ids).logits[0, :-1].float() / temperature
    log_probs: torch.Tensor = logits.log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1)
    return log_probs


def grpo_loss(
    model: Any,
    trajectories: Sequence[Trajectory],
    advantages: Sequence[float],
    epsilon: float = 0.2,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Clipped surrogate (PPO, arXiv 1707.06347, eq. 7) over the sampled tokens of scored dialogues.

    Averaged over all these tokens of the batch (DAPO, arXiv 2503.14476, eq. 12).
    """
    total, tokens = torch.zeros((), device=model.device), 0
    for trajectory, advantage in zip(trajectories, advantages, strict=True):
        if trajectory.reward is None or not any(trajectory.loss_mask):
            continue
        mask = torch.tensor(trajectory.loss_mask[1:], device=model.device, dtype=torch.bool)
        new = token_log_probs(model, trajectory, temperature)[mask]
        old = torch.tensor(trajectory.log_probs[1:], device=model.device)[mask]
        ratio = (new - old).exp()
        clipped = ratio.clamp(1 - epsilon, 1 + epsilon)
        total = total - torch.minimum(ratio * advantage, clipped * advantage).sum()
        tokens += int(mask.sum())
    return total / max(tokens, 1)


def update(
    model: Any,
    optimizer: torch.optim.Optimizer,
    trajectories: Sequence[Trajectory],
    group_size: int,
    *,
    scale: bool = False,
    max_grad_norm: float = 1.0,
) -> float:
    """One GRPO step; returns the loss before it."""
    loss = grpo_loss(model, trajectories, group_advantages(trajectories, group_size, scale))
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return float(loss.detach())
