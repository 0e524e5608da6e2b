"""What single and vector wrappers share: which environments they take, and what an act's words may be."""

from collections.abc import Iterable
from operator import index
from typing import Any, TypeVar

from dialogue_gym.dialogue import Conversation, EndReason
from dialogue_gym.language_models.base import Completion
from dialogue_gym.wrappers.acts import Acts

E = TypeVar("E")


def check_wrapped(wrapper: object, env: Any, kind: type[E]) -> E:
    """The dialogue environment below ``env``, whose observations must be whole conversations.

    Raises:
        ValueError: it is none, or shows something else.
    """
    name, inner = type(wrapper).__name__, env.unwrapped
    if not isinstance(inner, kind):
        raise ValueError(f"{name} wraps a {kind.__name__}, got {type(inner).__name__}")
    observe = getattr(inner, "observe", "all")
    if observe != "all":
        raise ValueError(
            f"{name} reads whole conversations: make the environment with observe='all', not {observe!r}"
        )
    space = "single_observation_space" if hasattr(env, "single_observation_space") else "observation_space"
    if getattr(env, space) != getattr(inner, space):
        raise ValueError(
            f"{name} reads conversations, and {env} shows {getattr(env, space)}: "
            "Features goes outermost, as in Features(DialogueActs(env))"
        )
    return inner


def act_numbers(actions: Iterable[Any], acts: Acts) -> list[int]:
    """Actions as indices of acts.

    Raises:
        ValueError: there is no such act.
    """
    names = acts.names
    numbers = []
    for action in actions:
        try:
            number = index(action.item() if hasattr(action, "item") else action)
        except TypeError:
            number = -1
        if not 0 <= number < len(names):
            valid = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
            raise ValueError(f"an act is one of {valid}; got {action!r}")
        numbers.append(number)
    return numbers


def speaks_next(conversation: Conversation) -> bool:
    """Whether the agent's words will be heard: not after a failed opening, nor after the turn limit."""
    return bool(conversation) and conversation[-1]["role"] == "user"


def end_reason(said: Completion) -> EndReason | None:
    """How a dialogue ends for want of words; None where there are some."""
    reasons = {"error": EndReason.POLICY_FAILURE, "overflow": EndReason.CONTEXT_OVERFLOW}
    return reasons.get(said.finish_reason)
