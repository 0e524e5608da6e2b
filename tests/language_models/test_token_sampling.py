import pytest

pytest.importorskip("torch")

import torch

from dialogue_gym.language_models.base import Sampling
from dialogue_gym.language_models.token_sampling import draw

LOGITS = torch.tensor([0.5, 0.0, 0.3, 0.2]).log()


def shares(sampling: Sampling, n: int = 10_000) -> tuple[torch.Tensor, torch.Tensor]:
    """How often each token comes over evenly spaced noise, and the log-probabilities that were said."""
    noise = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    tokens, log_probs = draw(LOGITS.expand(n, -1), noise, sampling)
    said = torch.zeros(4)
    said[tokens] = log_probs.exp()
    return torch.bincount(tokens, minlength=4) / n, said


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.5, 0.0, 0.3, 0.2]),
        (Sampling(temperature=0.5), [0.25 / 0.38, 0.0, 0.09 / 0.38, 0.04 / 0.38]),
        (Sampling(top_p=0.75), [0.5 / 0.8, 0.0, 0.3 / 0.8, 0.0]),
        (Sampling(top_p=0.01), [1.0, 0.0, 0.0, 0.0]),
        (Sampling(temperature=0.0), [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_tokens_come_as_often_as_they_should(sampling: Sampling, expected: list[float]) -> None:
    frequency, said = shares(sampling)
    torch.testing.assert_close(frequency, torch.tensor(expected), atol=2e-4, rtol=0)
    if sampling.temperature:
        torch.testing.assert_close(said, torch.tensor(expected), atol=1e-6, rtol=0)


def test_the_ends_of_the_noise_never_draw_an_impossible_token() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).expand(2, -1)
    tokens, log_probs = draw(logits, torch.tensor([0.0, 1 - 2.0**-40], dtype=torch.float64), Sampling())
    assert tokens.tolist() == [1, 1]
    assert log_probs.tolist() == [0.0, 0.0]
