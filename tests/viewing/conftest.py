"""Logs of every kind: ours with tasks and scores, people's without, and odd ones."""

from collections.abc import Callable
from typing import Any

import pytest

from dialogue_gym.logs import DialogueRecord

TASK: dict[str, Any] = {
    "id": "apples-1",
    "kind": "math",
    "brief": {
        "goal": "How many apples has Sara in all?",
        "facts": [
            {"name": "first", "value": "2", "text": "Sara finds 2 apples", "slip": "3"},
            {"name": "second", "value": "4", "text": "Sara buys 4 apples", "slip": "5"},
        ],
        "text": "Sara finds 2 apples in the morning and buys 4 apples. How many apples has Sara in all?",
    },
    "reference": {"answer": "6"},
    "split": "test",
}

Make = Callable[..., DialogueRecord]


@pytest.fixture
def make() -> Make:
    """A record of what was said in turn, the user first; anything else by keyword."""

    def build(*texts: str, **fields: Any) -> DialogueRecord:
        roles = ("user", "assistant")
        messages: Any = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
        given: dict[str, Any] = {
            "env_id": "MathChat-v0", "split": "test", "task": TASK, "persona": {"patience": 8, "slip": 0.1},
            "task_seed": 1, "reply_seed": 1, "simulator": {"name": "scripted"}, "policy": {"name": "rules"},
            "turns_metadata": [{} for _ in texts[::2]], "end_reason": "user_stop", "reward": 1.0,
            "metrics": {"accuracy": 1.0}, "extra": {},
        }  # fmt: skip
        return DialogueRecord(messages=messages, **{**given, **fields})

    return build


@pytest.fixture
def people(make: Make) -> Make:
    """The same for dialogues of people: no task, persona, seeds or reward."""

    def build(*texts: str, **fields: Any) -> DialogueRecord:
        bare: dict[str, Any] = {
            "split": "", "task": None, "persona": None, "task_seed": 0, "reply_seed": 0,
            "simulator": {"name": "people", "source": "Here"}, "policy": {}, "end_reason": None,
            "reward": None, "metrics": {}, "extra": {"censored": ["end"], "intent": "to add numbers"},
        }  # fmt: skip
        return make(*texts, **{**bare, **fields})

    return build
