"""Ask a user simulator for replies so that a fault stays with the dialogue that it belongs to."""

import logging
import os
import sysconfig
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dialogue_gym.dialogue import EndReason
from dialogue_gym.simulators.base import UserReply, UserRequest, UserSimulator

logger = logging.getLogger(__name__)

_OF_OTHERS = (f"{Path(__file__).parents[1]}{os.sep}", sysconfig.get_path("stdlib"), "<frozen ")
"""How the files begin whose lines tell people nothing about their code; packages are in "...-packages"."""

Outcomes = list[UserReply | Exception]
"""Per request of a call its reply, or the exception that stands for what went wrong."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one dialogue got no reply: the end reason and one line about it."""

    reason: EndReason
    detail: str


class DeadlineMissedError(Exception):
    """A call did not return in time."""


def ask(
    simulator: UserSimulator, requests: Sequence[UserRequest], deadline_s: float | None
) -> list[UserReply | Failure]:
    """One reply or failure per request, in order.

    Everything is asked for in one call. Requests that get no proper reply (the call raises, misses its
    deadline, or returns junk for them) are asked for once more, each on its own; those that fail again
    are failures. A reply that carries an error is a failure at once. With a deadline, that second round
    runs in threads under one deadline, so that the whole takes two deadlines at most.

    Args:
        simulator: who is asked.
        requests: may be empty; then nothing is called.
        deadline_s: seconds that each round may take, or None. A call that misses it goes on in its
            abandoned thread, so the simulator must bear being called meanwhile.
    """
    if not requests:
        return []
    [outcomes] = _round(simulator, [requests], deadline_s)
    again = []
    for i, outcome in enumerate(outcomes):
        if isinstance(outcome, Exception):
            logger.warning("user simulator: %s; this dialogue is asked for again alone", one_line(outcome))
            again.append(i)
    alone = _round(simulator, [requests[i : i + 1] for i in again], deadline_s)
    for i, [outcome] in zip(again, alone, strict=True):
        outcomes[i] = outcome
    return [_settle(outcome) for outcome in outcomes]


def _round(
    simulator: UserSimulator, batches: Sequence[Sequence[UserRequest]], deadline_s: float | None
) -> list[Outcomes]:
    """One call for each batch: one after the other, or all at once under one deadline."""
    if deadline_s is None:
        return [_call(simulator, batch) for batch in batches]
    calls = [_begin(simulator, batch) for batch in batches]
    wait(calls, deadline_s)
    missed = DeadlineMissedError(f"no reply within {deadline_s:g} s")
    return [
        call.result() if call.done() else [missed] * len(batch)
        for call, batch in zip(calls, batches, strict=True)
    ]


def _begin(simulator: UserSimulator, requests: Sequence[UserRequest]) -> Future[Outcomes]:
    """The call in a daemon thread: no pool, which would wait at exit for a call that hangs."""
    future: Future[Outcomes] = Future()

    def work() -> None:
        try:
            future.set_result(_call(simulator, requests))
        except BaseException as error:
            future.set_exception(error)  # raised again by result(), in the caller's thread

    threading.Thread(target=work, name="user-simulator", daemon=True).start()
    return future


def _call(simulator: UserSimulator, requests: Sequence[UserRequest]) -> Outcomes:
    try:
        replies: Any = simulator.reply(requests)
        if not isinstance(replies, list | tuple) or len(replies) != len(requests):
            raise TypeError(
                f"reply() must return a list of {len(requests)}, got {type(replies).__name__}"
                + (f" of {len(replies)}" if isinstance(replies, list | tuple) else "")
            )
    except Exception as error:
        return [error] * len(requests)
    return [_checked(reply) for reply in replies]


def _checked(reply: Any) -> UserReply | Exception:
    if not isinstance(reply, UserReply):
        return TypeError(f"expected a UserReply, got {type(reply).__name__}")
    if reply.error is not None:
        return replace(reply, error=str(reply.error))
    for name, kinds in (("text", (str,)), ("stop", (bool, np.bool_)), ("metadata", (dict,))):
        value = getattr(reply, name)
        if not isinstance(value, kinds):
            return TypeError(f"a UserReply needs a {kinds[0].__name__} {name}, got {type(value).__name__}")
    return reply


def _settle(outcome: UserReply | Exception) -> UserReply | Failure:
    if isinstance(outcome, UserReply):
        if outcome.error is None:
            return outcome
        failure = Failure(_reason(outcome.timed_out, outcome.overflow), outcome.error)
    else:
        failure = Failure(_reason(isinstance(outcome, DeadlineMissedError)), one_line(outcome))
    logger.warning("user simulator: %s; this dialogue ends unscored", failure.detail)
    return failure


def _reason(timed_out: bool, overflow: bool = False) -> EndReason:
    if overflow:
        return EndReason.CONTEXT_OVERFLOW
    return EndReason.SIMULATOR_TIMEOUT if timed_out else EndReason.SIMULATOR_FAILURE


def one_line(error: Exception) -> str:
    """Type and message of an error, cut to one line, and the line of people's own code that it comes from."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500] + _place(error)


def _place(error: Exception) -> str:
    """The innermost line that is neither ours nor Python's nor an installed package's; "" without one."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OF_OTHERS) and "-packages" not in frame.filename
    ]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
