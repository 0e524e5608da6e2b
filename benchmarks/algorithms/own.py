"""The algorithms of this repository, each from a lesson to a policy."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.algorithms.lesson import Lesson
from dialogue_agents.bandit.run import Learned, learn_batch, make_reward
from dialogue_agents.bandit.run import make_policy as make_bandit
from dialogue_agents.bandit.settings import BanditSettings
from dialogue_agents.drift.settings import DriftSettings
from dialogue_agents.grpo.rollouts import DialogueRollout, Rollout
from dialogue_agents.grpo.settings import GRPOSettings, LearnerSettings
from dialogue_agents.sft.settings import SFTSettings
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_gym.logs import policy_view, read_log
from dialogue_gym.registry import check_options
from dialogue_gym.rollout import Policy, load_policy


def base(lesson: Lesson) -> Policy:
    """The base policy as it is."""
    return lesson.language_model(lesson.base)


def rule(lesson: Lesson) -> Policy:
    """The rules that ask for every missing fact, then answer, whatever turns are left: a fixed yardstick.

    No upper bound: with six turns they never write a notice of which six facts are untold.
    """
    return load_policy("rule", lesson.kind)


def grpo(lesson: Lesson, **options: Any) -> Policy:
    """GRPO on whole dialogues until a bound is near."""
    from dialogue_agents.grpo.run import train

    settings = GRPOSettings(**{**_of_learner(lesson), **options})
    settings.steps = _enough(settings, lesson.bound.user_calls)

    class BoundedDialogues(_Bounded, DialogueRollout):
        """Dialogues until a bound is near."""

    result = train(settings, lambda codec: _bounded(BoundedDialogues(settings, codec, lesson.people), lesson))
    return _trained(lesson, settings, result)


def static_context(lesson: Lesson, **options: Any) -> Policy:
    """GRPO on the contexts of the log."""
    from dialogue_agents.grpo.run import train
    from dialogue_agents.static_context.contexts import read_contexts
    from dialogue_agents.static_context.rollouts import StaticContextRollout

    assert lesson.log is not None
    lesson.spend(user_calls=calls_of(lesson))
    settings = StaticContextSettings(**{**_of_learner(lesson), "logs": lesson.log, **options})
    settings.steps = _enough(settings, lesson.bound.policy_tokens)
    contexts = read_contexts(settings.logs, settings.env, settings.contexts, "test")

    class BoundedContexts(_Bounded, StaticContextRollout):
        """Replies until a bound is near."""

    result = train(
        settings, lambda codec: _bounded(BoundedContexts(settings, codec, contexts, lesson.people), lesson)
    )
    return _trained(lesson, settings, result)


def drift(lesson: Lesson, **options: Any) -> Policy:
    """Weighted imitation of the log."""
    from dialogue_agents.drift.run import run

    return _imitate(lesson, DriftSettings, run, options)


def sft(lesson: Lesson, **options: Any) -> Policy:
    """Imitation of the best of the log."""
    from dialogue_agents.sft.run import run

    return _imitate(lesson, SFTSettings, run, options)


def _imitate(lesson: Lesson, kind: Any, run: Any, options: dict[str, Any]) -> Policy:
    assert lesson.log is not None
    lesson.spend(user_calls=calls_of(lesson))
    shared = {k: v for k, v in _of_learner(lesson).items() if k in IMITATION_SHARES}
    bound = {"logs": lesson.log, "policy_tokens": lesson.bound.policy_tokens}
    settings = kind(**{**shared, **bound, **options})
    lesson.spend(policy_tokens=run(settings)["budget"]["policy_tokens"])
    return lesson.language_model(settings.out / "policy")


IMITATION_SHARES = (
    "env", "policy", "out", "seed", "max_turns", "max_tokens", "eval_dialogues", "resume", "cpu", "dtype",
    "report_to", "save_steps",
)  # fmt: skip
"""Settings that learners from logs take from those of all; their learning rate is their own."""


def bandit(lesson: Lesson, **options: Any) -> Policy:
    """A bandit over plans of acts, batch by batch until the calls are spent."""
    settings = BanditSettings(seed=lesson.seed, max_turns=lesson.max_turns, **options)
    policy, so_far = make_bandit(settings, lesson.kind), Learned()
    env = lesson.make_env(settings.batch_size)
    reward = make_reward(settings, env, policy)
    longest = lesson.max_turns + 1  # user messages of a dialogue
    while count := min(settings.batch_size, max(lesson.user_calls_left, 0) // longest):
        learn_batch(env, policy, settings.seed, count, so_far, reward)
    return policy


def sb3(lesson: Lesson, algorithm: str, num_envs: int = 8, **options: Any) -> Policy:
    """An algorithm of Stable-Baselines3 on acts, until the calls are spent."""
    from dialogue_agents.sb3.models import learn, make_model
    from dialogue_agents.sb3.policy import ActsPolicy
    from dialogue_gym.wrappers import BatchedVecEnv, vector

    env = BatchedVecEnv(vector.Features(vector.DialogueActs(lesson.make_gym_env(num_envs))))
    model = make_model(algorithm, env, lesson.seed % 2**31, **options)
    # an act costs a call and an opening one more, so that the calls are spent before so many acts are done
    acts = lesson.bound.user_calls
    batch = lesson.folder / "bad-batch.npz"
    learn(model, acts, lambda *_: lesson.user_calls_left > 2 * num_envs, batch)
    return ActsPolicy(model, env.env.env.acts, env.env.read, lesson.max_turns)


def check_sb3(algorithm: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the algorithm's class does not take.

    Raises:
        ValueError: with the nearest names.
    """
    if options:  # that class takes a second to import
        from dialogue_agents.sb3.models import CLASSES

        passed_on = {name: value for name, value in options.items() if name != "num_envs"}
        check_options(CLASSES[algorithm], passed_on, f"algorithm {algorithm!r}")


