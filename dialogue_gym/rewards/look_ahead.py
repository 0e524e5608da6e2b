"""Look-ahead: what a reply is worth is what dialogues that go on from it come to."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.registry import nearest
from dialogue_gym.rewards.base import CurrentPolicy, Training, is_over, is_unscored, replies, turn_rewards
from dialogue_gym.rollout import Policy, Trajectory, play, suited_concurrency
from dialogue_gym.seeding import NoiseKey

Pays = Literal["gain", "value"]


def continuations(
    env: DialogueVectorEnv,
    policy: Policy,
    starts: Sequence[DialogueRecord],
    reply_seeds: Sequence[Sequence[int]],
    window: int,
    policy_seed: int = 0,
    concurrency: int | None = None,
) -> list[list[Trajectory]]:
    """Futures of dialogues that end with the agent's message: the user replies, and so on.

    Args:
        env: for ``play``.
        policy: the agent.
        starts: each with fewer turns than the environment allows.
        reply_seeds: for each, the seeds of its futures.
        window: turns that a future may have, within the environment's limit.
        policy_seed: seeds the policy's own noise.
        concurrency: see ``play``.

    Returns:
        For each start its futures, in the order of their seeds.
    """
    rows = [(start, seed) for start, seeds in zip(starts, reply_seeds, strict=True) for seed in seeds]
    played = play(
        env,
        policy,
        [start.task_seed for start, _ in rows],
        [seed for _, seed in rows],
        policy_seed=policy_seed,
        starts=[start for start, _ in rows],
        max_turns=[min(replies(start) + window, env.max_turns) for start, _ in rows],
        concurrency=concurrency,
    )
    rest = iter(played)
    return [[next(rest) for _ in seeds] for seeds in reply_seeds]


def mean_score(futures: Sequence[Trajectory]) -> float | None:
    """The mean score of the scored ones, None where there is none.

    CollabLLM's multi-turn-aware reward (arXiv 2502.00640, section 3): a sample mean without discount.
    """
    scored = [t.reward for t in futures if t.reward is not None]
    return sum(scored) / len(scored) if scored else None


@dataclass(slots=True)
class Spent:
    """What continuations cost.

    Attributes:
        heard: what users said in them.
        tokens: that the policy sampled.
    """

    heard: list[str] = field(default_factory=list)
    tokens: int = 0

    def add(self, start: DialogueRecord, futures: Sequence[Trajectory]) -> None:
        """Count the futures of a dialogue."""
        for future in futures:
            new = future.record.messages[len(start.messages) :]
            self.heard += [message["content"] for message in new if message["role"] == "user"]
            self.tokens += sum(future.loss_mask)


class LookAhead:
    """Values replies by simulated continuations, as CollabLLM does (arXiv 2502.00640, section 3).

    The value of a reply is the mean score over ``continuations`` futures of at most ``window`` turns each,
    in which this policy goes on talking with this environment's user. A reply at the turn limit has no
    future; its value is the dialogue's score.

    What is paid, by ``pays``:

    - "gain": how much the value rose with each reply, from 0 before the first one; with the last reply of a
      dialogue that is over, the score less the value before it. This is the value as a potential that is
      zero at the end (Ng, Harada, Russell 1999), so rewards sum to the score and the best policy stays the
      best, with any learner. Replies to the same history compare as by their values.
    - "value": the values themselves, the paper's own reward of a reply. Right where one reply is judged at
      a time. Summed over a dialogue they pay for its length.

    Args:
        env: a vector environment for ``play``; its turn limit must be that of the dialogues, or higher.
        policy: the agent of the continuations; in training, a ``CurrentPolicy``.
        continuations: futures of each reply.
        window: turns that a future may have.
        pays: "gain" or "value".
        seed: of the futures; they are keyed by this, the dialogue's seeds and the turn.

    Raises:
        ValueError: a setting that cannot be.
    """

    def __init__(
        self,
        env: DialogueVectorEnv,
        policy: Policy | CurrentPolicy,
        continuations: int = 3,
        window: int = 2,
        pays: Pays = "gain",
        seed: int = 0,
    ) -> None:
        for name, value in (("continuations", continuations), ("window", window)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"look_ahead: {name} must be an int of at least 1, got {value!r}")
        if pays not in get_args(Pays):
            raise ValueError(f"look_ahead: unknown pays {pays!r}: {nearest(str(pays), get_args(Pays))}")
        self.env, self.policy = env, policy
        self.continuations, self.window, self.pays, self.seed = continuations, window, pays, seed
        self._spent = Spent()

    def rewards(self, records: Sequence[DialogueRecord]) -> list[list[float] | None]:
        """One number for each reply; None where a dialogue was not scored, or no future of a reply was.

        Raises:
            ValueError: a dialogue without its task, or that goes on past the environment's turn limit.
        """
        wanted = [(i, turn) for i, r in enumerate(records) if not is_unscored(r) for turn in self._open(r)]
        values = dict(zip(wanted, self._values([(records[i], turn) for i, turn in wanted]), strict=True))
        found: list[list[float] | None] = []
        for i, record in enumerate(records):
            own = [values.get((i, turn), record.reward) for turn in range(replies(record))]
            known = [value for value in own if value is not None]
            found.append(self._paid(known) if len(known) == len(own) and not is_unscored(record) else None)
        return found

    def totals(self, records: Sequence[DialogueRecord]) -> list[float | None]:
        """The sums of ``rewards``; gains sum to the last value, so that no other one is needed."""
        if self.pays == "value":
            return [None if values is None else sum(values) for values in self.rewards(records)]
        running = [r for r in records if not is_over(r) and replies(r)]
        values = iter(self._values([(r, replies(r) - 1) for r in running]))
        return [
            r.reward if is_unscored(r) or (is_over(r) and replies(r)) else next(values) if replies(r) else 0.0
            for r in records
        ]

    def take_spent(self) -> Spent:
        """What continuations have cost since this was last asked."""
        spent, self._spent = self._spent, Spent()
        return spent

    def identity(self) -> dict[str, Any]:
        """Name, settings and user; the policy is that of the training."""
        return {
            "name": "look_ahead",
            "continuations": self.continuations,
            "window": self.window,
            "pays": self.pays,
            "seed": self.seed,
            "simulator": self.env.simulator.identity(),
        }

    def _open(self, record: DialogueRecord) -> range:
        """The replies of a dialogue that have futures; its score stands for the one that has none."""
        count = replies(record)
        ended = is_over(record) and (self.pays == "gain" or count == self.env.max_turns)
        return range(count - ended)

    def _values(self, wanted: Sequence[tuple[DialogueRecord, int]]) -> list[float | None]:
        """The values of replies, each a dialogue and the number of a turn."""
        starts = [self._start(record, turn) for record, turn in wanted]
        if not starts:
            return []
        policy = self.policy.now() if isinstance(self.policy, CurrentPolicy) else self.policy
        seeds = [self._seeds(start) for start in starts]
        pace = suited_concurrency(self.env, policy)
        found = continuations(self.env, policy, starts, seeds, self.window, self.seed, pace)
        for start, futures in zip(starts, found, strict=True):
            self._spent.add(start, futures)
        return [mean_score(futures) for futures in found]

    def _start(self, record: DialogueRecord, turn: int) -> DialogueRecord:
        """The dialogue as it stood after the agent's message of a turn."""
        if record.task is None:
            raise ValueError("look_ahead: a dialogue without its task cannot go on")
        if turn + 1 >= self.env.max_turns:
            raise ValueError(
                f"look_ahead: a dialogue of {replies(record)} turns cannot go on after turn {turn + 1} in an "
                f"environment with max_turns={self.env.max_turns}: make that with those of the dialogues"
            )
        return replace(
            record,
            messages=record.messages[: 2 * turn + 2],
            turns_metadata=record.turns_metadata[: turn + 1],
            end_reason=None,
            reward=None,
            metrics={},
            extra={},
        )

    def _seeds(self, start: DialogueRecord) -> list[int]:
        key = NoiseKey((self.seed, "look_ahead", start.task_seed, start.reply_seed, replies(start)))
        return [key.child(number).seed() for number in range(self.continuations)]

    def _paid(self, values: Sequence[float]) -> list[float]:
        if self.pays == "value":
            return list(values)
        return [value - before for value, before in zip(values, [0.0, *values], strict=False)]


def _look_ahead(
    training: Training, continuations: int = 3, window: int = 2, pays: Pays = "gain", seed: int = 0
) -> LookAhead:
    return LookAhead(training.env, training.policy, continuations, window, pays, seed)


turn_rewards.register("look_ahead", _look_ahead)
