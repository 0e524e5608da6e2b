"""Plays a policy against a vector environment and records trajectories; the only such loop there is."""

import copy
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from dialogue_gym.dialogue import EndReason
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.envs.vector import Observations
from dialogue_gym.language_models.cancelling import cancel
from dialogue_gym.rollout.base import Policy, PolicyReply, PolicyRequest, Trajectory
from dialogue_gym.rollout.concurrency import as_finished
from dialogue_gym.seeding import NoiseKey

logger = logging.getLogger(__name__)

_SPARE = {"messages": [{"role": "user", "content": ""}]}
"""What fills the rows that a batch does not need: a history that waits for the agent costs no user call."""


@dataclass(slots=True)
class _Row:
    """What is collected of one dialogue while it runs."""

    key: NoiseKey
    # equals no other, so that one policy can speak in many rollouts at once
    id: object = field(default_factory=object)
    replies: list[PolicyReply] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which dialogues to play; see ``play``."""

    task_seeds: Sequence[int]
    reply_seeds: Sequence[int]
    policy_seed: int
    starts: Sequence[Any] | None
    max_turns: Sequence[int] | None

    def part(self, begin: int, count: int) -> "_Wanted":
        """Those from ``begin`` on, at most ``count``."""
        some = slice(begin, begin + count)
        return _Wanted(
            self.task_seeds[some],
            self.reply_seeds[some],
            self.policy_seed,
            self.starts[some] if self.starts else None,
            self.max_turns[some] if self.max_turns else None,
        )


def play(
    env: DialogueVectorEnv,
    policy: Policy,
    task_seeds: Sequence[int],
    reply_seeds: Sequence[int],
    *,
    policy_seed: int = 0,
    starts: Sequence[Any] | None = None,
    max_turns: Sequence[int] | None = None,
    concurrency: int | None = None,
    on_dialogue: Callable[[Trajectory], None] | None = None,
    on_group: Callable[[list[Trajectory]], None] | None = None,
) -> list[Trajectory]:
    """Play one dialogue for each pair of seeds: in lockstep, or each apart from the others.

    Members of a GRPO group share the task seed (task, persona, opening) and differ in the reply seed.
    The policy's noise is keyed by ``policy_seed``, both seeds and the turn, so that a dialogue comes out
    the same whatever is played beside it, in lockstep or apart.

    In lockstep (``concurrency=None``), ``env.num_envs`` dialogues take their turns together, with one call
    of the policy and one of the user for all: best for models in this process. Apart, each dialogue goes
    on as soon as its own answer is there, in a thread of its own: best for servers. The policy, user,
    tasks and scorer are then called from several threads; those of this package bear it. Meanwhile the
    openings of the dialogues that come next are asked for (a quarter as many as run). Ctrl-C, like any
    error, cuts short the calls of parts that are ``Cancellable``, ends the threads and comes through.

    Args:
        env: made with ``autoreset_mode="Disabled"`` and ``observe="all"``. Dialogues that are played apart
            have rows of their own (``env.sibling``) and leave those of ``env`` as they are.
        policy: the agent. Dialogues that it fails on (``error``) end unscored, with the reason. Where
            ``act`` raises or returns no proper replies, it is asked again for each dialogue alone; those
            that it fails on again end as ``POLICY_FAILURE`` with the error in their record.
        task_seeds: one for each dialogue.
        reply_seeds: as many.
        policy_seed: seeds the policy's own noise.
        starts: dialogues to go on from, or None for those that begin afresh; as many.
        max_turns: a turn limit for each dialogue, in place of the environment's; as many. One turn more
            than its start has lets the agent speak once; the dialogue is scored as it then stands.
        concurrency: dialogues that run at once, each apart; None for lockstep. ``suited_concurrency``
            knows which is better.
        on_dialogue: called with each finished trajectory, for logs and progress: batch by batch in
            lockstep, else as they end. Always called in the thread of the caller.
        on_group: called likewise with the trajectories of each group, in the order of the seeds, when all
            of them are there. Equal neighbours among the task seeds form a group.

    Returns:
        Trajectories in the order of the seeds. Without token ids where the policy has none.

    Raises:
        ValueError: numbers of seeds differ, the environment is wrapped or resets itself, or
            ``concurrency`` is below 1.
    """
    _check(env, task_seeds, (reply_seeds, starts, max_turns), concurrency)
    wanted = _Wanted(task_seeds, reply_seeds, policy_seed, starts, max_turns)
    groups = _groups(task_seeds)
    found: dict[int, Trajectory] = {}
    if concurrency is None:
        played = _in_lockstep(env, policy, wanted)
    else:
        played = _apart(env, policy, wanted, concurrency)
    with closing(played):
        for number, trajectory in played:
            found[number] = trajectory
            if on_dialogue is not None:
                on_dialogue(trajectory)
            if on_group is not None and all(i in found for i in groups[number]):
                on_group([found[i] for i in groups[number]])
    return [found[number] for number in range(len(task_seeds))]


def _check(
    env: DialogueVectorEnv,
    task_seeds: Sequence[int],
    others: Sequence[Sequence[Any] | None],
    concurrency: int | None,
) -> None:
    if not isinstance(env, DialogueVectorEnv):
        raise ValueError(
            f"play needs a dialogue environment, where the agent speaks in text, got {type(env).__name__}: "
            "leave out the wrappers; Features and DialogueActs are for learners that choose acts"
        )
    if env.metadata["autoreset_mode"] is not AutoresetMode.DISABLED:
        raise ValueError('play needs an environment made with autoreset_mode="Disabled"')
    if env.observe != "all":
        raise ValueError('play needs an environment made with observe="all"')
    if any(given is not None and len(given) != len(task_seeds) for given in others):
        raise ValueError(
            f"play got {len(task_seeds)} task seeds and {len(others[0] or ())} reply seeds "
            "(or starts, or limits)"
        )
    whole = isinstance(concurrency, int) and not isinstance(concurrency, bool)
    if concurrency is not None and not (whole and concurrency >= 1):
        raise ValueError(f"concurrency must be an int of at least 1, or None, got {concurrency!r}")


def _groups(task_seeds: Sequence[int]) -> list[list[int]]:
    """For each dialogue the numbers of all in its group."""
    neighbours = (list(g) for _, g in groupby(range(len(task_seeds)), lambda i: task_seeds[i]))
    return [group for group in neighbours for _ in group]


_Played = Generator[tuple[int, Trajectory], None, None]


def _in_lockstep(env: DialogueVectorEnv, policy: Policy, wanted: _Wanted) -> _Played:
    for begin in range(0, len(wanted.task_seeds), env.num_envs):
        yield from enumerate(_play_batch(env, policy, wanted.part(begin, env.num_envs)), begin)


def _apart(env: DialogueVectorEnv, policy: Policy, wanted: _Wanted, concurrency: int) -> _Played:
    """More threads than dialogues that may run: those that wait for their turn have their opening."""
    count = len(wanted.task_seeds)
    threads = min(count, concurrency + -(-concurrency // 4))
    slots, stopped = threading.Semaphore(concurrency), threading.Event()
    stoppable = _Stoppable(policy, stopped)

    def play_some(numbers: Iterator[int]) -> _Played:
        with closing(env.sibling(1)) as own:
            for number in numbers:
                [trajectory] = _play_batch(own, stoppable, wanted.part(number, 1), slots)
                yield number, trajectory

    def give_up() -> None:
        slots.release(threads)
        cancel(policy)
        cancel(env.simulator)

    return as_finished(range(count), play_some, threads, stopped, give_up)


class _StoppedError(BaseException):
    """The rollout was given up; no fault of a dialogue, so it passes by those who catch faults."""


class _Stoppable:
    """A policy that speaks no more once the rollout is given up."""

    def __init__(self, policy: Policy, stopped: threading.Event) -> None:
        self._policy, self._stopped = policy, stopped
        self.forget, self.identity = policy.forget, policy.identity

    def act(self, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
        if self._stopped.is_set():
            raise _StoppedError
        return self._policy.act(requests)


def _play_batch(
    env: DialogueVectorEnv,
    policy: Policy,
    wanted: _Wanted,
    running: AbstractContextManager[object] = nullcontext(),  # noqa: B008 - has no state
) -> list[Trajectory]:
    """Play as many dialogues as fit into the rows, from their openings on; all that follow in ``running``."""
    observations, rows, live = _begin(env, wanted)
    try:
        with running:
            while live:
                observations, live = _turn(env, policy, observations, rows, live)
    finally:  # where it was broken off
        policy.forget([rows[i].id for i in live])
    identity = policy.identity()
    return [_trajectory(env, identity, i, row) for i, row in enumerate(rows)]


def _begin(env: DialogueVectorEnv, wanted: _Wanted) -> tuple[Observations, list[_Row], list[int]]:
    """What the agent sees at first, and which rows await it."""
    count, spare = len(wanted.task_seeds), env.num_envs - len(wanted.task_seeds)
    options: dict[str, Any] = {
        name: np.array([*seeds, *([seeds[0]] * spare)], dtype=np.int64)
        for name, seeds in (("task_seed", wanted.task_seeds), ("reply_seed", wanted.reply_seeds))
    }
    options["dialogue"] = [*(wanted.starts or [None] * count), *([_SPARE] * spare)]
    if wanted.max_turns:
        options["max_turns"] = [*wanted.max_turns, *([env.max_turns] * spare)]
    observations, infos = env.reset(options=options)
    env.abort(range(count, env.num_envs))
    rows = [
        _Row(NoiseKey((wanted.policy_seed, int(t), int(r), "policy")))
        for t, r in zip(wanted.task_seeds, wanted.reply_seeds, strict=True)
    ]
    return observations, rows, [i for i in range(count) if not infos["end_reason"][i]]


def _turn(
    env: DialogueVectorEnv, policy: Policy, observations: Observations, rows: list[_Row], live: list[int]
) -> tuple[Observations, list[int]]:
    """The agent speaks in the rows that live, and the users reply; which rows live on."""
    replies = _act(
        policy,
        [
            PolicyRequest(rows[i].id, observations[i], rows[i].key.child(len(observations[i]) // 2))
            for i in live
        ],
    )
    actions = [""] * env.num_envs
    for i, reply in zip(live, replies, strict=True):
        actions[i] = reply.text
        if reply.error is None:
            rows[i].replies.append(reply)
        else:
            reason = EndReason.CONTEXT_OVERFLOW if reply.overflow else EndReason.POLICY_FAILURE
            env.abort([i], reason, reply.error)
    observations, rewards, terminated, truncated, _ = env.step(actions)
    over = terminated | truncated
    for i in live:
        rows[i].rewards.append(float(rewards[i]))
    policy.forget([rows[i].id for i in live if over[i]])
    return observations, [i for i in live if not over[i]]


def _act(policy: Policy, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
    """One call for all; where that fails, one for each, so that a fault stays with its dialogue."""
    try:
        return _call(policy, requests)
    except Exception as error:
        logger.warning("policy: %s; each dialogue is asked for again alone", _line(error))
    return [_act_alone(policy, request) for request in requests]


def _act_alone(policy: Policy, request: PolicyRequest) -> PolicyReply:
    try:
        return _call(policy, [request])[0]
    except Exception as error:
        logger.warning("policy: %s; this dialogue ends unscored", _line(error))
        return PolicyReply("", error=_line(error))


def _call(policy: Policy, requests: Sequence[PolicyRequest]) -> list[PolicyReply]:
    replies = policy.act(requests)
    if len(replies) != len(requests):
        raise TypeError(f"act() must return {len(requests)} replies, got {len(replies)}")
    for reply in replies:
        if not (isinstance(reply, PolicyReply) and isinstance(reply.text, str)):
            raise TypeError(f"act() must return PolicyReply objects with a text, got {reply!r:.200}")
    return replies


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]


def _trajectory(env: DialogueVectorEnv, identity: dict[str, Any], index: int, row: _Row) -> Trajectory:
    """Join the turns' tokens; nothing is appended after the last sampled token."""
    ids: list[int] = []
    mask: list[int] = []
    log_probs: list[float] = []
    turns: list[int] = []
    for turn, reply in enumerate(row.replies):
        context, sampled = len(reply.context_ids), len(reply.token_ids)
        ids += reply.context_ids + reply.token_ids
        mask += [0] * context + [1] * sampled
        log_probs += [0.0] * context + reply.log_probs
        turns += [-1] * context + [turn] * sampled
    record = env.record(index)
    record.policy = copy.deepcopy(identity)
    return Trajectory(ids, mask, log_probs, turns, row.rewards, record.reward, record)
