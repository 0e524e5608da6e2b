"""The same curves in the tiny world, from dialogues whose likelihood is known under both processes.

The log is that of the tiny policy with a scripted population. The log-probability of each turn is known under
the process that spoke it and under the other one, so that along a dialogue the log-likelihood ratio of the
history is a sum over turns. Over the dialogues of the log

- its mean is KL(log || other) of histories, which by the chain rule is the sum of the turns' divergences;
- the mean of max(0, 1 - 1 / ratio) is the total variation between histories, and for one turn's ratio e_i.

These are unbiased up to one thing: a model's probability of a text is taken as that of its usual tokens,
while other tokens can spell the same text, so distances from a model come out slightly too large. A dialogue
that is over adds nothing more. A turn is here a message of the user, the opening included, and the agent's
reply to it.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.calibration.world import REFERENCE
from benchmarks.compounding_shift.exact import fitted_range
from benchmarks.compounding_shift.process import Floats, Shift, exponent
from dialogue_gym.rollout import LanguageModelPolicy, Trajectory, load_policy, make_vector_env, play
from dialogue_gym.rollout.evaluation import estimate
from dialogue_gym.scoring import MathScorer
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import (
    CalibratedUser,
    PromptedUser,
    ReplyLogProb,
    ScoringUserSimulator,
    ScriptedUser,
    UserSimulator,
)
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood
from dialogue_gym.simulators.user_turns import UserTurn, user_turns
from dialogue_gym.tasks.base import task_from_dict

Likelihood = Callable[[Sequence[UserTurn]], list[ReplyLogProb]]
"""Log-probabilities of the user turns of one dialogue, in order."""

NEIGHBOURS: dict[str, Any] = {**REFERENCE, "trust": (0.35, 0.65), "politeness": (0.4, 0.7)}
"""Users almost like the reference's: a little more trusting, and more polite. A small, exact shift."""


@dataclass
class TinySettings:
    """What is estimated in the tiny world."""

    dialogues: int = 500
    """Logged dialogues; as many are played under each shift."""
    evaluated_temperature: float = 0.8
    """Of the evaluated policy, the policy shift; the logging policy samples at 1."""
    users: tuple[Path, ...] = ()
    """Folders of calibrated users, to measure beside the prompted one."""
    seed: int = 0
    """Of tasks, users and policy."""

    def __post_init__(self) -> None:
        if self.dialogues < 2:
            raise ValueError(f"tiny.dialogues must be at least 2 for an interval, got {self.dialogues}")
        if self.evaluated_temperature <= 0:
            raise ValueError(
                "tiny.evaluated-temperature must be above 0 (a greedy policy makes most logged messages "
                f"impossible), got {self.evaluated_temperature}"
            )


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulated user and how likely it finds what users say."""

    user: UserSimulator
    likelihood: Likelihood


def measure(settings: TinySettings, horizon: int) -> dict[str, Any]:
    """The curves of the policy shift and of each simulator, see ``describe``; and the log's own course.

    Returns:
        "curves" by name; by turn "going_on", the share of logged dialogues that have the turn, and "right",
        the share whose last answer is right then; "mean_turns".

    Raises:
        ValueError: a dialogue ended without a score; a user's folder is none.
        ImportError: an extra is missing; the message names it.
    """
    world, simulated = World(settings, horizon), simulators(settings.users)
    log = world.play(world.reference)
    right, lengths = rewards(log, horizon), np.array([len(t.rewards) for t in log])
    evaluated = world.play(world.reference, settings.evaluated_temperature)
    ratios = policy_ratios(log, world.policy(), settings.evaluated_temperature, horizon)
    curves = {"policy": describe("policy", ratios, right - rewards(evaluated, horizon))}
    likelihood = PopulationLikelihood(world.reference).log_prob
    for name, simulator in simulated.items():
        ratios = user_ratios(log, likelihood, simulator.likelihood, horizon)
        curves[name] = describe("simulator", ratios, rewards(world.play(simulator.user), horizon) - right)
    return {
        "mean_turns": float(lengths.mean()),
        "going_on": [float((lengths >= t).mean()) for t in range(1, horizon + 1)],
        "right": right.mean(0).tolist(),
        "curves": curves,
    }


def simulators(folders: Sequence[Path]) -> dict[str, Simulator]:
    """What is compared with the reference population, by name."""
    neighbours = ScriptedUser(NEIGHBOURS)
    models: dict[str, ScoringUserSimulator] = {
        "prompted user": PromptedUser("tiny"),
        **{f.name: CalibratedUser(f) for f in folders},
    }
    return {
        "neighbouring population": Simulator(neighbours, PopulationLikelihood(neighbours).log_prob),
        **{name: Simulator(user, _likelihood(user)) for name, user in models.items()},
    }


def _likelihood(user: ScoringUserSimulator) -> Likelihood:
    return lambda turns: user.log_prob([t.request for t in turns], [t.reply for t in turns])


class World:
    """The tiny policy, the reference population, and dialogues on the same tasks."""

    def __init__(self, settings: TinySettings, horizon: int) -> None:
        self.horizon = horizon
        self.reference = ScriptedUser(REFERENCE)
        key = NoiseKey(("compounding shift", settings.seed))
        self.seeds = [key.child(i).seed() for i in range(settings.dialogues)]

    def policy(self, temperature: float = 1.0) -> LanguageModelPolicy:
        """The tiny policy."""
        policy = load_policy("tiny", "math", temperature=temperature)
        assert isinstance(policy, LanguageModelPolicy)
        return policy

    def play(self, user: UserSimulator, temperature: float = 1.0) -> list[Trajectory]:
        """One dialogue for each seed.

        Raises:
            ValueError: a dialogue ended without a score, so that its curve would be unknown.
        """
        envs = min(64, len(self.seeds))
        with closing(make_vector_env("MathChat-v0", envs, simulator=user, max_turns=self.horizon)) as env:
            played = play(env, self.policy(temperature), self.seeds, self.seeds)
        for trajectory in played:
            if trajectory.reward is None:
                raise ValueError(
                    f"a dialogue of {self.horizon} turns ended by {trajectory.record.end_reason}"
                )
        return played


def rewards(played: Sequence[Trajectory], horizon: int) -> Floats:
    """(dialogues, horizon): whether the agent's last answer is right after each turn, kept after the end."""
    scorer, rows = MathScorer(), []
    for trajectory in played:
        task, messages = task_from_dict(trajectory.record.task or {}), trajectory.record.messages
        turns = sum(m["role"] == "assistant" for m in messages)
        row = [scorer.score(task, messages[: 2 * t]).metrics["accuracy"] for t in range(1, turns + 1)]
        rows.append(row + row[-1:] * (horizon - turns))
    return np.array(rows)


