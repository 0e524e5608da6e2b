"""Ask a user simulator for replies so that a fault stays with the dialogue that it belongs to."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dialogue_gym.dialogue import EndReason
from dialogue_gym.simulators.base import UserReply, UserRequest, UserSimulator

logger = logging.getLogger(__name__)


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
    are failures. A reply that carries an error is a failure at once.

    Args:
        simulator: who is asked.
        requests: may be empty; then nothing is called.
        deadline_s: seconds that each call may take, or None. A call that misses it goes on in its
            abandoned thread, so the simulator must bear being called meanwhile.
    """
    if not requests:
        return []
    outcomes = _call(simulator, requests, deadline_s)
    for i, outcome in enumerate(outcomes):
        if isinstance(outcome, Exception):
            logger.warning("user simulator: %s; this dialogue is asked for again alone", _line(outcome))
            outcomes[i] = _call(simulator, requests[i : i + 1], deadline_s)[0]
    return [_settle(outcome) for outcome in outcomes]


def _call(
    simulator: UserSimulator, requests: Sequence[UserRequest], deadline_s: float | None
) -> list[UserReply | Exception]:
    """One call; per request its reply, or the exception that stands for what went wrong."""
    try:
        if deadline_s is None:
            replies: Any = simulator.reply(requests)
        else:
            replies = _within(deadline_s, lambda: simulator.reply(requests))
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
        late, detail = outcome.timed_out, outcome.error
    else:
        late, detail = isinstance(outcome, DeadlineMissedError), _line(outcome)
    logger.warning("user simulator: %s; this dialogue ends unscored", detail)
    return Failure(EndReason.SIMULATOR_TIMEOUT if late else EndReason.SIMULATOR_FAILURE, detail)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]


def _within(deadline_s: float, call: Callable[[], Any]) -> Any:
    """The call's result from a thread of its own, or ``DeadlineMissedError``."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)  # raised again below, in the caller's thread

    thread = threading.Thread(target=work, name="user-simulator", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if errors:
        raise errors[0]
    if not results:
        raise DeadlineMissedError(f"no reply within {deadline_s:g} s")
    return results[0]
