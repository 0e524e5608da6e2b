r"""Any problem as a brief: word problems by their numbers, formulas and puzzles sentence by sentence.

A user can hold back no single number of ``$f(x) = 2x + 3$`` and still say the rest in words, and a grid
makes no sense in halves. So where a text has formulas or lines of its own, its facts are its sentences,
and what is asked is the goal.
"""

import re
from collections.abc import Sequence

from dialogue_gym.tasks.base import Brief, Fact
from dialogue_gym.tasks.word_problems import brief_of_question, topic_words

_MOST_FACTS = 8  # more would keep a dialogue from coming to its point
# A formula: a command of LaTeX, or dollars that close as formulas do ("$5 or $6" is money).
_FORMULA = re.compile(r"\\[a-zA-Z(\[]|\$[^\s$](?:[^$\n]*[^\s$])?\$(?!\d)")
_WHOLE = re.compile(  # what is never cut
    r"\$\$.*?\$\$|\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|\[asy\].*?\[/asy\]|```.*?```",
    re.DOTALL,
)
_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)[\"'”’)]*\s+|(?<=:)\n+|\n\s*\n")
_ASKS = re.compile(
    r"(?:(?:please |now |then |so )?(?:find|compute|determine|evaluate|calculate|simplify|solve|express|"
    r"factor|expand|prove|show|give|write|list|what|how|which|who|when|where|for what|in how many|"
    r"your task)\b)",
    re.IGNORECASE,
)
_TURN = re.compile(
    r",\s+(?=(?:then )?(?:how|what|who|which|when|where|find|compute|determine|evaluate|calculate)\b)",
    re.IGNORECASE,
)
_COMMAND = re.compile(r"\\[a-zA-Z]+|\[/?asy\]")


def brief_of_problem(text: str) -> Brief:
    r"""The brief of any problem; goal and facts together hold all of it.

    Example:
        >>> brief = brief_of_problem(r"Let $x = \frac{1}{2}$. Let $y = 3$. Find $x + y$.")
        >>> brief.goal, [fact.text for fact in brief.facts]
        ('Find $x + y$.', ['Let $x = \\frac{1}{2}$', 'Let $y = 3$'])
        >>> brief_of_problem("Tom has 3 cats. Ann has 4. How many?").facts[0].vague
        'Tom has some cats'
    """
    text = text.strip()
    if not _FORMULA.search(text) and "\n" not in text and "?" in text:
        return brief_of_question(text)
    units = _units(text)
    if not units:
        return Brief(text, (), text)
    asked = _asked(units)
    condition, goal = _turn(units.pop(asked))
    statements = [*units[:asked], *condition, *units[asked:]]
    return Brief(goal, _facts(_few(statements)), text)


def _units(text: str) -> list[str]:
    """Sentences and paragraphs, with formulas and blocks kept whole."""
    masked = _masked(text)
    units, start = [], 0
    for end in _END.finditer(masked):
        units.append(text[start : end.start()] + end.group().strip())
        start = end.end()
    units.append(text[start:])
    return [unit.strip() for unit in units if unit.strip()]


def _masked(text: str) -> str:
    """The text with everything that is never cut written over; as long as before."""
    return _WHOLE.sub(lambda block: "x" * len(block.group()), text)


def _asked(units: Sequence[str]) -> int:
    """The unit that asks: the last question, else the last that begins like one, else the last."""
    for asks in (lambda unit: unit.endswith("?"), _ASKS.match, lambda unit: _TURN.search(_masked(unit))):
        found = [i for i, unit in enumerate(units) if asks(unit)]
        if found:
            return found[-1]
    return len(units) - 1


def _turn(unit: str) -> tuple[list[str], str]:
    """Cut "If x, what is y?" where the question begins."""
    turns = list(_TURN.finditer(_masked(unit)))
    if not turns:
        return [], unit
    goal = unit[turns[-1].end() :]
    return [unit[: turns[-1].start()]], goal[:1].upper() + goal[1:]


def _few(statements: Sequence[str]) -> list[str]:
    """The same statements, the shortest neighbours joined until there are few enough to tell one by one."""
    joined = list(dict.fromkeys(statements))
    while len(joined) > _MOST_FACTS:
        at = min(range(len(joined) - 1), key=lambda i: len(joined[i]) + len(joined[i + 1]))
        joined[at : at + 2] = ["\n".join(joined[at : at + 2])]
    return joined


def _facts(statements: Sequence[str]) -> tuple[Fact, ...]:
    texts = dict.fromkeys(statement.rstrip(". ") for statement in statements)
    return tuple(
        Fact(name=f"fact {i}", value=text, text=text, topics=topic_words(_COMMAND.sub(" ", text)))
        for i, text in enumerate(filter(None, texts), 1)
    )
