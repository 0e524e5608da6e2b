"""What is played in training on logged contexts: one reply each, and continuations for its reward."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from dialogue_agents.environments import load_user, make_env
from dialogue_agents.grpo.rollouts import Played, Rollout, user_messages
from dialogue_agents.static_context.contexts import Context
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_agents.unscored import LOOK_AHEAD_FAILURE, reason
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.rewards import continuations, mean_score
from dialogue_gym.rollout import Policy, Trajectory, play, suited_concurrency
from dialogue_gym.rollout.evaluation import states_result
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import UserSimulator


class StaticContextRollout(Rollout):
    """Replies to logged contexts: prompts are the numbers of draws, the same for all members of a group.

    Args:
        settings: of the run.
        codec: of the policy's tokenizer.
        contexts: to draw from, each once before any comes again; at least one.
        user: who plays the user in continuations; that of the settings, loaded anew, if None. Without
            look-ahead nobody does, unless the settings have a reward.
        on_batch: called with every batch of trajectories, for logs.

    Raises:
        ValueError: the environment knows a name or keyword of the settings not.
    """

    def __init__(
        self,
        settings: StaticContextSettings,
        codec: ChatCodec,
        contexts: Sequence[Context],
        user: UserSimulator | None = None,
        on_batch: Callable[[list[Trajectory]], None] | None = None,
    ) -> None:
        if settings.look_ahead or settings.reward is not None:
            user = user or load_user(settings)
        super().__init__(settings, codec, user, on_batch)
        self.contexts = contexts
        self._look_ahead, self._window = settings.look_ahead, settings.window
        rows = settings.groups * settings.group_size
        self._env = make_env(settings, rows, user=user or "scripted")  # who is never asked
        self.pay_in(self._env)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def prompt(self, index: int) -> str:
        """The number of the draw."""
        return str(index)

    def drawn(self, draw: int) -> Context:
        """The context of a draw; each pass over the contexts has its own order."""
        number, position = divmod(draw, len(self.contexts))
        return self.contexts[self._order(number)[position]]

    def play(self, policy: Policy, prompts: Sequence[str], offset: int) -> Played:
        """One reply for each draw, with the reward of the dialogue as it stands or of its continuations."""
        keys = [
            NoiseKey((self.settings.seed, "static_context", int(p), (offset + i) % self.settings.group_size))
            for i, p in enumerate(prompts)
        ]
        replies = self._reply(policy, [self.drawn(int(p)) for p in prompts], keys)
        futures = self._continue(policy, replies, keys) if self._look_ahead else {}
        _pay(replies, futures)
        heard = [text for i, ts in futures.items() for text in user_messages(ts, _length(replies[i]))]
        tokens = sum(sum(t.loss_mask) for ts in futures.values() for t in ts)
        return Played(replies, _metrics(replies), heard, tokens)

    def _shuffled(self, number: int) -> list[int]:
        key = NoiseKey((self.settings.seed, "static_context", "order", number))
        return [int(i) for i in key.generator().permutation(len(self.contexts))]

    def _pace(self, policy: Policy) -> int | None:
        return self.settings.concurrency or suited_concurrency(self._env, policy)

    def _reply(
        self, policy: Policy, contexts: Sequence[Context], keys: Sequence[NoiseKey]
    ) -> list[Trajectory]:
        """One turn of each dialogue: a turn limit of one more than it has ends and scores it."""
        replies = play(
            self._env,
            policy,
            [context.start.task_seed for context in contexts],
            [key.child("reply").seed() for key in keys],
            policy_seed=self.settings.seed,
            starts=[context.start for context in contexts],
            max_turns=[context.turns + 1 for context in contexts],
            concurrency=self._pace(policy),
        )
        for reply, context in zip(replies, contexts, strict=True):
            reply.record.extra["context"] = {"line": context.line, "turn": context.turns}
        return replies

    def _continue(
        self, policy: Policy, replies: Sequence[Trajectory], keys: Sequence[NoiseKey]
    ) -> dict[int, list[Trajectory]]:
        """Continuations by the number of their reply; none at the turn limit and where the policy failed."""
        limit = self._env.max_turns
        goes_on = [i for i, t in enumerate(replies) if t.reward is not None and _turns(t) < limit]
        numbers = range(self._look_ahead)
        found = continuations(
            self._env,
            policy,
            [replies[i].record for i in goes_on],
            [[keys[i].child("continuation", number).seed() for number in numbers] for i in goes_on],
            self._window,
            self.settings.seed,
            self._pace(policy),
        )
        return dict(zip(goes_on, found, strict=True))


def _pay(replies: Sequence[Trajectory], futures: dict[int, list[Trajectory]]) -> None:
    """Give each reply the mean of its scored continuations, none where there is none; in place.

    A reply at the turn limit has no future and keeps the score of the dialogue as it stands.
    """
    for i, continued in futures.items():
        replies[i].record.extra["look_ahead"] = [t.reward for t in continued]
        replies[i].reward = mean_score(continued)
        replies[i].rewards = [replies[i].reward or 0.0]
        if replies[i].reward is None:
            replies[i].record.extra[LOOK_AHEAD_FAILURE] = reason(continued[0].record)


def _metrics(replies: Sequence[Trajectory]) -> dict[str, float]:
    said = [t.record for t in replies if t.record.reward is not None]
    answers = [states_result(record, record.messages[-1]["content"]) for record in said]
    return {
        "dialogue/unscored": sum(t.reward is None for t in replies) / len(replies),
        **({"dialogue/answers": sum(answers) / len(answers)} if answers else {}),
    }


def _length(trajectory: Trajectory) -> int:
    return len(trajectory.record.messages)


def _turns(trajectory: Trajectory) -> int:
    return _length(trajectory) // 2
