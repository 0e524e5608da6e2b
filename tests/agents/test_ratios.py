"""Ratios of turns and dialogues against numbers worked out by hand, and against the papers' objectives."""

from math import log
from typing import Any

import pytest
import torch

from dialogue_agents.grpo.ratios import make_units, unit_log_probs, unit_shares
from dialogue_agents.grpo.reference import surrogates

TURNS = torch.tensor([0, 0, 1])
NEW = [log(0.4), log(0.9), log(0.2)]
OLD = [log(0.2), log(0.8), log(0.4)]
# ratios: tokens 2, 1.125 and 0.5; turns sqrt(2.25) = 1.5 and 0.5; the dialogue cbrt(1.125) = 1.0400


def surrogate(level: str, advantages: list[float]) -> tuple[list[float], list[float]]:
    """Of each unit, and its sum's gradient by each token's log-probability."""
    new = torch.tensor(NEW, requires_grad=True)
    found = surrogates(new, torch.tensor(OLD), TURNS, torch.tensor(advantages), 0.2, level)
    found.sum().backward()
    return found.tolist(), new.grad.tolist()


@pytest.mark.parametrize(
    ("level", "advantages", "values", "gradient"),
    [
        # 2 is clipped to 1.2, 0.5 is not where that would pay less
        ("token", [1.0, 1.0], [1.2, 1.125, 0.5], [0.0, 1.125, 0.5]),
        ("token", [-1.0, -1.0], [-2.0, -1.125, -0.8], [-2.0, -1.125, 0.0]),
        # the first turn as a whole is clipped, the second one alone with its advantage
        ("turn", [1.0, 1.0], [1.2, 0.5], [0.0, 0.0, 0.5]),
        ("turn", [-1.0, 2.0], [-1.5, 1.0], [-0.75, -0.75, 1.0]),
        ("turn", [1.0, -1.0], [1.2, -0.8], [0.0, 0.0, 0.0]),
        # inside the range: a third of the ratio for each token
        ("sequence", [3.0, 3.0], [3 * 1.125 ** (1 / 3)], [1.125 ** (1 / 3)] * 3),
        ("sequence", [3.0, -6.0], [0.0], [1.125 ** (1 / 3)] * 2 + [-2 * 1.125 ** (1 / 3)]),
    ],
)
def test_surrogates_by_hand(level: str, advantages: Any, values: Any, gradient: Any) -> None:
    found = surrogate(level, advantages)
    assert found[0] == pytest.approx(values, abs=1e-6)
    assert found[1] == pytest.approx(gradient, abs=1e-6)


def test_units_by_hand() -> None:
    mask = torch.tensor([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    turns = [[0, 0, -1, 1, 1], [0], [0, 0]]
    by_turn, by_row = make_units(turns, mask, "turn"), make_units(turns, mask, "sequence")
    assert by_turn.tolist() == [[0, 0, -1, 1, 1], [0, -1, -1, -1, -1], [-1] * 5]
    assert by_row.tolist() == [[0, 0, -1, 0, 0], [0, -1, -1, -1, -1], [-1] * 5]
    assert unit_shares(by_turn).sum(1).tolist() == [2.0, 1.0, 0.0]
    assert unit_shares(by_row)[0].tolist() == [0.25, 0.25, 0.0, 0.25, 0.25]


def test_each_token_gets_the_ratio_of_its_unit() -> None:
    new = torch.tensor([[NEW[0], NEW[1], -50.0, NEW[2]]])
    old = torch.tensor([[OLD[0], OLD[1], 0.0, OLD[2]]])
    units = torch.tensor([[0, 0, -1, 1]])
    ratios = (new - unit_log_probs(new, old, units)).exp()
    assert ratios[0].tolist() == pytest.approx([1.5, 1.5, 1.0, 0.5])
    alone = (new - unit_log_probs(new, old, units.clamp(max=0)))[0].exp().tolist()
    assert alone == pytest.approx([1.125 ** (1 / 3)] * 2 + [1.0, 1.125 ** (1 / 3)])


@pytest.mark.parametrize("level", ["turn", "sequence"])
def test_a_constant_advantage_gives_the_papers_objective(level: str) -> None:
    """GSPO and GSsPO have the ratio itself under the gradient, not one token's at a time."""
    new = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 5
    old, turns = torch.zeros(9, dtype=torch.float64), torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2])
    ours, papers = new.clone().requires_grad_(), new.clone().requires_grad_()
    advantages = torch.full((3,), -0.7, dtype=torch.float64)
    surrogates(ours, old, turns, advantages, 0.2, level).mean().backward()
    units = [turns == t for t in range(3)] if level == "turn" else [turns >= 0]
    ratios = torch.stack([(papers - old)[unit].mean().exp() for unit in units])
    torch.minimum(-0.7 * ratios, -0.7 * ratios.clamp(0.8, 1.2)).mean().backward()
    assert ours.grad.norm() > 0
    assert torch.allclose(ours.grad, papers.grad, rtol=1e-12)
