"""One run: evaluate with arms taken at random, learn, evaluate with the best arms."""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dialogue_agents.bandit.arms import build_arms
from dialogue_agents.bandit.learners import make_learner
from dialogue_agents.bandit.policy import BanditPolicy
from dialogue_agents.bandit.settings import BanditSettings
from dialogue_agents.environments import make_env
from dialogue_agents.evaluation import held_out, learn_between_evaluations
from dialogue_agents.folder import prepare_folder, read_figures, write_figures
from dialogue_agents.turn_rewards import reward_spec
from dialogue_agents.unscored import nothing_scored, reason
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import Sampling
from dialogue_gym.rewards import CurrentPolicy, LookAhead, Training, TurnReward, build_turn_reward, pay
from dialogue_gym.rollout import Evaluation, Policy, play
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Kind
from dialogue_gym.wrappers import FeatureReader


@dataclass
class Learned:
    """How far the learning of a bandit is; JSON-able by ``asdict``.

    Attributes:
        dialogues: played.
        user_calls: made for them.
        curve: mean score of each batch.
        arms: how many dialogues each arm has led, by name.
    """

    dialogues: int = 0
    user_calls: int = 0
    curve: list[float] = field(default_factory=list)
    arms: dict[str, int] = field(default_factory=dict)


def learn_batch(
    env: DialogueVectorEnv,
    policy: BanditPolicy,
    seed: int,
    count: int,
    so_far: Learned,
    reward: TurnReward | None = None,
) -> None:
    """Play dialogues and learn from those that are scored; ``so_far`` and the policy's learner change.

    Args:
        env: made with ``autoreset_mode="Disabled"``, split "train".
        policy: whose arms play.
        seed: names the run.
        count: of dialogues.
        so_far: what came before.
        reward: what is learned from; the score if None.

    Raises:
        NothingScored: no dialogue has a reward; nothing was learned then.
    """
    key = NoiseKey((seed, "bandit", so_far.dialogues))
    policy.key = key
    tasks = [key.child("task", i).seed() for i in range(count)]
    replies = [key.child("reply", i).seed() for i in range(count)]
    trajectories = play(env, policy, tasks, replies, policy_seed=seed)
    records = [t.record for t in trajectories]
    if reward is not None:
        pay(trajectories, reward)
    if isinstance(reward, LookAhead):
        so_far.user_calls += len(reward.take_spent().heard)
    learned = [(t.record, t.reward) for t in trajectories if t.reward is not None]
    if not learned:
        raise nothing_scored(f"{count} dialogues of batch {len(so_far.curve)}", reason(records[0]))
    taken = [policy.chosen(record.messages) for record, _ in learned]  # before anything is learned
    for (record, earned), arm in zip(learned, taken, strict=True):
        policy.learner.learn(policy.context(record.messages), arm, earned)
        name = list(policy.arms)[arm]
        so_far.arms[name] = so_far.arms.get(name, 0) + 1
    policy.key = None
    so_far.dialogues += count
    so_far.user_calls += sum(m["role"] == "user" for record in records for m in record.messages)
    scores = [record.reward for record in records if record.reward is not None]
    so_far.curve.append(sum(scores) / len(scores))


def run(settings: BanditSettings) -> dict[str, Any]:
    """Learn and evaluate; what was learned ends up in ``out/bandit.json``, figures in ``out/result.json``.

    Returns:
        "curve", the mean score of each batch; "arms", how many training dialogues each arm has led;
        "budget" ("dialogues", "user_calls", "policy_tokens", which are none, "cpu_seconds" of this process);
        and, where there are evaluations, "before" (arms taken at random), "after" (the arm expected to earn
        most) and their paired "difference".

    Raises:
        FileExistsError: ``out`` holds a run and ``resume`` is off.
        FileNotFoundError: nothing to resume, or no model to load.
        NothingScored: a batch in which no dialogue has a reward; ``resume`` plays it again.
        ValueError: the run in ``out`` has other settings, or a name or keyword that there is not.
    """
    with closing(make_env(settings, settings.batch_size)) as env:
        policy = make_policy(settings, env.kind)
        made = _Run(settings, env, policy)
        prepare_folder(settings, ("dialogues",))
        return made.result()


