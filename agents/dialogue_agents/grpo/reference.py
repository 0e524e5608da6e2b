"""GRPO in plain torch, top to bottom: what the trainer on TRL must agree with.

Same trajectories in, same gradient out. It has one device, one update per rollout and no extras; it is
here to be read and to be compared with.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

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


def turn_advantages(
    trajectories: Sequence[Trajectory], group_size: int, scale: bool, form: str = "episode"
) -> list[Tensor]:
    """The advantage of each turn, shape (turns,) for each dialogue; see ``GRPOSettings.advantage``.

    Args:
        trajectories: groups are consecutive.
        group_size: dialogues a group.
        scale: divide by the (unbiased) standard deviation plus 1e-4.
        form: "episode", "turn_return" or "turn_baseline".
    """
    if form == "episode":
        flat = group_advantages(trajectories, group_size, scale)
        return [torch.full((len(t.rewards),), a) for t, a in zip(trajectories, flat, strict=True)]
    advantages: list[Tensor] = []
    for start in range(0, len(trajectories), group_size):
        group = trajectories[start : start + group_size]
        # a row for each dialogue; nan where it was over, or not scored
        returns = torch.full((len(group), max(len(t.rewards) for t in group)), torch.nan, dtype=torch.float64)
        for row, t in zip(returns, group, strict=True):
            if t.reward is not None:
                row[: len(t.rewards)] = torch.tensor(t.rewards).flip(0).cumsum(0).flip(0)
        columns = returns.unbind(1) if form == "turn_baseline" else [returns.flatten()] * returns.shape[1]
        compared = [_compared(column, scale) for column in columns]
        for row, t in zip(returns, group, strict=True):
            found = [(value - mean) / std for value, (mean, std) in zip(row, compared, strict=True)]
            advantages.append(torch.tensor(found[: len(t.rewards)]).nan_to_num())
    return advantages


def _compared(returns: Tensor, scale: bool) -> tuple[Tensor, Tensor | float]:
    """What to subtract from returns and what to divide by."""
    seen = returns[~returns.isnan()]
    return seen.mean(), seen.std() + 1e-4 if scale and len(seen) > 1 else 1.0


def token_log_probs(model: Any, trajectory: Trajectory, temperature: float = 1.0) -> Tensor:
    """Log-probability of every token given those before it, shape (length - 1,); one unpadded forward."""
    ids = torch.tensor([trajectory.token_ids], device=model.device)
    logits = model(input_ids=ids).logits[0, :-1].float() / temperature
    log_probs: Tensor = logits.log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1)
    return log_probs


def units_of(turns: Tensor, level: str) -> list[Tensor]:
    """What has one ratio, as indices of tokens: each token, the tokens of each turn, or all.

    Args:
        turns: turn of each sampled token of one dialogue.
        level: "token", "turn" or "sequence".
    """
    if level == "token":
        return [torch.tensor([i]) for i in range(len(turns))]
    if level == "turn":
        return [(turns == turn).nonzero().squeeze(1) for turn in sorted(set(turns.tolist()))]
    return [torch.arange(len(turns))]


def importance_weights(own: Tensor, behaviour: Tensor, turns: Tensor, cap: float, level: str) -> Tensor:
    """What each unit counts for where an engine sampled it, (units,): see ``ratios.truncated_weights``."""
    gaps = own - behaviour
    return torch.stack([gaps[unit].mean().exp().clamp(max=cap) for unit in units_of(turns, level)])


def surrogates(
    new: Tensor, old: Tensor, turns: Tensor, advantages: Tensor, epsilon: float, level: str = "token"
) -> Tensor:
    """Clipped surrogate (PPO, arXiv 1707.06347, eq. 7) of each token, turn or dialogue; shape (units,).

    The ratio of a turn or a dialogue is the geometric mean of its tokens' (GSsPO, arXiv 2602.01202; GSPO,
    arXiv 2507.18071), where each token carries its own gradient (GSPO-token, section 4.3 there).

    Args:
        new: log-probabilities of the sampled tokens of one dialogue, with gradient, (tokens,).
        old: those of the behaviour policy.
        turns: turn of each token.
        advantages: of each turn, (turns,).
        epsilon: of the clipping.
        level: "token", "turn" or "sequence".
    """
    found = []
    for unit in units_of(turns, level):
        mean = (new - old)[unit].mean().detach().exp()
        ratio = mean * (new[unit] - new[unit].detach()).exp()
        clipped = ratio.clamp(1 - epsilon, 1 + epsilon)
        advantage = advantages[turns[unit]]
        found.append(torch.minimum(ratio * advantage, clipped * advantage).mean())
    return torch.stack(found)


def grpo_loss(
    model: Any,
    trajectories: Sequence[Trajectory],
    advantages: Sequence[Tensor],
    epsilon: float = 0.2,
    temperature: float = 1.0,
    level: str = "token",
    loss_type: str = "dapo",
    importance_cap: float | None = None,
) -> Tensor:
    """Minus the mean surrogate of the sampled tokens (or turns, or dialogues) of scored dialogues.

    Args:
        model: that is trained.
        trajectories: of one batch.
        advantages: of each one's turns.
        epsilon: of the clipping.
        temperature: at which the tokens were sampled.
        level: what has one ratio; see ``surrogates``.
        loss_type: "dapo" averages over all units of the batch (arXiv 2503.14476, eq. 12), "grpo" over those
            of each dialogue and then over all dialogues, where unscored ones count 0.
        importance_cap: None where the trajectories' log-probabilities are the model's own. Else they are an
            engine's: ratios are against the model's own, and units have truncated importance weights.
    """
    found = []
    for trajectory, advantage in zip(trajectories, advantages, strict=True):
        if trajectory.reward is None or not any(trajectory.loss_mask):
            continue
        mask = torch.tensor(trajectory.loss_mask[1:], dtype=torch.bool)
        new = token_log_probs(model, trajectory, temperature).cpu()[mask]
        old = torch.tensor(trajectory.log_probs[1:])[mask]
        turns = torch.tensor(trajectory.turn_index[1:])[mask]
        if importance_cap is None:
            found.append(surrogates(new, old, turns, advantage, epsilon, level))
        else:
            own = new.detach()
            weights = importance_weights(own, old, turns, importance_cap, level)
            found.append(weights * surrogates(new, own, turns, advantage, epsilon, level))
    if not found:
        return torch.zeros(())
    if loss_type == "grpo":
        return -torch.stack([s.mean() for s in found]).sum() / len(trajectories)
    return -torch.cat(found).mean()


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
    loss = grpo_loss(model, trajectories, turn_advantages(trajectories, group_size, scale))
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return float(loss.detach())
