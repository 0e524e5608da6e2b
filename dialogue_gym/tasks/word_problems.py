"""Reading word problems in plain English: facts, goal and unit, and the form that near-duplicates share."""

import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from dialogue_gym.tasks.base import Brief, Fact

STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "a about after all also an and are as at be been before but by can did do does each every for "
        "from get gets had has have he her hers him his how i if in into is it its left many more much my "
        "no not of off on one or our out per she so some than that the their them then there these they "
        "this those to up was we were what when where which while who will with would you your",
    )
)
_SMALL = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_LARGE = (
    "thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy"
)
_CARDINALS = "|".join((*_SMALL, _LARGE, "seventy|eighty|ninety|hundred|thousand|million"))
# "third" alone is mostly an ordinal
_RELATIONS = "half|third(?= (?:of|as|that))|thirds|quarter|quarters|twice|thrice|double|triple|dozen|dozens"
# possessive, so that "20th" is not read as 2
_DIGITS = r"[$€£]?(?:\d++(?:,\d{3})*+(?::\d\d)?+(?:\.\d++)?+|\.\d++)(?:/\d++)?+%?(?!(?:st|nd|rd|th)\b)"
_NUMBER = re.compile(rf"{_DIGITS}|\b(?:{_CARDINALS}|{_RELATIONS})\b", re.IGNORECASE)
_RELATION = re.compile(rf"\b(?:{_RELATIONS})\b", re.IGNORECASE)
# a mark, perhaps a closing quote, then white space, but not after "Mr." and the like
_SENTENCE_END = re.compile(r"(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bMrs\.)(?<!\bSt\.)(?<=[.!?])[\"'”’)]*\s+")
_CLAUSE_END = re.compile(r"(?:;|,? (?:and|but|while|then)(?: then)?) ")
_CLAUSE_WINDOW = 300  # characters looked at on each side of a conjunction, so that huge texts stay fast
_QUESTION_START = re.compile(r",\s+(?=(?:then )?(?:how|what|who|which|when|where|calculate|find)\b)", re.I)
_CONDITION = re.compile(r",? (?=(?:if|given that|assuming|when|considering)\b)", re.I)
_COUNTED = re.compile(
    r"\bhow many (?:(?:more|fewer|less|total|of|the|his|her|their|different) )*+"
    r"(?!(?:do|does|did|is|are|were)\b)([a-z]+)",
    re.I,
)


def canonical_form(text: str) -> str:
    """What near-duplicates share: lower-case words, with numbers masked as 0 and names as N.

    A name is a run of capitalised words that are not among the commonest words of English.

    Example:
        >>> canonical_form("Tom  has 12 marbles.") == canonical_form("Mary Ann has five marbles!")
        True
        >>> canonical_form("How many does Tom have?")
        'how many does N have'
    """
    text = re.sub(r"\b[’']s\b", "", unicodedata.normalize("NFKC", text))
    out: list[str] = []
    for word in re.findall(r"\w+", _NUMBER.sub(" 0 ", text)):
        masked = "N" if word[0].isupper() and word.lower() not in STOPWORDS else word.lower()
        if not (masked in ("N", "0") and out and out[-1] == masked):
            out.append(masked)
    return " ".join(out)


def brief_of_question(question: str) -> Brief:
    """Take a word problem apart: the final question is the goal, every clause with a number a fact.

    A sentence without a number is told along with the fact after it, or else with the last one, so
    that goal and facts together hold the whole problem.

    Example:
        >>> brief = brief_of_question("Tom likes games. He has 12 marbles. He wins 5. How many is that?")
        >>> brief.goal, [fact.value for fact in brief.facts], brief.facts[0].vague
        ('How many is that?', ['12', '5'], 'Tom likes games. He has some marbles')
    """
    sentences = [part for part in _SENTENCE_END.split(" ".join(question.split())) if part]
    asked = max((i for i, part in enumerate(sentences) if part.endswith("?")), default=len(sentences) - 1)
    condition, goal = _split_goal(sentences.pop(asked))
    statements = [clause for sentence in [*sentences, *condition] for clause in _clauses(sentence)]
    texts = _with_context([text.rstrip(".,; ") for text in statements])
    if not any(map(_NUMBER.search, texts)):
        goal, texts = " ".join([*statements, goal]), []
    return Brief(goal, _number_facts(texts), question, unit=_unit(goal, question))


