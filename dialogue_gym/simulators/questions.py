"""What an agent asks for: free English against the facts of a brief.

``requests`` finds the parts of a message that ask, ``fact_profiles`` knows what a question about each
fact would say, and this file brings them together.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dialogue_gym.simulators.fact_profiles import BriefProfile, Profile, profile
from dialogue_gym.simulators.lexicon import (
    ASKING,
    AUXILIARIES,
    EACH,
    ELSEWHERE,
    FILLERS,
    GENERIC,
    LIGHT,
    NEGATIONS,
    ONE,
    OPEN,
    POINTING,
    QUANTITY,
    STOP,
    stem,
    stems,
)
from dialogue_gym.simulators.requests import Sentence, read
from dialogue_gym.tasks.base import Brief, Fact  # noqa: F401

_WHAT = stems("what which")
_PEOPLE = stems(
    "people guest visitor everyone everybody buyer customer member student participant attendee "
    "friend person child"
)
_ASKS_AMOUNT = QUANTITY | EACH | stems("start begin capacity")
_NUMERALS = stems("one two three four")
_WEAK = stems("have")
_PASSIVE = ("have", "be")
_CHOSEN = stems("who where when")
_CARRIED = stems("bring contribute carry eat drink")
_MANY = stems("many much")
_COUNTS = stems("number amount quantity count total sum")
_NAME = stem("name")
_VAGUE_NOUNS = stems(
    "thing item object piece unit kind type sort one number amount quantity count total figure"
)
_TEXT = stems("question problem message text notice statement request worksheet page story exercise")
_LINK = (
    STOP | FILLERS | AUXILIARIES | stems("type sort kind exact precise specific particular exactly correct")
)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a message asks for.

    Attributes:
        facts: names of the facts asked for, in the order of the brief.
        generic: whether it asks for what is missing without naming it.
        other: whether it asks something that no fact answers.
    """

    facts: tuple[str, ...] = ()
    generic: bool = False
    other: bool = False


@dataclass(slots=True)
class _Match:
    """What a segment names: facts, or else the goal, something foreign, or an amount left open."""

    names: tuple[str, ...] = ()
    closed: bool = False
    amount: bool = False
    goal: bool = False
    strong: bool = True


def recognise(message: str, brief: Brief, held: Collection[str] = ()) -> Inquiry:
    """Which facts of ``brief`` the message asks for.

    Args:
        message: what the agent said; its first 4,000 characters count.
        brief: what the user knows.
        held: names of facts not told yet. When it is one amount, a question for an amount that names
            nothing else means it.

    Example:
        >>> brief = Brief(
        ...     "How many eggs are there?",
        ...     (
        ...         Fact("groups", "6", "there are 6 boxes", topics=("boxes", "box")),
        ...         Fact("each", "4", "each box has 4 eggs", topics=("each", "per", "inside")),
        ...     ),
        ...     "",
        ... )
        >>> recognise("Sure! How many boxes are there?", brief).facts
        ('groups',)
        >>> recognise("Each box has some eggs, so we multiply.", brief)
        Inquiry(facts=(), generic=False, other=False)
        >>> recognise("How many?", brief, held=("each",)).facts
        ('each',)
    """
    sentences = read(message)
    if not any(sentence.asks for sentence in sentences):
        return Inquiry()
    known = profile(brief)
    found: set[str] = set()
    generic = other = False
    for i, sentence in enumerate(sentences):
        if sentence.asks:
            names, is_generic = _sentence(sentences, i, known, held)
            found.update(names)
            generic |= is_generic
            other |= not names and not is_generic
    ordered = tuple(fact.name for fact in brief.facts if fact.name in found)
    return Inquiry(ordered, generic and not ordered, other and not ordered and not generic)


