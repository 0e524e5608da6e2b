"""Evaluation: means with intervals over held-out dialogues, and paired comparisons."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.rollout.base import Policy, Trajectory
from dialogue_gym.rollout.concurrency import suited_concurrency
from dialogue_gym.rollout.play import play
from dialogue_gym.scoring import extract_answer, extract_draft
from dialogue_gym.seeding import NoiseKey

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval: the bootstrap's percentiles, 2,000 resamples of the dialogues.

    Attributes:
        mean: of ``n`` values.
        low: lower end; equals the mean when all values are equal or there is only one, where nothing is
            known of the spread.
        high: upper end.
        n: number of dialogues that had a value.
    """

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """The mean of ``values`` with its interval, None when there are none.

    All measures of as many dialogues are resampled alike, so that equal values have equal intervals.

    Example:
        >>> estimate([1.0, 1.0]), estimate([])
        (Estimate(mean=1.0, low=1.0, high=1.0, n=2), None)
    """
    if not len(values):
        return None
    array = np.asarray(values, dtype=np.float64)
    rng = NoiseKey(("bootstrap", len(array))).generator()
    means = [array[rng.integers(0, len(array), len(array))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(array.mean()), float(low), float(high), len(array))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What evaluation keeps of one dialogue.

    Attributes:
        task_seed: with ``reply_seed``, names the dialogue.
        reply_seed: see there.
        reward: None when it was not scored.
        metrics: the scorer's.
        turns: assistant messages.
        words_per_user_turn: mean words of the user's messages; None when there are none.
        words_per_agent_turn: likewise of the agent's.
        end_reason: an ``EndReason`` value, "" when it is not over.
        asked: whether the agent asked for what was held back, see ``asked_for_held``.
    """

    task_seed: int
    reply_seed: int
    reward: float | None
    metrics: dict[str, float]
    turns: int
    words_per_user_turn: float | None
    words_per_agent_turn: float | None
    end_reason: str
    asked: bool | None


def outcome(record: DialogueRecord) -> Outcome:
    """The outcome of a recorded dialogue."""
    return Outcome(
        record.task_seed,
        record.reply_seed,
        record.reward,
        dict(record.metrics),
        sum(m["role"] == "assistant" for m in record.messages),
        _mean_words(record, "user"),
        _mean_words(record, "assistant"),
        record.end_reason or "",
        asked_for_held(record),
    )


def _mean_words(record: DialogueRecord, role: str) -> float | None:
    counts = [len(m["content"].split()) for m in record.messages if m["role"] == role]
    return sum(counts) / len(counts) if counts else None


def asked_for_held(record: DialogueRecord) -> bool | None:
    """Whether the agent asked for a fact that was held back before it stated an answer or a draft.

    None unless the user's metadata say what the opening held back and that was something:
    ``turns_metadata[0]["held"]`` names the facts. The agent's message t counts as asking when the user's
    metadata on it, ``turns_metadata[t + 1]``, has a fact in ``asked`` that is still in ``held`` (facts not
    said before that reply), or is ``generic`` while ``held`` is not empty. It must come before the first
    message in which the scoring room finds an answer (math) or a draft (documents), and not be that
    message. A question in a message that the user never answered, such as one at the turn limit, does
    not count.
    """
    if not record.turns_metadata or not record.turns_metadata[0].get("held"):
        return None
    spoken = [m["content"] for m in record.messages if m["role"] == "assistant"]
    for text, reaction in zip(spoken, record.turns_metadata[1:], strict=False):
        if states_result(record, text):
            return False
        held = reaction.get("held", ())
        if (reaction.get("generic") and held) or set(held) & set(reaction.get("asked", ())):
            return True
    return False


def states_result(record: DialogueRecord, text: str) -> bool:
    """Whether the scoring room finds an answer (math) or a draft (documents) in a message of the agent."""
    if (record.task or {}).get("kind") == "document":
        return bool(extract_draft([{"role": "user", "content": ""}, {"role": "assistant", "content": text}]))
    return extract_answer(text) is not None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a policy does in a set of dialogues.

    Attributes:
        env_id: which environment.
        split: the split of its tasks.
        simulator: identity of the user.
        policy: identity of the agent.
        outcomes: one for each dialogue, in the order played.
        estimates: "reward", the scorer's metrics, "turns", "words_per_user_turn",
            "words_per_agent_turn" and "ask_rate", each over the dialogues that have a value. Unscored
            dialogues have no reward and no metrics; they are left out there, never counted as zero.
            ``ask_rate`` is the share of True among ``asked_for_held``; missing where the simulator does
            not say what it held back.
        end_reasons: number of dialogues by end reason.
    """

    env_id: str
    split: str
    simulator: dict[str, Any]
    policy: dict[str, Any]
    outcomes: list[Outcome]
    estimates: dict[str, Estimate] = field(init=False)
    end_reasons: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        found = {name: estimate(values) for name, values in _values(self.outcomes).items()}
        object.__setattr__(self, "estimates", {k: v for k, v in found.items() if v is not None})
        reasons = Counter(o.end_reason for o in self.outcomes)
        object.__setattr__(self, "end_reasons", dict(reasons.most_common()))

    @property
    def reward(self) -> Estimate | None:
        """Mean reward of the scored dialogues; None when none was scored."""
        return self.estimates.get("reward")

    @property
    def ask_rate(self) -> Estimate | None:
        """See ``asked_for_held``."""
        return self.estimates.get("ask_rate")

    @property
    def unscored_rate(self) -> float:
        """Share of dialogues without a reward."""
        return sum(o.reward is None for o in self.outcomes) / len(self.outcomes)

    def table(self) -> str:
        """A plain-text table for people; without the means where nothing was scored."""
        total = len(self.outcomes)
        unscored = sum(o.reward is None for o in self.outcomes)
        title = f"{self.env_id}, {self.split}: {total} dialogues, user {_name(self.simulator)}, "
        return "\n".join(
            [
                title + f"agent {_name(self.policy)}",
                *(_rows(self.estimates) if unscored < total else []),
                f"unscored: {unscored} of {total} ({self.unscored_rate:.1%})",
                "ended by: " + ", ".join(f"{k or 'nothing yet'} {v}" for k, v in self.end_reasons.items()),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able data."""
        return {**asdict(self), "unscored_rate": self.unscored_rate}


def evaluate(
    env: DialogueVectorEnv,
    policy: Policy,
    n: int = 200,
    *,
    seed: int = 0,
    concurrency: int | Literal["suited"] | None = "suited",
    on_dialogue: Callable[[Trajectory], None] | None = None,
) -> Evaluation:
    """Play ``n`` dialogues of the environment's split and sum them up.

    The dialogues follow from ``seed`` alone, so that two policies, or two users, meet the same tasks,
    personas and openings and can be compared in pairs.

    Args:
        env: made with ``split="test"`` (or "validation"), ``autoreset_mode="Disabled"``.
        policy: the agent.
        n: number of dialogues, at least 1.
        seed: names the set of dialogues.
        concurrency: dialogues that run at once, each apart, or None for lockstep batches: see ``play``.
            "suited" does as ``suited_concurrency`` says: apart where all language models are servers.
        on_dialogue: called with each finished trajectory, for logs and progress.

    Raises:
        ValueError: ``n`` below 1, or an environment that ``play`` cannot use.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1 dialogue, got {n}")
    key = NoiseKey((seed, "evaluation"))
    task_seeds = [key.child("task", i).seed() for i in range(n)]
    reply_seeds = [key.child("reply", i).seed() for i in range(n)]
    trajectories = play(
        env,
        policy,
        task_seeds,
        reply_seeds,
        policy_seed=seed,
        concurrency=suited_concurrency(env, policy) if concurrency == "suited" else concurrency,
        on_dialogue=on_dialogue,
    )
    return summarise([trajectory.record for trajectory in trajectories])


def summarise(records: Sequence[DialogueRecord]) -> Evaluation:
    """The evaluation of recorded dialogues, for example of a log.

    Raises:
        ValueError: no dialogue, or dialogues of several environments or splits.
    """
    if not records:
        raise ValueError("there is no dialogue to evaluate")
    kinds = {(r.env_id, r.split) for r in records}
    if len(kinds) > 1:
        raise ValueError(
            f"dialogues of one environment and split can be evaluated together, got {sorted(kinds)}"
        )
    first = records[0]
    return Evaluation(
        first.env_id, first.split, first.simulator, first.policy, [outcome(record) for record in records]
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired differences, after minus before, over dialogues with the same seeds.

    Attributes:
        estimates: by the names of ``Evaluation.estimates``, over pairs that both have a value.
        pairs: number of pairs, those without a reward on a side included.
    """

    estimates: dict[str, Estimate]
    pairs: int

    @property
    def reward(self) -> Estimate | None:
        """Mean difference of the rewards; None when no pair was scored on both sides."""
        return self.estimates.get("reward")

    def table(self) -> str:
        """A plain-text table for people."""
        return "\n".join([f"after - before: {self.pairs} pairs", *_rows(self.estimates)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able data."""
        return asdict(self)


def compare(before: Evaluation, after: Evaluation) -> Comparison:
    """How much better ``after`` is than ``before``, dialogue by dialogue.

    Users and agents may differ; tasks may not.

    Raises:
        ValueError: the evaluations are not of the same environment, split and seeds.
    """
    for what in ("env_id", "split"):
        if getattr(before, what) != getattr(after, what):
            raise ValueError(
                f"the evaluations differ in {what}: {getattr(before, what)!r} and {getattr(after, what)!r}"
            )
    if [_seeds(o) for o in before.outcomes] != [_seeds(o) for o in after.outcomes]:
        raise ValueError("the evaluations differ in seeds; use the same n and seed for both")
    first, second = _columns(before.outcomes), _columns(after.outcomes)
    differences = {
        name: estimate(
            [b - a for a, b in zip(first[name], second[name], strict=True) if a is not None and b is not None]
        )
        for name in first
        if name in second
    }
    return Comparison({k: v for k, v in differences.items() if v is not None}, len(before.outcomes))


def _seeds(of: Outcome) -> tuple[int, int]:
    return of.task_seed, of.reply_seed


def _columns(outcomes: Sequence[Outcome]) -> dict[str, list[float | None]]:
    """A value or None for each dialogue, by name."""
    names = dict.fromkeys(name for o in outcomes for name in o.metrics)
    columns: dict[str, list[float | None]] = {"reward": [o.reward for o in outcomes]}
    columns |= {name: [o.metrics.get(name) for o in outcomes] for name in names if name != "reward"}
    columns["turns"] = [float(o.turns) for o in outcomes]
    columns["words_per_user_turn"] = [o.words_per_user_turn for o in outcomes]
    columns["words_per_agent_turn"] = [o.words_per_agent_turn for o in outcomes]
    columns["ask_rate"] = [None if o.asked is None else float(o.asked) for o in outcomes]
    return columns


def _values(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    return {name: [v for v in column if v is not None] for name, column in _columns(outcomes).items()}


def _rows(estimates: Mapping[str, Estimate]) -> list[str]:
    width = max([len(name) for name in estimates], default=0) + 2
    head = f"{'':{width}}    mean  95 % interval       n"
    return [
        head,
        *(
            f"{name:{width}}{e.mean:8.3f}  {f'[{e.low:.3f}, {e.high:.3f}]':16}{e.n:7d}"
            for name, e in estimates.items()
        ),
    ]


def _name(identity: Mapping[str, Any]) -> str:
    return str(identity.get("name", "unknown"))
