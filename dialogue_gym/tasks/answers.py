r"""The short answer in a worked solution: ``#### 12`` of GSM8K, ``\boxed{12}`` of MATH, or the whole text."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

_MARKED = re.compile(r"#### *(-?)\$?(\d[\d,]*(?:\.\d+)?|\.\d+)%?")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(?=[\\\w]))")
_LONGEST = 200  # characters of a text that can be an answer as it stands


def marked_answer(solution: str) -> str | None:
    r"""The number after ``####`` in the last line, without separators.

    Example:
        >>> marked_answer("6 * 200 = 1,200 #### 1,200"), marked_answer("about 12")
        (None, None)
        >>> marked_answer("so it is\n#### $1,200")
        '1200'
    """
    match = _MARKED.fullmatch(solution.rstrip().rpartition("\n")[2].strip())
    return match and match[1] + match[2].replace(",", "")


def boxed_answer(solution: str) -> str | None:
    r"""What stands in the last box, its braces balanced.

    Example:
        >>> boxed_answer(r"So $x = \boxed{\frac{1}{2}}$."), boxed_answer(r"it is \boxed 7.")
        ('\\frac{1}{2}', '7')
        >>> boxed_answer(r"\boxed{} and \boxed{3") is None
        True
    """
    boxes = list(_BOX.finditer(solution))
    if not boxes:
        return None
    start = boxes[-1].end()
    if not boxes[-1].group().endswith("{"):
        bare = re.match(r"\\[a-zA-Z]+(?:\{[^{}]*\})*|\w+", solution[start:])
        return bare.group() if bare else None
    depth = 1
    for mark in re.finditer(r"\\.|[{}]", solution[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return solution[start : start + mark.start()].strip() or None
    return None


def any_answer(solution: str) -> str | None:
    r"""A marked answer, else a boxed one, else the text itself where it is one short line.

    Example:
        >>> any_answer("2+2=4\n#### 4"), any_answer(r"\boxed{5}"), any_answer("x = 6"), any_answer("")
        ('4', '5', 'x = 6', None)
    """
    found = marked_answer(solution) or boxed_answer(solution)
    text = solution.strip()
    if found is None and text and "\n" not in text and len(text) <= _LONGEST and not _BOX.search(text):
        return text
    return found


ANSWER_FORMS: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {"any": any_answer, "marked": marked_answer, "boxed": boxed_answer}
)
