"""One run: evaluate, train, evaluate again."""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv

from dialogue_agents.environments import env_keywords, load_user, make_env
from dialogue_agents.evaluation import held_out, learn_between_evaluations
from dialogue_agents.folder import prepare_folder
from dialogue_agents.sb3.models import CLASSES, learn, make_model
from dialogue_agents.sb3.policy import ActsPolicy
from dialogue_agents.sb3.settings import SB3Settings
from dialogue_agents.sb3.watch import Watch, load_checkpoint, save_checkpoint
from dialogue_agents.turn_rewards import reward_spec
from dialogue_gym.rewards import CurrentPolicy, LookAhead, Training, TurnReward, build_turn_reward
from dialogue_gym.rewards.vector import PayByTurn
from dialogue_gym.rollout import Evaluation
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.wrappers import BatchedVecEnv, vector


def make_training_env(settings: SB3Settings, policy: CurrentPolicy | None = None) -> VectorEnv[Any, Any, Any]:
    """The vector environment to train in: features out, acts in, and the reward of the settings.

    Args:
        settings: of the run.
        policy: who plays the agent where the reward looks ahead.

    Raises:
        ValueError: no such environment, or names and keywords that there are not.
    """
    keywords = env_keywords(settings, load_user(settings))
    try:
        env = gym.make_vec(settings.env, num_envs=settings.num_envs, **keywords)
    except (gym.error.Error, TypeError) as error:
        raise ValueError(f"env {settings.env!r} cannot be used: {error}") from error
    if settings.reward is not None:
        env = PayByTurn(env, _turn_reward(settings, env.unwrapped, policy or CurrentPolicy()))
    return vector.Features(vector.DialogueActs(env, language_model=settings.acts_model))


def _turn_reward(settings: SB3Settings, env: Any, policy: CurrentPolicy) -> TurnReward:
    """The reward that the settings want; what it plays it plays in rows of its own, with the same user."""
    training = Training(make_env(settings, settings.num_envs, user=env.simulator), policy)
    return build_turn_reward(reward_spec(settings.reward or ""), training)


def run(settings: SB3Settings) -> dict[str, Any]:
    """Train and evaluate; the policy ends up in ``out/policy.zip``, the figures in ``out/result.json``.

    A run that goes on does so from its last checkpoint, with fresh dialogues: it is as good as the run that
    was never stopped, and not the same.

    Returns:
        "kind" of the tasks; "curve", see ``Watch``; "budget", what training cost ("steps", "updates",
        "user_calls", "cpu_seconds" of this process); and, where there are evaluations, "before" and "after"
        (``Evaluation.to_dict``) and their paired "difference".

    Raises:
        FileExistsError: ``out`` holds a run and ``resume`` is off.
        FileNotFoundError: nothing to resume.
        NotFinite: the loss is not a number; what it was computed from is in ``out/bad-batch.npz``.
        NothingScored: none of the first dialogues has a score; see ``Watch``.
        ValueError: the run in ``out`` has other settings, or a name or keyword that there is not.
    """
    torch.set_num_threads(1)
    policy = CurrentPolicy()
    with closing(BatchedVecEnv(make_training_env(settings, policy))) as env:
        model = make_model(settings.algorithm, env, settings.seed, **json.loads(settings.algorithm_kwargs))
        prepare_folder(settings, ("steps", "save_steps"))
        return _Run(settings, env, model, policy).result()


class _Run:
    """The parts of one run; ``result`` goes through its phases, leaving out what a stopped run has done."""

    def __init__(self, settings: SB3Settings, env: BatchedVecEnv, model: Any, policy: CurrentPolicy) -> None:
        self.settings, self.env, self.model, self.policy = settings, env, model, policy
        self.acts, self.read = env.env.env.acts, env.env.read
        self.checkpoint = settings.out / "checkpoint"

    def result(self) -> dict[str, Any]:
        """Evaluate, train, evaluate again."""
        begun = {"kind": self.env.env.unwrapped.kind, "budget": {"cpu_seconds": 0.0}}
        return learn_between_evaluations(self.settings, self._evaluate, self._figures, begun)

    def _figures(self, so_far: Mapping[str, Any]) -> dict[str, Any]:
        begun = time.process_time()
        watch = self._train()
        self.model.save(self.settings.out / "policy.zip")
        budget = {
            "steps": self.model.num_timesteps,
            "updates": self.model._n_updates,
            "user_calls": watch.user_calls,
            "cpu_seconds": so_far["budget"]["cpu_seconds"] + time.process_time() - begun,
        }
        return {"curve": watch.curve, "budget": budget}

    def _train(self) -> Watch:
        settings, state = self.settings, None
        if self.checkpoint.exists():
            self.model, state = load_checkpoint(CLASSES[settings.algorithm], self.checkpoint, self.env)
            seed = NoiseKey((settings.seed, "resume", self.model.num_timesteps)).bits() % 2**31
            self.model.set_random_seed(seed)
        self.policy.policy = ActsPolicy(self.model, self.acts, self.read, settings.max_turns)
        watch = Watch(self.checkpoint, settings.save_steps, settings.steps, state, self._look_ahead())
        left = settings.steps - self.model.num_timesteps
        if left > 0:
            self._learn(left, watch)
            save_checkpoint(self.model, self.checkpoint, watch.state())
        return watch

    def _look_ahead(self) -> LookAhead | None:
        """The reward, if it is one whose users count as well."""
        reward = getattr(self.env.env.env.env, "reward", None)
        return reward if isinstance(reward, LookAhead) else None

    def _learn(self, steps: int, watch: Watch) -> None:
        try:
            learn(self.model, steps, watch, self.settings.out / "bad-batch.npz", reset_num_timesteps=False)
        finally:
            watch.close()

    def _evaluate(self, what: str) -> Evaluation:
        """Held-out dialogues with the act that the model prefers; the same ones at every call."""
        policy = ActsPolicy(self.model, self.acts, self.read, self.settings.max_turns)
        return held_out(self.settings, policy, self.env.env.unwrapped.simulator, what)