def _sentence(
    sentences: Sequence[Sentence], at: int, known: BriefProfile, held: Collection[str]
) -> tuple[set[str], bool]:
    """The facts that a sentence asks for, and whether it asks for what is missing."""
    asking = [segment for segment in sentences[at].segments if segment.asks]
    matches = [_match(segment.words, known) for segment in asking]
    if any(match.goal for match in matches):
        matches = [match for match in matches if match.strong]
    names = {name for match in matches for name in match.names}
    if names:
        return names, False
    words = {word for segment in asking for word in segment.words}
    if any(match.closed for match in matches):
        return set(), False
    if words.isdisjoint(OPEN) and _points_back(words):
        names = _looking_back(sentences, at, known)
        if names:
            return names, False
    if any(segment.numbers for segment in asking):
        return set(), False
    if any(match.amount for match in matches):
        open_amounts = [fact.name for fact in known.facts if fact.numeric and fact.name in held]
        if len(open_amounts) == 1:
            return set(open_amounts), False
        if known.amounts:
            return set(), True
    return set(), not words.isdisjoint(GENERIC) or (not words.isdisjoint(_WHAT) and _points_back(words))


def _points_back(words: set[str]) -> bool:
    """Whether the words have no content of their own, so that they are about what was said before."""
    return not words - STOP - POINTING - NEGATIONS - _NUMERALS - GENERIC - QUANTITY - _LINK - _TEXT


def _looking_back(sentences: Sequence[Sentence], at: int, known: BriefProfile) -> set[str]:
    """What the parts before the request name: those of its own sentence, then the sentence before."""
    own = [segment for segment in sentences[at].segments if not segment.asks and not segment.numbers]
    before = sentences[at - 1] if at else Sentence()
    told = [s for s in before.segments if not s.numbers or before.question]
    for segments in (own, told):
        names = {name for segment in segments for name in _match(segment.words, known, True).names}
        if names:
            return names
    return set()


def _match(words: Sequence[str], known: BriefProfile, mentioned: bool = False) -> _Match:
    """What the words ask for or, when only mentioned, are about."""
    return _amounts(words, known, mentioned) if known.amounts else _details(words, known)


def _amounts(words: Sequence[str], known: BriefProfile, mentioned: bool) -> _Match:
    """The amounts of a word problem that a segment names."""
    # in "has been given" it owns nothing
    words = [word for i, word in enumerate(words) if tuple(words[i : i + 2]) != _PASSIVE]
    asked = set(words)
    amounts = [fact for fact in known.facts if fact.numeric]
    quantity = not _ASKS_AMOUNT.isdisjoint(asked)
    if (
        not quantity
        and not mentioned
        and (not ASKING.isdisjoint(asked) or (words[:1] and words[0] in AUXILIARIES))
    ):
        return _Match()
    per, asked = _per_thing(words, amounts)
    if per:
        facts = [fact for fact in amounts if fact.each]
        if facts:
            return _Match(_best(facts, asked) or tuple(fact.name for fact in facts))
        if known.goal_each:
            return _Match(closed=True)
    head, foreign = _counted(words, amounts)
    candidates = [fact for fact in amounts if head in fact.counted] or amounts
    names = _best(candidates, asked)
    same = not head or head in known.goal_counted
    strong = _strong(candidates, asked - known.closing - known.goal)
    if quantity and same and not known.closing.isdisjoint(asked) and not strong:
        return _Match(closed=True, goal=True)
    if names:
        return _Match(names, strong=strong)
    if not head and "much" in asked and known.goal_only.isdisjoint(asked):
        names = tuple(fact.name for fact in amounts if "dollar" in fact.counted)
        if len(names) == 1:
            return _Match(names)
    if same and not known.goal_only.isdisjoint(asked):
        return _Match(closed=True)
    if head and len(candidates) == 1:
        return _Match((candidates[0].name,))
    if per and len(amounts) > 1 and head:
        return _Match(tuple(fact.name for fact in candidates))
    return _Match(amount=quantity and not foreign, closed=foreign)


def _per_thing(words: Sequence[str], amounts: Sequence[Profile]) -> tuple[bool, set[str]]:
    """Whether an amount per thing is meant, and the words without the thing ("each box")."""
    things = frozenset().union(*(fact.counted for fact in amounts if not fact.each))
    left: list[str] = []
    per = False
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        if word in things and (before in EACH or before in ONE):
            per = True
        else:
            left.append(word)
            per |= word in EACH
    price = any(fact.each and "cost" in fact.nouns for fact in amounts)
    per |= price and not _PRICED.isdisjoint(words)
    return per, set(left)


_PRICED = stems("price cost costs priced pricing charge worth expensive")