def calls_of(lesson: Lesson) -> int:
    """User calls that the lesson's log has cost."""
    assert lesson.log is not None
    return sum((len(policy_view(record).messages) + 1) // 2 for record in read_log(lesson.log))


def _of_learner(lesson: Lesson) -> dict[str, Any]:
    """What our learners of language models are told."""
    out = lesson.folder / "run"
    return {
        **lesson.learner,
        "env": lesson.env_id,
        "policy": lesson.base,
        "out": out,
        "seed": lesson.seed % 2**31,
        "max_turns": lesson.max_turns,
        "max_tokens": lesson.max_tokens,
        "eval_dialogues": 0,
        "resume": (out / "settings.json").exists(),
    }


_GROWTH = 1.5
"""A rollout may cost so many times the dearest before it: policies that learn to ask talk more."""


class _Bounded(Rollout):
    """A rollout after which training stops where the next one could pass a bound."""

    lesson: Lesson

    def __call__(self, prompts: Any, trainer: Any) -> dict[str, list[Any]]:
        """Play; the update on what was played is the last one where a bound is near."""
        columns = super().__call__(prompts, trainer)
        history = [*trainer.state.log_history, self.metrics]
        for name, most in (
            ("user_calls", self.lesson.user_calls_left),
            ("policy_tokens", self.lesson.tokens_left),
        ):
            passes = self.settings.updates_per_rollout if name == "policy_tokens" else 1
            spent = [passes * entry[f"budget/{name}"] for entry in history if f"budget/{name}" in entry]
            if sum(spent) + _GROWTH * max(spent) > most:
                trainer.control.should_training_stop = True
        return columns


def _enough(settings: LearnerSettings, bound: int) -> int:
    """Rollouts that no run comes to: each dialogue costs at least one."""
    return bound // (settings.groups * settings.group_size) + 1


def _bounded(rollout: Any, lesson: Lesson) -> Any:
    rollout.lesson = replace(lesson, spent=replace(lesson.spent))  # as it stood when training began
    return rollout


def _trained(lesson: Lesson, settings: LearnerSettings, result: dict[str, Any]) -> Policy:
    """The policy, once the lesson knows what it has cost, a killed run's part included."""
    budget = result["budget"]
    lesson.spend(settings.updates_per_rollout * budget["policy_tokens"], budget["user_calls"])
    return lesson.language_model(settings.out / "policy")
