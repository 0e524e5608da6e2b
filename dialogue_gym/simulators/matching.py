"""Which facts the words of one clause name: the amounts of a word problem, the details of a text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dialogue_gym.simulators.fact_profiles import BriefProfile, Profile
from dialogue_gym.simulators.lexicon import (
    ASKING,
    AUXILIARIES,
    COUNTS,
    EACH,
    ELSEWHERE,
    EMPTY,
    FINAL,
    GENERIC,
    MANY,
    ONE,
    PRICE,
    QUANTITY,
    SPANS,
    stem,
    stems,
)

_LIGHT = stems("get have take put more make")
_WEAK = stems("have")
_PASSIVE = ("have", "be")
_CARRIED = stems("bring contribute carry eat drink")
_SIZES = stems("big large full")
_KINDS = stems("kind type sort")
_GENERIC_NOUNS = GENERIC - stems("all more else")
_NAME = stem("name")


@dataclass(slots=True)
class Match:
    """What a clause names: facts, or the goal, or something foreign, or an amount left open."""

    names: tuple[str, ...] = ()
    closed: bool = False
    amount: bool = False
    goal: bool = False
    strong: bool = True


def amounts(words: list[str], known: BriefProfile, bare: bool, mentioned: bool) -> Match:
    """The amounts of a word problem that a clause names."""
    # in "has been given" it owns nothing
    words = [word for i, word in enumerate(words) if tuple(words[i : i + 2]) != _PASSIVE]
    asked = set(words)
    amounts = [fact for fact in known.facts if fact.numeric]
    priced = any(fact.price for fact in amounts)
    quantity = not (QUANTITY | EACH | (PRICE if priced else frozenset())).isdisjoint(asked)
    if words[:2] == ["how", "long"]:
        names = tuple(fact.name for fact in amounts if not (fact.price or SPANS.isdisjoint(fact.counted)))
        return Match(names, closed=not names)
    if not mentioned and _off_topic(words, known, bare, quantity, priced):
        return Match(closed=True)
    if "all" in asked and not _GENERIC_NOUNS.isdisjoint(asked):
        return Match(amount=True)
    things = frozenset().union(*(fact.counted for fact in amounts))
    plain = not quantity and not mentioned and not ASKING.isdisjoint(asked)
    plain = plain and not things.isdisjoint(asked)
    words = [word for word in words if word not in things] if plain else words
    per, asked = _per_thing(words, amounts)
    if per:
        facts = [fact for fact in amounts if fact.each]
        if facts:
            return Match(_best(facts, asked) or tuple(fact.name for fact in facts))
        if known.goal_each:
            return Match(closed=True)
    if plain and not _strong(amounts, asked, 0.9):
        return Match(closed=True)
    head, foreign = _counted(words, amounts)
    candidates = [fact for fact in amounts if head in fact.counted] or amounts
    names = _best(candidates, asked)
    same = not head or head in known.goal_counted
    strong = _strong(candidates, asked - known.closing - known.goal)
    if quantity and same and not known.closing.isdisjoint(asked) and not strong:
        return Match(closed=True, goal=True)
    if names:
        return Match(names, strong=strong)
    if not head and "much" in asked and known.goal_only.isdisjoint(asked):
        names = tuple(fact.name for fact in amounts if "dollar" in fact.counted)
        if len(names) == 1:
            return Match(names)
    if same and not known.goal_only.isdisjoint(asked):
        return Match(closed=True)
    if head and len(candidates) == 1:
        return Match((candidates[0].name,))
    if per and len(candidates) > 1 and not foreign:
        return Match(tuple(fact.name for fact in candidates))
    return Match(amount=quantity and not foreign, closed=foreign)


def _off_topic(words: Sequence[str], known: BriefProfile, bare: bool, quantity: bool, priced: bool) -> bool:
    """Whether a question is about something other than the amounts of the brief."""
    wh = next((i for i, word in enumerate(words) if word in ASKING), None)
    if not priced and not PRICE.isdisjoint(words):
        return True
    if bare and words[0] in AUXILIARIES:
        return not quantity
    if wh is None:
        return False
    if words[wh] in ("who", "where", "when", "why"):
        return True
    after = words[wh + 1 : wh + 2]
    if after and after[0] in _KINDS:
        return True
    if words[wh] == "how":
        return bool(after) and after[0] not in MANY and after[0] not in _SIZES and not quantity
    return bool(after) and after[0] not in known.vocabulary


def _per_thing(words: Sequence[str], amounts: Sequence[Profile]) -> tuple[bool, set[str]]:
    """Whether an amount per thing is meant, and the words without the thing ("each box")."""
    things = frozenset().union(*(fact.counted for fact in amounts if not fact.each))
    counted = frozenset().union(*(fact.counted for fact in amounts if fact.each))
    # "did he buy one bag?" is about no bag's content
    marks = EACH | ONE if not (ASKING | QUANTITY | PRICE | counted).isdisjoint(words) else EACH
    left: list[str] = []
    per = False
    for i, word in enumerate(words):
        if i and word in things and words[i - 1] in marks:
            per = True
        else:
            left.append(word)
            per |= word in EACH
    per |= any(fact.price for fact in amounts) and not PRICE.isdisjoint(words)
    return per, set(left)


def _counted(words: Sequence[str], amounts: Sequence[Profile]) -> tuple[str, bool]:
    """The thing whose number is asked for ("" when none is named), and whether no fact counts it."""
    things = frozenset().union(*(fact.counted for fact in amounts))
    for i, word in enumerate(words):
        if word in MANY or word in COUNTS:
            if i and word in COUNTS and words[i - 1] in things:
                return words[i - 1], False
            for noun in words[i + 1 :]:
                if noun in things:
                    return noun, False
                if noun in AUXILIARIES or noun == "the":
                    break
    for i, word in enumerate(words):
        if word in MANY and i + 1 < len(words) and words[i + 1] not in EMPTY | FINAL:
            return "", not any(words[i + 1] in fact.cues for fact in amounts)
    return next((word for word in words if word in things), ""), False


def _best(facts: Iterable[Profile], asked: set[str]) -> tuple[str, ...]:
    """The facts that most of the words point at."""
    scores = {
        fact.name: sum(fact.cues.get(word, 0.0) * (0.5 if word in _LIGHT else 1) for word in asked)
        for fact in facts
    }
    top = max(scores.values(), default=0.0)
    return tuple(name for name, score in scores.items() if score and score >= 0.75 * top)


def _strong(facts: Iterable[Profile], asked: set[str], least: float = 0.3) -> bool:
    """Whether a fact's own verb stands there, not only a word such as "have"."""
    return any(fact.cues.get(word, 0.0) >= least for fact in facts for word in asked - _WEAK - fact.counted)


