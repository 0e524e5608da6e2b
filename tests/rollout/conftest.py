"""Small policies and a maker of environments for the rollout's tests."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import pytest

from dialogue_gym.dialogue import Conversation
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.rollout import PolicyReply, PolicyRequest


class Speaker:
    """Says what a function makes of the conversation; keeps what it was asked and told to forget."""

    def __init__(self, speak: Callable[[Conversation], PolicyReply | str]) -> None:
        self.speak = speak
        self.requests: list[PolicyRequest] = []
        self.forgotten: list[Hashable] = []

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        self.requests += requests
        spoken = [self.speak(r.conversation) for r in requests]
        return [PolicyReply(s) if isinstance(s, str) else s for s in spoken]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        self.forgotten += dialogue_ids

    def identity(self) -> dict[str, Any]:
        return {"name": "speaker"}


IDS = {"math": "MathChat-v0", "document": "DocEditChat-v0"}
MakeEnv = Callable[..., DialogueVectorEnv]


@pytest.fixture
def make_env() -> MakeEnv:
    def make(kind: str = "math", num_envs: int = 16, **keywords: Any) -> DialogueVectorEnv:
        keywords = {"split": "test", "autoreset_mode": "Disabled", **keywords}
        env = gym.make_vec(f"dialogue_gym:{IDS[kind]}", num_envs=num_envs, **keywords)
        assert isinstance(env.unwrapped, DialogueVectorEnv)
        return env.unwrapped

    return make


@pytest.fixture
def speaker() -> type[Speaker]:
    return Speaker
