"""Logs of one persona, and users whose distance from the log's users is known."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import pytest

from dialogue_gym.calibration.realism import Realism
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout import RulePolicy, play
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, ReplyLogProb, UserReply, UserRequest
from dialogue_gym.simulators.user_turns import user_turns

# one persona, so that a simulator which draws its own behaves as the log's users in every context
ONE = {
    "disclosure": [0.4, 0.4], "terseness": [0.5, 0.5], "politeness": [0.2, 0.2], "slip": [0.1, 0.1],
    "correction": [0.7, 0.7], "trust": [0.8, 0.8], "patience": [8, 8], "lowercase": 1.0, "punctuation": 0.0,
}  # fmt: skip


def played(
    count: int, reply_seed: int, population: dict[str, Any] | None = ONE, user: Any = None
) -> list[DialogueRecord]:
    env = gym.make_vec(
        "dialogue_gym:MathChat-v0",
        num_envs=64,
        split="test",
        autoreset_mode="Disabled",
        simulator=user or {"name": "scripted", "population": population},
    ).unwrapped
    assert isinstance(env, DialogueVectorEnv)
    seeds = range(count)
    policy = RulePolicy("math", ask_rate=0.7)
    trajectories = play(env, policy, [*seeds], [reply_seed + s for s in seeds])
    return [trajectory.record for trajectory in trajectories]


@pytest.fixture(scope="session")
def records() -> list[DialogueRecord]:
    return played(80, 1000)


class Puppet:
    """Says what a function makes of a request."""

    def __init__(self, speak: Callable[[UserRequest], UserReply]) -> None:
        self.speak = speak

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        return [self.speak(request) for request in requests]

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None: ...

    def draw_persona(self, kind: Any, key: NoiseKey) -> Persona:
        return Persona()

    def identity(self) -> dict[str, Any]:
        return {"name": "puppet"}


class Parrot(Puppet):
    """Says what the log's users say, and knows it."""

    decides_stop_first = True

    def __init__(self, records: Sequence[DialogueRecord]) -> None:
        turns = [t for i, r in enumerate(records) for t in user_turns(r, i)]
        self.replies = {(t.request.dialogue_id, t.index): t.reply for t in turns}
        super().__init__(lambda r: self.replies[r.dialogue_id, len(r.conversation) // 2])

    def log_prob(self, requests: Sequence[UserRequest], replies: Sequence[UserReply]) -> list[ReplyLogProb]:
        return [ReplyLogProb(0.0, -0.5 * len(reply.text)) for reply in replies]


def measured(realism: Realism, name: str) -> float:
    figure = realism[name].simulator
    assert figure is not None, realism[name].why_not
    return figure.value