def details(words: list[str], known: BriefProfile, bare: bool) -> Match:
    """The facts of a text that a clause names."""
    wh = next((word for word in words if word in ASKING), "")
    if wh in ("who", "where", "when", "why"):
        return _by_question_word(wh, words, known)
    after = words[words.index(wh) + 1 :] if wh else []
    if wh == "how" and after and after[0] in MANY:
        return _how_many(words, known)
    if _foreign(after, known):
        return Match(closed=True)
    if not PRICE.isdisjoint(words) and not any(fact.price for fact in known.facts):
        return Match(closed=True)
    named = _named(words, known.facts)
    if named or _NAME in words:
        return Match(named, closed=not named)
    if bare and words[0] in AUXILIARIES:
        items = (f.name for f in known.facts if "bring" in f.cues and not _CARRIED.isdisjoint(words))
        return Match(tuple(items))
    fitting = (fact for fact in known.facts if wh in ("", "how", "which") or wh in fact.asked)
    return Match(_best(fitting, set(words)))


def _by_question_word(wh: str, words: Sequence[str], known: BriefProfile) -> Match:
    facts = [fact for fact in known.facts if wh in fact.asked]
    values = {word for fact in facts for word in fact.value}
    if not facts or not (ELSEWHERE[wh] - values).isdisjoint(words):
        return Match(closed=True)
    if len(facts) > 1 and wh != "when":
        facts = [fact for fact in facts if fact.name in _best(facts, set(words))] or facts
    return Match(tuple(fact.name for fact in facts))


def _how_many(words: Sequence[str], known: BriefProfile) -> Match:
    facts = [fact for fact in known.facts if fact.numeric]
    if "much" in words:
        names = tuple(fact.name for fact in facts if fact.price)
    else:
        names = tuple(fact.name for fact in facts if not fact.counted.isdisjoint(words))
    return Match(names, closed=not names)


def _foreign(after: Sequence[str], known: BriefProfile) -> bool:
    """Whether "what ..." goes on with a noun that no fact knows ("what kind of music")."""
    rest = [word for word in after if word not in _KINDS and word not in ("of", "the")]
    return bool(rest) and rest[0] not in known.vocabulary


def _named(words: Sequence[str], facts: Sequence[Profile]) -> tuple[str, ...]:
    """The facts whose noun stands first; of nouns side by side the last ("sale location")."""
    owners: list[tuple[int, tuple[str, ...]]] = []
    for i, word in enumerate(words):
        names = tuple(fact.name for fact in facts if word in fact.nouns and word not in fact.value)
        if names:
            owners.append((i, names))
    if not owners:
        return ()
    first = owners[0][0]
    if words[first] == _NAME and len(owners) > 1:
        return owners[1][1]
    owners = [owner for owner in owners if words[owner[0]] != _NAME] or owners
    if words[first] == _NAME and first and any(words[first - 1] in fact.value for fact in facts):
        return ()
    last = 0
    while last + 1 < len(owners) and owners[last + 1][0] == owners[last][0] + 1:
        last += 1
    return owners[last][1]
