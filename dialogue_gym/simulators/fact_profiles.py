"""What a question about each fact of a brief would say: words with weights, kinds, and the goal's words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from dialogue_gym.simulators.lexicon import (
    AMOUNTS,
    ASKING,
    AUXILIARIES,
    CONCEPTS,
    DAYS,
    DIFFERENCE,
    EACH,
    FILLERS,
    FINAL,
    GENERIC,
    JUDGING,
    NEUTRAL,
    ONE,
    OPENERS,
    POINTING,
    PRICE,
    QUANTITY,
    SAYING,
    STOP,
    THINGS,
    TOTAL,
    mending,
    stem,
    stems,
)
from dialogue_gym.tasks.base import Brief, Fact

_WORD = re.compile(r"[a-z']+")
_DAYTIME = re.compile(r"\d\s*(?:am|pm|a\.m|p\.m|o'clock)\b|\d:\d\d|\d/\d|\d(?:st|nd|rd|th)\b")
_OWN, _SAID, _MEANT = 1.0, 0.6, 0.5  # weights of a topic, a word of the clause, a word of like meaning
_NOW, _LEFT = stems("now"), stems("left remain remaining")
_NO_COUNT = STOP | FILLERS | stems("more other extra additional another new different of own equal equally")
_HAVE = stems("have own")
_GENERAL = (
    STOP
    | DAYS
    | NEUTRAL
    | FILLERS
    | AUXILIARIES
    | GENERIC
    | QUANTITY
    | POINTING
    | EACH
    | TOTAL
    | FINAL
    | OPENERS
    | SAYING
)
_EMPTY = STOP - _HAVE - stems("more")


@dataclass(slots=True)
class Profile:
    """How one fact is asked for.

    Attributes:
        name: the fact's name.
        numeric: whether its value is an amount.
        each: whether it is an amount per thing.
        price: whether it is an amount of money per thing.
        counted: what it counts, with words of the same meaning.
        asked: the question words that fit ("who", "where", ...).
        nouns: words that name it.
        cues: words that point at it, with weights.
        value: the words of its value, which never ask for it.
    """

    name: str
    numeric: bool
    each: bool = False
    price: bool = False
    counted: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    nouns: frozenset[str] = frozenset()
    cues: dict[str, float] = field(default_factory=dict)
    value: frozenset[str] = frozenset()


@dataclass(slots=True)
class BriefProfile:
    """The facts of a brief and its goal.

    Attributes:
        facts: in the order of the brief.
        amounts: whether this is about numbers (a word problem), not about a text.
        closing: words with which a question is the goal itself ("left", "altogether").
        goal_each: whether the goal is an amount per thing.
        goal_counted: what the goal counts.
        goal: the goal's words.
        goal_only: those that no fact has.
        vocabulary: the words that belong to the brief or to the general talk about it.
        mends: for words that are one slip of the finger away.
    """

    facts: tuple[Profile, ...]
    amounts: bool
    closing: frozenset[str]
    goal_each: bool
    goal_counted: frozenset[str]
    goal: frozenset[str]
    goal_only: frozenset[str]
    vocabulary: frozenset[str]
    mends: dict[str, set[str]]


@lru_cache(maxsize=4096)
def profile(brief: Brief) -> BriefProfile:
    """The profile of a brief; kept for those used last."""
    facts = tuple(_fact(fact) for fact in brief.facts)
    for fact in facts:  # what one fact says names no other
        others = frozenset().union(*(other.value for other in facts if other is not fact))
        fact.nouns -= others - fact.counted
        for word in others & fact.cues.keys() if not fact.numeric else ():
            del fact.cues[word]
    cues = {word for fact in facts for word in fact.cues}
    amounts = not brief.genre and sum(fact.numeric for fact in facts) * 2 > len(facts)
    if amounts:
        goal_each = not EACH.isdisjoint(_stems_of(brief.goal))
        for fact in facts if goal_each else ():
            if stem("start") in fact.cues:
                fact.cues.update((word, _OWN) for word in TOTAL)
        _discount([fact.cues for fact in facts if fact.numeric])
    goal = _stems_of(brief.goal)
    known = cues.union(*(fact.counted for fact in facts))
    goal_each = not EACH.isdisjoint(goal)
    told = {word for fact in brief.facts for word in _stems_of(fact.text)}
    vocabulary = _GENERAL.union(goal, told, known, *(fact.nouns | fact.value for fact in facts))
    return BriefProfile(
        facts,
        amounts,
        _closing(goal),
        goal_each,
        _counted_in_goal(goal),
        frozenset(goal),
        frozenset(goal) - known - STOP,
        vocabulary,
        mending(word for word in vocabulary - JUDGING if len(word) > 5 or word not in NEUTRAL),
    )


def _fact(fact: Fact) -> Profile:
    value = frozenset(_stems_of(fact.value))
    said = [word for word in _stems_of(fact.text) if word not in value]
    topics = frozenset(stem(word) for topic in fact.topics for word in _WORD.findall(topic.lower()))
    named = frozenset(_stems_of(fact.name)) - stems("fact change")
    numeric = bool(re.search(r"\d", fact.value)) and not _DAYTIME.search(fact.value.lower())
    if numeric:
        result = _amount(fact, topics, named, said)
    else:
        result = _detail(fact, topics, named, said)
    result.value = value
    return result


def _amount(fact: Fact, topics: frozenset[str], named: frozenset[str], said: Sequence[str]) -> Profile:
    cues = {word: _SAID for word in said if word not in STOP or word in _HAVE or word == stem("more")}
    alike = [line for line in AMOUNTS[1:] if not line.isdisjoint((*said, *named))]
    if stem("start") in topics | named or (not fact.topics and not _HAVE.isdisjoint(said)):
        alike.append(AMOUNTS[0])
    for line in alike:
        for word in line:
            cues.setdefault(word, _MEANT)
    cues.update((word, _OWN) for word in (topics | named) - ASKING - ONE - _EMPTY)
    each = not EACH.isdisjoint((*said, *topics, *named))
    counted = _counted(fact, said)
    price = not PRICE.isdisjoint((*said, *topics, *named)) or "$" in fact.value
    if price:
        counted |= THINGS[-1]
        cues.update((word, _OWN) for word in PRICE)
    return Profile(
        fact.name,
        True,
        each or price,
        price,
        counted,
        frozenset(),
        counted | (PRICE if price else frozenset()),
        cues,
    )


def _counted(fact: Fact, said: Sequence[str]) -> frozenset[str]:
    """The first noun after the number, with words of the same meaning."""
    _, _, after = fact.text.lower().partition(fact.value.lower())
    inside = _WORD.findall(fact.value.lower())
    for word in (*inside, *_WORD.findall(after)):
        if stem(word) not in _NO_COUNT:
            return _alike(stem(word))
    return frozenset()


def _alike(word: str) -> frozenset[str]:
    return frozenset((word,)).union(*(line for line in THINGS if word in line))


def _detail(fact: Fact, topics: frozenset[str], named: frozenset[str], said: Sequence[str]) -> Profile:
    marks = topics | named
    if not DAYS.isdisjoint(_stems_of(fact.value)):
        marks |= {"day"}
    elif _DAYTIME.search(fact.value.lower()):
        marks |= {stem("time")}
    concepts = [concept for concept in CONCEPTS if not concept.core.isdisjoint(marks)]
    nouns = frozenset().union(*(concept.nouns for concept in concepts))
    verbs = frozenset().union(*(concept.verbs for concept in concepts))
    own = marks - verbs - ASKING - STOP
    cues = {word: _SAID for word in said if word not in STOP} if not fact.topics else {}
    cues.update((word, _MEANT) for word in verbs)
    cues.update((word, _OWN) for word in marks - ASKING - STOP)
    asked = frozenset(concept.asked for concept in concepts if concept.asked)
    return Profile(fact.name, False, asked=asked | (topics & ASKING), nouns=nouns | own, cues=cues)


def _discount(tables: Sequence[dict[str, float]]) -> None:
    """A word that several facts share tells less of each; one that all share tells nothing."""
    count: dict[str, int] = {}
    for table in tables:
        for word in table:
            count[word] = count.get(word, 0) + 1
    for table in tables:
        for word in [word for word in table if len(tables) > 1 and count[word] > 1]:
            table[word] *= (len(tables) - count[word]) / len(tables)
            if not table[word]:
                del table[word]


def _closing(goal: Sequence[str]) -> frozenset[str]:
    """The words that mark a question as the goal, by what marks the goal itself."""
    words = set(goal)
    if words & EACH:
        return frozenset()
    if words & DIFFERENCE:
        return DIFFERENCE
    if words & _LEFT:
        return FINAL
    return FINAL | TOTAL


def _counted_in_goal(goal: Sequence[str]) -> frozenset[str]:
    many = stems("many much")
    for i, word in enumerate(goal):
        if word in many:
            return next((_alike(noun) for noun in goal[i + 1 :] if noun not in _NO_COUNT), frozenset())
    return frozenset()


def _stems_of(text: str) -> list[str]:
    words = _WORD.findall(text.lower().replace("in all", "altogether"))
    return [stem(word) for word in words]
