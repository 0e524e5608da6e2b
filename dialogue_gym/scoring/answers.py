"""What an agent answered, and whether that is right."""

import re

from dialogue_gym.dialogue import Conversation
from dialogue_gym.scoring.expressions import expressions_equal, is_expression
from dialogue_gym.scoring.extraction import extract_answer
from dialogue_gym.scoring.numbers import Number, parse_number, tidy

_LONGEST = 1_000
_ARITHMETIC = re.compile(r"[-+*/^().0-9\s]*[-+*/^][-+*/^().0-9\s]*")


def last_answer(conversation: Conversation) -> str | None:
    """The answer of the last assistant message that states one.

    Example:
        >>> last_answer(
        ...     [
        ...         {"role": "user", "content": "12 - 5?"},
        ...         {"role": "assistant", "content": "It is 7."},
        ...         {"role": "user", "content": "thanks"},
        ...         {"role": "assistant", "content": "You're welcome!"},
        ...     ]
        ... )
        '7'
    """
    for position in range(len(conversation) - 1, -1, -1):
        message = conversation[position]
        if message["role"] == "assistant":
            answer = extract_answer(message["content"])
            if answer is not None:
                return answer
    return None


def answers_equal(stated: str, reference: str, timeout_s: float = 2.0) -> bool:
    r"""Whether a stated answer equals the reference.

    Plain numbers (with units, currency, separators) are compared exactly; texts that agree after
    normalisation are equal; other expressions are left to math-verify in a subprocess, for at most
    ``timeout_s`` seconds (a check that takes longer counts as not equal). Arithmetic that was not carried
    out ("12 - 5" for 7) is not an answer. Callable from any thread.

    Raises:
        RuntimeError: math-verify is needed and cannot be loaded; never because of a text.

    Example:
        >>> answers_equal("7.00 marbles", "7"), answers_equal("50%", "0.5"), answers_equal("4 or 5", "5")
        (True, True, False)
    """
    if max(len(stated), len(reference)) > _LONGEST:
        return False
    stated_number, number = parse_number(stated), parse_number(reference)
    if stated_number and number:
        return _same_value(stated_number, number)
    left, right = _plain(stated), _plain(reference)
    if not left or not right:
        return False
    return left == right or (_comparable(left, right) and expressions_equal(left, right, timeout_s))


def _same_value(a: Number, b: Number) -> bool:
    """Percent signs are a unit; where only one side has one, 50% may also stand for 0.5."""
    if a.value == b.value:
        return True
    if a.percent == b.percent:
        return False
    return a.value / (100 if a.percent else 1) == b.value / (100 if b.percent else 1)


def _plain(text: str) -> str:
    return " ".join(tidy(text).split()).strip(" .").replace(" ,", ",").casefold()


def _comparable(stated: str, reference: str) -> bool:
    """Whether asking math-verify is cheap and makes sense: two expressions with as many parts."""
    return (
        is_expression(stated)
        and is_expression(reference)
        and stated.count(",") == reference.count(",")
        and not _ARITHMETIC.fullmatch(stated)
    )