def user_ratios(log: Sequence[Trajectory], p: Likelihood, q: Likelihood, horizon: int) -> Floats:
    """(dialogues, horizon): ln p(user's message t) - ln q(it)."""
    result = np.zeros((len(log), horizon))
    for i, trajectory in enumerate(log):
        turns = user_turns(trajectory.record, i)
        for turn, this, other in zip(turns, p(turns), q(turns), strict=True):
            result[i, turn.index] = this.total - other.total
    return result


def policy_ratios(
    log: Sequence[Trajectory], policy: LanguageModelPolicy, temperature: float, horizon: int
) -> Floats:
    """(dialogues, horizon): ln of the agent's message t at temperature 1 minus the same at another."""
    import torch

    model: Any = policy.language_model
    result = np.zeros((len(log), horizon))
    for i, trajectory in enumerate(log):
        ids = torch.tensor([trajectory.token_ids])
        with torch.no_grad():
            logits = model.model(input_ids=ids).logits[0, :-1].double()
        ratio = (logits.log_softmax(-1) - (logits / temperature).log_softmax(-1)).gather(1, ids[0, 1:, None])
        spoken = np.array(trajectory.loss_mask[1:], dtype=bool)
        turns = np.array(trajectory.turn_index[1:])[spoken]
        np.add.at(result[i], turns, ratio[:, 0].numpy()[spoken])
    return result


def describe(shift: Shift, ratios: Floats, differences: Floats) -> dict[str, Any]:
    """All curves from log-likelihood ratios by turn and differences of reward, dialogues resampled together.

    Args:
        shift: what kind.
        ratios: (dialogues, horizon), ln p - ln q of each turn of a log of p.
        differences: (dialogues, horizon), reward after turn t in training minus in deployment.

    Returns:
        Each curve as ``{"mean", "low", "high"}`` lists over turns: "divergence" of the turn (nats),
        "cumulated" of the history, "per_turn" (e_i), "error" (total variation of histories), "gap"
        (summed reward up to H), "last_gap" (reward of turn H alone). Then, from their means:
        "divergence_bound" on the error, "error_bound", "error_sum" and "gap_bound" on the gap, and exponents.
    """
    histories = ratios.cumsum(1)
    curves = {
        "divergence": _interval(ratios),
        "cumulated": _interval(histories),
        "per_turn": _interval(share_apart(ratios)),
        "error": _interval(share_apart(histories)),
        "gap": _interval(differences.cumsum(1)),
        "last_gap": _interval(differences),
    }
    low, high = fitted_range(ratios.shape[1])
    total = np.cumsum(curves["per_turn"]["mean"])
    error_sum = np.cumsum(curves["error"]["mean"])
    return {
        "shift": shift,
        **curves,
        "divergence_bound": divergence_bound(np.array(curves["cumulated"]["mean"])).tolist(),
        "error_bound": np.minimum(1.0, total).tolist(),
        "error_sum": error_sum.tolist(),
        "gap_bound": total.cumsum().tolist(),
        "fitted_on": [low, high],
        "exponent_of_error_sum": exponent(error_sum, low, high),
        "exponent_of_bound": exponent(total.cumsum(), low, high),
    }


def share_apart(log_ratios: Floats) -> Floats:
    """max(0, 1 - q / p) for draws of p, whose mean is the total variation between p and q.

    Example:
        >>> share_apart(np.log([2.0, 1.0, 0.5])).tolist()
        [0.5, 0.0, 0.0]
    """
    result: Floats = -np.expm1(-np.maximum(log_ratios, 0.0))
    return result


def divergence_bound(nats: Floats) -> Floats:
    """The largest total variation at a divergence: Pinsker's and Bretagnolle and Huber's bound, the lower.

    Example:
        >>> divergence_bound(np.array([0.02, 50.0])).round(3).tolist()
        [0.1, 1.0]
    """
    nats = np.maximum(nats, 0.0)  # an estimate may fall below
    result: Floats = np.minimum(np.sqrt(nats / 2), np.sqrt(-np.expm1(-nats)))
    return result


def _interval(values: Floats) -> dict[str, list[float]]:
    found = [estimate(column.tolist()) for column in values.T]
    return {end: [getattr(e, end) for e in found] for end in ("mean", "low", "high")}
