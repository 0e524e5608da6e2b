"""DRIFT: returns and weights by hand; nothing but the policy's view is learned."""

from math import exp
from pathlib import Path
from typing import Any

import pytest

from dialogue_agents.drift.weights import dialogue_return, group_weights, read_weighted
from dialogue_gym.logs import DialogueRecord, PolicyRecord, append


def record(*said: str, reward: float | None = 1.0, **changes: Any) -> DialogueRecord:
    """A dialogue of these messages; the user speaks first."""
    messages: Any = [
        {"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(said)
    ]
    fields: dict[str, Any] = {
        "env_id": "MathChat-v0",
        "split": "train",
        "task": {"canary": "CANARY"},
        "persona": {"canary": "CANARY"},
        "task_seed": 0,
        "reply_seed": 0,
        "simulator": {"name": "CANARY"},
        "policy": {},
        "messages": messages,
        "turns_metadata": [{} for m in messages if m["role"] == "user"],
        "end_reason": "turn_limit" if reward is not None else "simulator_failure",
        "reward": reward,
        "metrics": {},
    }
    return DialogueRecord(**fields | changes)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(*records: DialogueRecord) -> Path:
        path = tmp_path / "log.jsonl"
        append(path, records)
        return path

    return written


@pytest.mark.parametrize(
    ("said", "reward", "expected"),
    [
        (("?", "a"), 1.0, 1.0),
        (("?", "a", "!", "b", "!", "c"), 1.0, 0.81),
        (("?", "a", "!", "a", "!", " a"), 1.0, 0.81 - 0.5 * 2 / 3),
        (("?", "a", "!", "a", "bye"), 0.0, -0.25),
        (("?", "a", "!", "b"), -0.2, -0.18),
    ],
)
def test_returns_by_hand(said: Any, reward: float, expected: float) -> None:
    dialogue = PolicyRecord("MathChat-v0", record(*said).messages, "turn_limit", reward)
    assert dialogue_return(dialogue, gamma=0.9, repeat_penalty=0.5) == pytest.approx(expected)


def test_weights_by_hand() -> None:
    found = group_weights([0.4, 0.9, 0.7], beta=0.5)
    raw = [exp(-1.0), 1.0, exp(-0.4)]
    assert found == pytest.approx([3 * r / sum(raw) for r in raw])
    assert group_weights([-3.0] * 4, beta=0.1) == [1.0] * 4
    assert group_weights([1.0, -1e6], beta=0.1) == [2.0, 0.0]


def test_dialogues_are_compared_with_those_that_begin_alike(write: Any) -> None:
    log = write(
        record("x?", "1", reward=1.0),
        record("y?", "1", reward=0.2),
        record("x?", "2", reward=0.0),
        record("x?", "3", reward=None),
        record("x?", reward=0.0),
        record("y?", "2", "no", "3", reward=0.2),
        record("z?", "4", reward=0.0),
    )
    found = read_weighted(log, "MathChat-v0", beta=1.0, gamma=0.5, repeat_penalty=0.5)
    assert [w.dialogue.messages[1]["content"] for w in found] == ["1", "1", "2", "2", "4"]
    low, later = exp(-1.0), exp(-0.1)
    assert [w.weight for w in found] == pytest.approx(
        [2 / (1 + low), 2 / (1 + later), 2 * low / (1 + low), 2 * later / (1 + later), 1.0]
    )
    assert "CANARY" not in repr(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_id": "DocEditChat-v0"}, r"log.jsonl:2: a dialogue of DocEditChat-v0, should be of MathChat"),
        ({"split": "test"}, r"log.jsonl:2: a dialogue of the split 'test', which evaluation uses"),
        (
            {"reward": None, "end_reason": "simulator_failure"},
            "no two scored dialogues begin alike, .*--per-task",
        ),
    ],
)
def test_logs_that_cannot_be_used(write: Any, changes: Any, message: str) -> None:
    log = write(record("x?", "1"), record("x?", "2", **changes))
    with pytest.raises(ValueError, match=message):
        read_weighted(log, "MathChat-v0", 0.1, 0.9, 0.5, held_out="test")
