"""Advantages by turns against numbers worked out by hand."""

import math
from typing import Any

import pytest

from dialogue_agents.grpo.credit import turn_advantages


def rows(*dialogues: Any) -> list[dict[str, Any]]:
    """Two tokens a turn with one of the environment between turns."""
    return [
        {
            "turn_rewards": rewards,
            "reward": None if missing else sum(rewards),
            "turn_index": [i for t in range(len(rewards)) for i in (t, t, -1)][:-1],
        }
        for rewards, missing in dialogues
    ]


# returns-to-go: 3 2 2 and 1 1; the third dialogue has no score
GROUP = rows(([1.0, 0.0, 2.0], False), ([0.0, 1.0], False), ([5.0], True))


def test_turn_baseline_by_hand() -> None:
    # means: turn 0 of 3 and 1: 2; turn 1 of 2 and 1: 1.5; turn 2 alone: 2
    found = turn_advantages(GROUP, 3, "turn_baseline", normalise=False)
    assert found[0] == pytest.approx([1.0, 1.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0])
    assert found[1] == pytest.approx([-1.0, -1.0, 0.0, -0.5, -0.5])
    assert found[2] == [0.0, 0.0]
    scaled = turn_advantages(GROUP, 3, "turn_baseline", normalise=True)
    assert scaled[0][0] == pytest.approx(1.0 / (math.sqrt(2.0) + 1e-4))
    assert scaled[0][6] == 0.0


def test_turn_return_by_hand() -> None:
    # mean of 3 2 2 1 1: 1.8; sum of squares 1.44 + 0.04 + 0.04 + 0.64 + 0.64 = 2.8, over 4: 0.7
    found = turn_advantages(GROUP, 3, "turn_return", normalise=False)
    assert found[0] == pytest.approx([1.2, 1.2, 0.0, 0.2, 0.2, 0.0, 0.2, 0.2])
    assert found[1] == pytest.approx([-0.8, -0.8, 0.0, -0.8, -0.8])
    assert found[2] == [0.0, 0.0]
    scaled = turn_advantages(GROUP, 3, "turn_return", normalise=True)
    assert scaled[1][3] == pytest.approx(-0.8 / (math.sqrt(0.7) + 1e-4))


@pytest.mark.parametrize("form", ["turn_return", "turn_baseline"])
def test_groups_are_apart_and_one_turn_is_an_episode(form: Any) -> None:
    first, second = rows(([1.0], False), ([4.0], False)), rows(([7.0], False), ([0.0], True))
    found = turn_advantages([*first, *second], 2, form, normalise=False)
    assert found == [[-1.5, -1.5], [1.5, 1.5], [0.0, 0.0], [0.0, 0.0]]
