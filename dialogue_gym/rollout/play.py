"""Plays a policy against a vector environment and records trajectories; the only such loop there is."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from dialogue_gym.dialogue import EndReason
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.rollout.base import Policy, PolicyReply, PolicyRequest, Trajectory
from dialogue_gym.seeding import NoiseKey

logger = logging.getLogger(__name__)

_SPARE = {"messages": [{"role": "user", "content": ""}]}
"""What fills the rows that a batch does not need: a history that waits for the agent costs no user call."""


@dataclass(slots=True)
class _Row:
    """What is collected of one dialogue while it runs."""

    key: NoiseKey
    replies: list[PolicyReply] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


def play(
    env: DialogueVectorEnv,
    policy: Policy,
    task_seeds: Sequence[int],
    reply_seeds: Sequence[int],
    *,
    policy_seed: int = 0,
    starts: Sequence[Any] | None = None,
    max_turns: Sequence[int] | None = None,
    on_dialogue: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Play one dialogue for each pair of seeds, ``env.num_envs`` at a time.

    Members of a GRPO group share the task seed (task, persona, opening) and differ in the reply seed.
    The policy's noise is keyed by ``policy_seed``, both seeds and the turn, so that a dialogue comes out
    the same whatever is played beside it.

    Args:
        env: made with ``autoreset_mode="Disabled"`` and ``observe="all"``.
        policy: the agent. Dialogues that it fails on (``error``) end unscored, with the reason. Where
            ``act`` raises or returns no proper replies, it is asked again for each dialogue alone; those
            that it fails on again end as ``POLICY_FAILURE`` with the error in their record.
        task_seeds: one for each dialogue.
        reply_seeds: as many.
        policy_seed: seeds the policy's own noise.
        starts: dialogues to go on from, or None for those that begin afresh; as many.
        max_turns: a turn limit for each dialogue, in place of the environment's; as many. One turn more
            than its start has lets the agent speak once; the dialogue is scored as it then stands.
        on_dialogue: called with each finished trajectory, batch by batch, for logs and progress.

    Returns:
        Trajectories in the order of the seeds. Without token ids where the policy has none.

    Raises:
        ValueError: numbers of seeds differ, or the environment resets itself.
    """
    if env.metadata["autoreset_mode"] is not AutoresetMode.DISABLED:
        raise ValueError('play needs an environment made with autoreset_mode="Disabled"')
    if env.observe != "all":
        raise ValueError('play needs an environment made with observe="all"')
    if any(given is not None and len(given) != len(task_seeds) for given in (reply_seeds, starts, max_turns)):
        raise ValueError(
            f"play got {len(task_seeds)} task seeds and {len(reply_seeds)} reply seeds (or starts, or limits)"
        )
    trajectories: list[Trajectory] = []
    for begin in range(0, len(task_seeds), env.num_envs):
        part = slice(begin, begin + env.num_envs)
        batch = _play_batch(
            env,
            policy,
            task_seeds[part],
            reply_seeds[part],
            policy_seed,
            starts[part] if starts else None,
            max_turns[part] if max_turns else None,
        )
        for trajectory in batch:
            if on_dialogue is not None:
                on_dialogue(trajectory)
        trajectories += batch
    return trajectories


def _play_batch(
    env: DialogueVectorEnv,
    policy: Policy,
    task_seeds: Sequence[int],
    reply_seeds: Sequence[int],
    policy_seed: int,
    starts: Sequence[Any] | None,
    max_turns: Sequence[int] | None,
) -> list[Trajectory]:
    count, spare = len(task_seeds), env.num_envs - len(task_seeds)
    options: dict[str, Any] = {
        "task_seed": np.array([*task_seeds, *([task_seeds[0]] * spare)], dtype=np.int64),
        "reply_seed": np.array([*reply_seeds, *([reply_seeds[0]] * spare)], dtype=np.int64),
    }
    options["dialogue"] = [*(starts or [None] * count), *([_SPARE] * spare)]
    if max_turns:
        options["max_turns"] = [*max_turns, *([env.max_turns] * spare)]
    observations, infos = env.reset(options=options)
    env.abort(range(count, env.num_envs))
    rows = [
        _Row(NoiseKey((policy_seed, int(t), int(r), "policy")))
        for t, r in zip(task_seeds, reply_seeds, strict=True)
    ]
    live = [i for i in range(count) if not infos["end_reason"][i]]
    # a batch is over in one process, so that its rows may serve as ids of the policy's dialogues
    while live:
        replies = _act(
            policy,
            [PolicyRequest(i, observations[i], rows[i].key.child(len(observations[i]) // 2)) for i in live],
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
        for i in live:
            rows[i].rewards.append(float(rewards[i]))
        policy.forget([i for i in live if terminated[i] or truncated[i]])
        live = [i for i in live if not (terminated[i] or truncated[i])]
    return [_trajectory(env, policy, i, row) for i, row in enumerate(rows)]


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


def _trajectory(env: DialogueVectorEnv, policy: Policy, index: int, row: _Row) -> Trajectory:
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
    record.policy = policy.identity()
    return Trajectory(ids, mask, log_probs, turns, row.rewards, record.reward, record)
