"""What an algorithm is given to learn with: users that are counted, a log, bounds, and a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.rollout import Policy, load_policy, make_vector_env
from dialogue_gym.simulators import UserReply, UserRequest, UserSimulator
from dialogue_gym.tasks.base import Kind


@dataclass
class Budget:
    """What training may cost, or has cost.

    Attributes:
        user_calls: messages of users, openings included; those in a log count as if they were made anew.
        policy_tokens: tokens that a loss was computed on, once for each pass over them.
    """

    user_calls: int = 0
    policy_tokens: int = 0


class CountedUser:
    """A user whose messages are counted as they are asked for.

    Args:
        user: who speaks.
        spent: where they are counted.
    """

    def __init__(self, user: UserSimulator, spent: Budget) -> None:
        self._user, self._spent = user, spent

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """What the user says."""
        self._spent.user_calls += len(requests)
        return self._user.reply(requests)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._user, name)


@dataclass
class Lesson:
    """All that an algorithm may use to train a policy.

    Attributes:
        env_id: which environment.
        kind: of its tasks, "math" or "document".
        seed: of this run; all randomness should follow from it.
        folder: for checkpoints and the like; empty at first, kept when the benchmark is killed and goes on.
        bound: what training may cost.
        people: who plays the user: the reference, as in the evaluation, on training tasks.
        log: dialogues of the base policy with these people, eight of each task, that cost as many user
            calls as the bound; None where the algorithm does not learn from a log.
        base: the language model to begin with, by name or folder.
        max_turns: turn limit.
        max_tokens: tokens per message of a language model.
        learner: settings that our learners of language models share.
        spent: what training has cost so far. Calls of users are counted as they are made; tokens, and the
            calls of a log that is used, by ``spend``.
    """

    env_id: str
    kind: Kind
    seed: int
    folder: Path
    bound: Budget
    people: UserSimulator
    log: Path | None = None
    base: str = "tiny"
    max_turns: int = 6
    max_tokens: int = 48
    learner: dict[str, Any] = field(default_factory=dict)
    spent: Budget = field(default_factory=Budget)

    @property
    def user(self) -> UserSimulator:
        """The people, counted; the environments of this lesson have it."""
        return CountedUser(self.people, self.spent)

    @property
    def user_calls_left(self) -> int:
        """User calls that the bound still allows; below 0 where it is passed."""
        return self.bound.user_calls - self.spent.user_calls

    @property
    def tokens_left(self) -> int:
        """Policy tokens with loss that the bound still allows."""
        return self.bound.policy_tokens - self.spent.policy_tokens

    def spend(self, policy_tokens: int = 0, user_calls: int = 0) -> None:
        """Say what was spent besides the calls that are counted."""
        self.spent.policy_tokens += policy_tokens
        self.spent.user_calls += user_calls

    def make_env(self, num_envs: int, **keywords: Any) -> DialogueVectorEnv:
        """An environment of training tasks for ``dialogue_gym.rollout.play``."""
        return make_vector_env(self.env_id, num_envs, **self._keywords(keywords))

    def make_gym_env(self, num_envs: int, **keywords: Any) -> VectorEnv[Any, Any, Any]:
        """The same as ``gymnasium.make_vec`` makes it, which resets itself: for loops of your own."""
        return gym.make_vec(self.env_id, num_envs=num_envs, **self._keywords(keywords))

    def language_model(self, path: str | Path) -> Policy:
        """A language model as a policy that samples as all do here."""
        name = "tiny" if path == "tiny" else f"transformers:{path}"
        with quiet():
            return load_policy(name, self.kind, max_tokens=self.max_tokens, temperature=1.0)

    def _keywords(self, keywords: dict[str, Any]) -> dict[str, Any]:
        return {"simulator": self.user, "max_turns": self.max_turns, "split": "train", **keywords}