def _unit(goal: str, question: str) -> str:
    counted = _COUNTED.search(goal)
    if counted:
        return counted[1].lower()
    money = re.search(r"\$|\bdollar", question if re.search(r"\bhow much\b", goal, re.I) else goal, re.I)
    return "dollars" if money else ""


def _split_goal(sentence: str) -> tuple[list[str], str]:
    """Conditions with numbers, told before or after the question proper, and the question."""
    number = _NUMBER.search(sentence)
    starts = [mark for mark in _QUESTION_START.finditer(sentence) if number and number.end() <= mark.start()]
    if starts:
        goal = sentence[starts[-1].end() :]
        return [sentence[: starts[-1].start()]], goal[0].upper() + goal[1:]
    condition = _CONDITION.search(sentence, 1)
    if condition and _NUMBER.search(sentence, condition.end()):
        return [sentence[condition.end() :].rstrip("?. ")], sentence[: condition.start()] + "?"
    return [], sentence


def _clauses(sentence: str) -> list[str]:
    """Cut where a conjunction joins clauses of four words and a number each, not two bare numbers."""
    clauses, start = [], 0
    for mark in _CLAUSE_END.finditer(sentence):
        before = sentence[max(start, mark.start() - _CLAUSE_WINDOW) : mark.start()]
        after = sentence[mark.end() : mark.end() + _CLAUSE_WINDOW]
        beside_number = _NUMBER.match(after) or _NUMBER.fullmatch(before.rpartition(" ")[2])
        if not beside_number and _stands_alone(before) and _stands_alone(after):
            clauses.append(sentence[start : mark.start()])
            start = mark.end()
    return [*clauses, sentence[start:]]


def _stands_alone(clause: str) -> bool:
    return _NUMBER.search(clause) is not None and clause.count(" ") >= 3


def _with_context(texts: Sequence[str]) -> list[str]:
    """Join each text without a number to the next that has one, or to the last."""
    joined: list[str] = []
    waiting: list[str] = []
    for text in texts:
        waiting.append(text)
        if _NUMBER.search(text):
            joined.append(". ".join(waiting))
            waiting = []
    if waiting:
        joined.append(". ".join([*joined[-1:], *waiting]))
        del joined[-2:-1]
    return joined


def _number_facts(texts: Sequence[str]) -> tuple[Fact, ...]:
    values: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        # where two facts have the same number, the later takes in words until the values differ
        fresh = next((value for value in _ways_to_say(text) if value not in values), None)
        if fresh is not None:
            values[fresh] = text
    return tuple(
        Fact(
            name=f"fact {i}",
            value=value,
            text=text,
            vague="" if _RELATION.search(text) else _NUMBER.sub("some", text),
            slip=_slip(value, values),
            topics=topic_words(text),
        )
        for i, (value, text) in enumerate(values.items(), 1)
    )


def _ways_to_say(text: str) -> Iterator[str]:
    """The stretch of ``text`` from its first number to its last, then longer ones, then all of it."""
    numbers = list(_NUMBER.finditer(text))
    start, end = numbers[0].start(), numbers[-1].end()
    yield text[start:end]
    for word in re.finditer(r"\S+", text[end:]):
        yield text[start : end + word.end()].rstrip(",.;")
    yield text


def _slip(value: str, taken: Mapping[str, str]) -> str:
    """The value with its first number one or more too high; "" where none can be raised ("half")."""
    match = re.search(rf"\d{{1,15}}|\b(?:{'|'.join(_SMALL[:-1])})\b", value)
    if match is None:
        return ""
    higher = _SMALL[_SMALL.index(match[0]) + 1 :] if match[0] in _SMALL else _above(int(match[0]))
    slips = (value[: match.start()] + number + value[match.end() :] for number in higher)
    return next((slip for slip in slips if slip not in taken), "")


def _above(number: int) -> Iterator[str]:
    return map(str, itertools.count(number + 1))


def topic_words(text: str) -> tuple[str, ...]:
    """The words of a text that a question about it may use: lower case, three letters or more, no numbers."""
    words = re.findall(r"[a-z]{3,}", _NUMBER.sub(" ", text).lower())
    return tuple(dict.fromkeys(word for word in words if word not in STOPWORDS))