def make_policy(settings: BanditSettings, kind: Kind) -> BanditPolicy:
    """A bandit that knows nothing yet.

    Raises:
        ValueError: arms that cannot be; see ``build_arms``.
    """
    sampling = Sampling(settings.max_tokens, settings.temperature)
    given = json.loads(settings.arms)
    arms: dict[str, Policy] = build_arms(settings.policy, kind, given, settings.max_turns, sampling)
    read = FeatureReader()
    learner = make_learner(settings.algorithm, list(arms), 1 + len(read.features), settings.explored)
    return BanditPolicy(arms, learner, read, settings.max_turns)


def make_reward(settings: BanditSettings, env: DialogueVectorEnv, policy: BanditPolicy) -> TurnReward | None:
    """What is learned from in place of the score, if anything is.

    Raises:
        ValueError: the reward cannot do without an option, or does not know one.
    """
    if settings.reward is None:
        return None
    return build_turn_reward(reward_spec(settings.reward), Training(env, CurrentPolicy(policy)))


def load_policy(folder: Path, kind: Kind) -> BanditPolicy:
    """The policy that a run has left in its folder.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in ("settings.json", "bandit.json"):
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"no policy of dialogue_agents.bandit at {str(folder)!r}: {name} is missing"
            )
    policy = make_policy(BanditSettings(**json.loads((folder / "settings.json").read_text())), kind)
    policy.learner.restore(json.loads((folder / "bandit.json").read_text())["learner"])
    return policy


class _Run:
    """The parts of one run; ``result`` goes through its phases, leaving out what a stopped run has done."""

    def __init__(self, settings: BanditSettings, env: DialogueVectorEnv, policy: BanditPolicy) -> None:
        self.settings, self.env, self.policy = settings, env, policy
        self.state = settings.out / "bandit.json"
        self.reward = make_reward(settings, env, policy)

    def result(self) -> dict[str, Any]:
        """Evaluate, learn, evaluate again."""
        begun = {"budget": {"cpu_seconds": 0.0}}
        return learn_between_evaluations(self.settings, self._evaluate, self._figures, begun)

    def _figures(self, so_far: Mapping[str, Any]) -> dict[str, Any]:
        begun = time.process_time()
        learned = self._learn()
        budget = {
            "dialogues": learned.dialogues,
            "user_calls": learned.user_calls,
            "policy_tokens": 0,
            "cpu_seconds": so_far["budget"]["cpu_seconds"] + time.process_time() - begun,
        }
        return {"curve": learned.curve, "arms": learned.arms, "budget": budget}

    def _learn(self) -> Learned:
        """From where the run stopped on; a batch that was under way is played again, which gives the same."""
        learned, settings = Learned(), self.settings
        if state := read_figures(self.state):
            self.policy.learner.restore(state["learner"])
            learned = Learned(**state["learned"])
        bar = tqdm(
            total=settings.dialogues,
            initial=learned.dialogues,
            desc=settings.algorithm,
            unit="dialogue",
            dynamic_ncols=True,
        )
        with bar:
            while learned.dialogues < settings.dialogues:
                count = min(settings.batch_size, settings.dialogues - learned.dialogues)
                learn_batch(self.env, self.policy, settings.seed, count, learned, self.reward)
                write_figures(
                    self.state, {"learner": self.policy.learner.state(), "learned": asdict(learned)}
                )
                bar.update(count)
                bar.set_postfix({"reward": f"{learned.curve[-1]:.2f}"}, refresh=False)
        return learned

    def _evaluate(self, what: str) -> Evaluation:
        """Held-out dialogues: with arms at random before anything is learned, with the best ones after."""
        self.policy.key = NoiseKey(("bandit", "before")) if what == "before" else None
        return held_out(self.settings, self.policy, self.env.simulator, what)
