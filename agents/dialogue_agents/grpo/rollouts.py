"""From TRL's prompts to dialogues and back: the ``rollout_func`` of a dialogue environment."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dialogue_agents.environments import load_user, make_env
from dialogue_agents.grpo.engines import make_sampler
from dialogue_agents.grpo.settings import GRPOSettings, LearnerSettings
from dialogue_agents.grpo.unscored import check_scored
from dialogue_agents.turn_rewards import reward_spec
from dialogue_gym.bridges.trl_rollout import to_trl, trained_mask
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.rewards import LookAhead, Training, TurnReward, build_turn_reward, pay
from dialogue_gym.rollout import (
    LanguageModelPolicy,
    Policy,
    Trajectory,
    asked_for_held,
    play,
    suited_concurrency,
)
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import UserSimulator


def task_seed(settings: LearnerSettings, index: int) -> int:
    """Seed of the ``index``-th training task; travels through TRL as the prompt's text."""
    return NoiseKey((settings.seed, "grpo", "task", index)).seed()


def play_groups(
    env: DialogueVectorEnv,
    policy: Policy,
    seeds: Sequence[int],
    settings: LearnerSettings,
    offset: int,
) -> list[Trajectory]:
    """One dialogue for each seed; equal neighbours form a group and differ in how user and policy roll.

    Args:
        env: with as many rows as seeds.
        policy: whose weights are current.
        seeds: task seeds, each repeated ``group_size`` times.
        settings: of the run.
        offset: index of the first row among those of all processes.
    """
    members = [(offset + i) % settings.group_size for i in range(len(seeds))]
    replies = [
        NoiseKey((settings.seed, "grpo", "reply", s, m)).seed() for s, m in zip(seeds, members, strict=True)
    ]
    pace = settings.concurrency or suited_concurrency(env, policy)
    return play(env, policy, seeds, replies, policy_seed=settings.seed, concurrency=pace)


def batch_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """What TRL cannot know of a batch of dialogues."""
    ends = [t.record.end_reason for t in trajectories]
    gaps = [gap for t in trajectories if (gap := asked_for_held(t.record)) is not None]
    metrics = {
        "dialogue/turns": sum(len(t.rewards) for t in trajectories) / len(trajectories),
        "dialogue/unscored": sum(t.reward is None for t in trajectories) / len(trajectories),
        "dialogue/user_stop": ends.count("user_stop") / len(trajectories),
    }
    return metrics | ({"dialogue/ask_rate": sum(gaps) / len(gaps)} if gaps else {})


def shuffle_rewards(trajectories: Sequence[Trajectory], settings: LearnerSettings) -> None:
    """Permute the rewards of each group's scored dialogues in place: the control with nothing to learn."""
    for start in range(0, len(trajectories), settings.group_size):
        group = [t for t in trajectories[start : start + settings.group_size] if t.reward is not None]
        if not group:
            continue
        key = NoiseKey((settings.seed, "grpo", "shuffle", group[0].record.task_seed))
        order = key.generator().permutation(len(group))
        for t, reward in zip(group, [group[i].reward for i in order], strict=True):
            t.reward = reward
            t.rewards = [*([0.0] * (len(t.rewards) - 1)), reward or 0.0]


@dataclass(frozen=True, slots=True)
class Played:
    """What one update is made of, and what it cost.

    Attributes:
        trajectories: what is trained on; groups are consecutive.
        metrics: what TRL cannot know of them.
        heard: user messages that were simulated for it, look-ahead included.
        look_ahead_tokens: tokens that the policy sampled without being trained on them.
    """

    trajectories: list[Trajectory]
    metrics: dict[str, float]
    heard: list[str]
    look_ahead_tokens: int = 0


