"""Drawing one token per row by inverting the distribution function at given noise."""

import torch

from dialogue_gym.language_models.base import Sampling


def check_sampling(sampling: Sampling) -> None:
    """Raise ValueError, in one line, for settings that mean nothing."""
    if sampling.max_tokens < 1:
        raise ValueError(f"sampling.max_tokens is {sampling.max_tokens}; it must be at least 1")
    if not 0.0 <= sampling.temperature < float("inf"):
        raise ValueError(f"sampling.temperature is {sampling.temperature}; it must be 0 (greedy) or more")
    if not 0.0 < sampling.top_p <= 1.0:
        raise ValueError(f"sampling.top_p is {sampling.top_p}; it must be above 0 and at most 1")


def draw(
    logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token per row; a row's token depends on its own logits and noise alone.

    Args:
        logits: shape (rows, vocabulary), any precision; taken to float32.
        uniforms: shape (rows,), float64 in [0, 1).
        sampling: temperature and nucleus.

    Returns:
        Token ids, shape (rows,), and their log-probabilities (natural log, float32), shape (rows,).
    """
    if sampling.temperature == 0.0:
        log_probs = logits.float().log_softmax(-1)
        tokens = log_probs.argmax(-1)
    else:
        log_probs = (logits.float() / sampling.temperature).log_softmax(-1)
        if sampling.top_p < 1.0:
            log_probs = _nucleus(log_probs, sampling.top_p)
        cumulative = log_probs.exp().cumsum(-1, dtype=torch.float64)
        # the first token whose cumulative share is above the noise has a share above zero itself
        levels = uniforms.unsqueeze(1) * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, levels, right=True).squeeze(1)
    return tokens, log_probs.gather(1, tokens.unsqueeze(1)).squeeze(1)


def _nucleus(log_probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the likeliest tokens until their share reaches ``top_p`` (always at least one); renormalise."""
    ordered, order = log_probs.sort(dim=-1, descending=True, stable=True)
    shares = ordered.exp()
    outside = shares.cumsum(-1) - shares >= top_p
    outside[:, 0] = False
    dropped = torch.zeros_like(outside).scatter(-1, order, outside)
    return log_probs.masked_fill(dropped, -torch.inf).log_softmax(-1)