def _counted(words: Sequence[str], amounts: Sequence[Profile]) -> tuple[str, bool]:
    """The thing whose number is asked for ("" when none is named), and whether no fact counts it."""
    things = frozenset().union(*(fact.counted for fact in amounts))
    for i, word in enumerate(words):
        if word in _MANY or word in _COUNTS:
            if i and word in _COUNTS and words[i - 1] in things:
                return words[i - 1], False
            for noun in words[i + 1 :]:
                if noun in things:
                    return noun, False
                if noun in AUXILIARIES:
                    break
    for i, word in enumerate(words):
        if word in _MANY and i + 1 < len(words) and words[i + 1] not in _LINK | _VAGUE_NOUNS:
            return "", True
    return next((word for word in words if word in things), ""), False


def _best(facts: Iterable[Profile], asked: set[str]) -> tuple[str, ...]:
    """The facts that most of the words point at."""
    scores = {
        fact.name: sum(fact.cues.get(word, 0.0) * (0.5 if word in LIGHT else 1) for word in asked)
        for fact in facts
    }
    top = max(scores.values(), default=0.0)
    return tuple(name for name, score in scores.items() if score and score >= 0.75 * top)


def _strong(facts: Iterable[Profile], asked: set[str]) -> bool:
    """Whether a fact's own verb stands there, not only a word such as "have"."""
    return any(fact.cues.get(word, 0.0) >= 0.3 for fact in facts for word in asked - _WEAK - fact.counted)


def _details(words: Sequence[str], known: BriefProfile) -> _Match:
    """The facts of a text that a segment names."""
    wh = next((word for word in words if word in ASKING), "")
    if wh in ("who", "where", "when", "why"):
        return _by_question_word(wh, words, known)
    if wh == "how" and len(words) > words.index(wh) + 1 and words[words.index(wh) + 1] in _MANY:
        return _how_many(words, known)
    if wh in ("what", "which") and _foreign(words[words.index(wh) + 1 :], known):
        return _Match(closed=True)
    facts = known.facts
    if not wh and words[:1] and words[0] in AUXILIARIES:
        facts = tuple(fact for fact in facts if not _CHOSEN.isdisjoint(fact.asked) or fact.numeric)
    named = _named(words, facts)
    if named:
        return _Match(named)
    if facts is not known.facts:
        return _Match(
            tuple(f.name for f in known.facts if "bring" in f.cues and not _CARRIED.isdisjoint(words))
        )
    pointed = [fact for fact in known.facts if not wh or wh in ("how", "which") or wh in fact.asked]
    names = _best(pointed, set(words))
    return _Match(names, closed=False)


def _by_question_word(wh: str, words: Sequence[str], known: BriefProfile) -> _Match:
    facts = [fact for fact in known.facts if wh in fact.asked]
    values = {word for fact in facts for word in fact.value}
    if not facts or not (ELSEWHERE[wh] - values).isdisjoint(words):
        return _Match(closed=True)
    if len(facts) > 1 and wh != "when":
        facts = [fact for fact in facts if fact.name in _best(facts, set(words))] or facts
    return _Match(tuple(fact.name for fact in facts))


def _how_many(words: Sequence[str], known: BriefProfile) -> _Match:
    facts = [fact for fact in known.facts if fact.numeric]
    if "much" in words:
        prices = tuple(fact.name for fact in facts if fact.each)
        return _Match(prices, closed=not prices)
    names = tuple(fact.name for fact in facts if not fact.counted.isdisjoint(words))
    return _Match(names, closed=not names)


def _foreign(after: Sequence[str], known: BriefProfile) -> bool:
    """Whether "what ..." goes on with a noun that no fact knows ("what kind of music")."""
    rest = [word for word in after if word not in FILLERS]
    kind = rest[:1] and rest[0] in ("type", "sort")
    rest = [word for word in rest[1 if kind else 0 :] if word not in ("of", "the")]
    if (
        not rest
        or rest[0] in _LINK
        or rest[0] in GENERIC
        or rest[0] in _VAGUE_NOUNS
        or rest[0] in POINTING | _PEOPLE | OPEN
    ):
        return False
    return not any(rest[0] in fact.nouns or rest[0] in fact.cues for fact in known.facts)


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
    if words[first] == _NAME and first and any(words[first - 1] in fact.value for fact in facts):
        return ()
    last = 0
    while last + 1 < len(owners) and owners[last + 1][0] == owners[last][0] + 1:
        last += 1
    return owners[last][1]