class Rollout(ABC):
    """TRL's ``rollout_func``, but for what is played: prompts in, the columns of trajectories out.

    Args:
        settings: of the run.
        codec: of the policy's tokenizer.
        user: who plays the user in training; None where nobody does.
        on_batch: called with every batch of trajectories, for logs.

    Raises:
        ValueError: the settings name an engine that cannot be used.
    """

    def __init__(
        self,
        settings: LearnerSettings,
        codec: ChatCodec,
        user: UserSimulator | None,
        on_batch: Callable[[list[Trajectory]], None] | None,
    ) -> None:
        self.settings = settings
        self.codec = codec
        self.user = user
        self.on_batch = on_batch
        self.metrics: dict[str, float] = {}
        self.sampler = make_sampler(settings, codec)
        self._training: Training | None = None
        self._turn_reward: TurnReward | None = None

    def pay_in(self, env: DialogueVectorEnv) -> None:
        """Make the turn reward that the settings want, for dialogues of this environment.

        Raises:
            ValueError: one that cannot be made for it.
        """
        if self.settings.reward is not None:
            self._training = Training(env)
            self._turn_reward = build_turn_reward(reward_spec(self.settings.reward), self._training)

    @abstractmethod
    def prompt(self, index: int) -> str:
        """What stands for the ``index``-th group in TRL's data set."""

    @abstractmethod
    def play(self, policy: Policy, prompts: Sequence[str], offset: int) -> Played:
        """One trajectory for each prompt; equal neighbours form a group.

        Args:
            policy: with the current weights.
            prompts: each repeated ``group_size`` times.
            offset: index of the first among those of all processes.
        """

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """Play the prompts with the trainer's current weights.

        Raises:
            NothingScored: no dialogue has a reward.
        """
        sampling = Sampling(self.settings.max_tokens, self.settings.temperature)
        with self.sampler.current(trainer) as model:
            policy = LanguageModelPolicy(model, sampling)
            played = self.play(policy, prompts, trainer.accelerator.process_index * len(prompts))
            played = self._paid(policy, played)
        self.sampler.played(played.trajectories)
        rollout = trainer.state.global_step // self.settings.updates_per_rollout
        for trajectory in played.trajectories:
            trajectory.record.extra["rollout"] = rollout
        if self.on_batch is not None:
            self.on_batch(played.trajectories)
        check_scored(played.trajectories, rollout, trainer.accelerator)
        self.metrics = played.metrics | self.sampler.metrics | cost(played, self.codec)
        if self.settings.shuffle_rewards:
            shuffle_rewards(played.trajectories, self.settings)
        return to_trl(played.trajectories, self.codec.end_of_turn_id)

    def _paid(self, policy: Policy, played: Played) -> Played:
        """What was played with the settings' reward in place of the score, which goes to the metrics."""
        if self._turn_reward is None or self._training is None:
            return played
        self._training.policy.policy = policy
        scores = [t.record.reward for t in played.trajectories if t.record.reward is not None]
        pay(played.trajectories, self._turn_reward)
        metrics = played.metrics | ({"dialogue/score": sum(scores) / len(scores)} if scores else {})
        if not isinstance(self._turn_reward, LookAhead):
            return replace(played, metrics=metrics)
        spent = self._turn_reward.take_spent()
        tokens = played.look_ahead_tokens + spent.tokens
        return replace(played, metrics=metrics, heard=played.heard + spent.heard, look_ahead_tokens=tokens)

    def reward(
        self,
        completions: Sequence[Any],
        reward: Sequence[float | None],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """TRL's reward function: what was earned; None (missing) for what was not scored."""
        if log_metric is not None:
            for name, value in self.metrics.items():
                log_metric(name, value)
        return list(reward)


class DialogueRollout(Rollout):
    """Whole dialogues with a user: prompts are task seeds.

    Args:
        settings: of the run.
        codec: of the policy's tokenizer.
        user: who plays the user; that of training, loaded anew, if None.
        on_batch: called with every batch of trajectories, for logs.

    Raises:
        ValueError: the environment knows a name or keyword of the settings not.
    """

    def __init__(
        self,
        settings: GRPOSettings,
        codec: ChatCodec,
        user: UserSimulator | None = None,
        on_batch: Callable[[list[Trajectory]], None] | None = None,
    ) -> None:
        user = user or load_user(settings)
        super().__init__(settings, codec, user, on_batch)
        self._env = make_env(settings, settings.groups * settings.group_size, user=user)
        self.pay_in(self._env)

    def prompt(self, index: int) -> str:
        """The seed of the ``index``-th training task."""
        return str(task_seed(self.settings, index))

    def play(self, policy: Policy, prompts: Sequence[str], offset: int) -> Played:
        """One dialogue for each seed."""
        seeds = [int(prompt) for prompt in prompts]
        trajectories = play_groups(self._env, policy, seeds, self.settings, offset)
        return Played(trajectories, batch_metrics(trajectories), user_messages(trajectories))


def user_messages(trajectories: Sequence[Trajectory], given: int = 0) -> list[str]:
    """What users said in these dialogues after the first ``given`` messages."""
    return [m["content"] for t in trajectories for m in t.record.messages[given:] if m["role"] == "user"]


def cost(played: Played, codec: ChatCodec) -> dict[str, float]:
    """What a rollout cost, by the names of a run's budget; user tokens as the policy's tokenizer counts."""
    return {
        "budget/policy_tokens": sum(sum(trained_mask(t)) for t in played.trajectories),
        "budget/user_calls": len(played.heard),
        "budget/user_tokens": sum(len(codec.content_ids(text)) for text in played.heard),
        "budget/look_ahead_tokens": played.look_ahead_tokens,
    }
