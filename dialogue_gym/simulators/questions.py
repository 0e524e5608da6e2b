"""What an agent asks for: free English against the facts of a brief.

``requests`` finds the clauses of a message that ask, ``fact_profiles`` knows what a question about each
fact would say, ``matching`` compares them, and this file brings them together. A clause names facts by its
words, else by those around it; a fact whose value the message states is not asked for; a request that
names nothing and holds no foreign word is for whatever is missing.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dialogue_gym.simulators.fact_profiles import BriefProfile, profile
from dialogue_gym.simulators.lexicon import (
    EACH,
    EMPTY,
    GENERIC,
    JUDGING,
    OPEN,
    STOP,
    mend,
    stems,
)
from dialogue_gym.simulators.matching import Match, amounts, details
from dialogue_gym.simulators.requests import Clause, Sentence, normal, read
from dialogue_gym.tasks.base import Brief

_NUMERAL = {
    w: str(n) for n, w in enumerate("three four five six seven eight nine ten eleven twelve".split(), 3)
}
_STATED = re.compile(rf"\d+(?:\.\d+)?|\b(?:{'|'.join(_NUMERAL)})\b(?! (?:thing|number|question|piece|value))")
_WHAT = stems("what which")
_SMALL = STOP - EACH - stems("more than")
_BOTH = stems("both two")
_CHOICE = stems("else other")


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


def recognise(message: str, brief: Brief, held: Collection[str] = ()) -> Inquiry:
    """Which facts of ``brief`` the message asks for.

    Args:
        message: what the agent said; its first 4,000 characters count.
        brief: what the user knows.
        held: names of facts not told yet. When it is one amount, a question for an amount that names
            nothing else means it.

    Example:
        >>> from dialogue_gym.tasks.base import Fact
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
    text = normal(message)
    sentences = read(text)
    if not any(sentence.asks for sentence in sentences):
        return Inquiry()
    reader = _Reader(sentences, profile(brief), _stated(text, brief), held)
    generic = other = False
    asking = [i for i, sentence in enumerate(sentences) if sentence.asks]
    matches = {i: reader.named(i) for i in asking}
    found = {name for names, _ in matches.values() for name in names}
    for i in () if found else asking:
        names, is_generic = reader.implied(i, matches[i][1])
        found |= names
        generic |= is_generic
        other |= not names and not is_generic
    ordered = tuple(fact.name for fact in brief.facts if fact.name in found)
    return Inquiry(ordered, generic and not ordered, other and not ordered and not generic)


def _stated(text: str, brief: Brief) -> frozenset[str]:
    """The facts whose values the message states."""
    numbers = {_NUMERAL.get(number, number) for number in _STATED.findall(text)}
    return frozenset(
        fact.name
        for fact in brief.facts
        if (fact.value in numbers if fact.value.isdigit() else _says(text, fact.value.lower()))
    )


def _says(text: str, value: str) -> bool:
    return value in text and re.search(rf"\b{re.escape(value)}\b", text) is not None


def _close(matches: list[Match], asking: Sequence[Clause]) -> None:
    """Close what goes on with something foreign: "what brand and model", "is he tall or the host?"."""
    bare = any(match.closed and clause.bare for match, clause in zip(matches, asking, strict=True))
    bare &= all(_CHOICE.isdisjoint(clause.words) for clause in asking)
    for i, clause in enumerate(asking):
        foreign = i and matches[i - 1].closed and not _WHAT.isdisjoint(asking[i - 1].words)
        goes_on = clause.joint == "and" and _SMALL.isdisjoint(clause.words[:1])
        if (foreign and goes_on) or (bare and clause.bare and clause.joint != "but"):
            matches[i] = Match(closed=True)


@dataclass(slots=True)
class _Reader:
    """One message against one brief."""

    sentences: Sequence[Sentence]
    known: BriefProfile
    stated: frozenset[str]
    held: Collection[str]

    def named(self, at: int) -> tuple[set[str], list[Match]]:
        """The facts that the asking clauses of a sentence name, and what they match."""
        asking = [clause for clause in self.sentences[at].clauses if clause.asks]
        matches = [self._match(clause) for clause in asking]
        _close(matches, asking)
        if self._is_goal({word for clause in asking for word in self._words(clause)}):
            return set(), [Match(closed=True)]
        if any(match.goal for match in matches):
            matches = [match for match in matches if match.strong]
        names = {name for match in matches for name in match.names}
        if not self._alternatives(at):
            matches += [Match(closed=True)] * bool(names & self.stated)
            names -= self.stated
        return names, matches

    def implied(self, at: int, matches: Sequence[Match]) -> tuple[set[str], bool]:
        """The facts that a sentence asks for without naming them, and whether it asks for what is missing."""
        if any(match.closed for match in matches):
            return set(), False
        asking = [clause for clause in self.sentences[at].clauses if clause.asks]
        words = {word for clause in asking for word in self._words(clause)}
        if not words and at and self.sentences[at - 1].asks:  # "Was it raining? Just curious!"
            return set(), False
        if words.isdisjoint(OPEN) and not words - EMPTY - self.known.goal_counted:
            names = self._looking_back(at)
            if names:
                return names, False
        if any(match.amount for match in matches) and "all" not in words:
            return self._open_amounts(not _BOTH.isdisjoint(words))
        vague = not words.isdisjoint(GENERIC) or (not words.isdisjoint(_WHAT) and words <= EMPTY)
        vague = vague and words <= self.known.vocabulary
        return set(), vague and not all(clause.bare for clause in asking)

    def _is_goal(self, words: set[str]) -> bool:
        """Whether the words are those of the goal, or a part of them with a word such as "together"."""
        words, goal = words - _SMALL, self.known.goal - _SMALL
        return bool(words) and (words == goal or (words < goal and not words.isdisjoint(self.known.closing)))

    def _alternatives(self, at: int) -> bool:
        """Whether the values are alternatives of a question ("on Saturday, Sunday, or some other day?")."""
        clauses = self.sentences[at].clauses
        return self.sentences[at].question and any(clause.bare for clause in clauses)

    def _open_amounts(self, both: bool) -> tuple[set[str], bool]:
        """An amount that nothing names is the one not told yet, or not stated, where only one is left."""
        numeric = [fact.name for fact in self.known.facts if fact.numeric]
        left = [name for name in numeric if name not in self.stated]
        if both and len(numeric) == 2:
            return set(left), False
        for names in ([name for name in left if name in self.held], left):
            if len(names) == 1:
                return set(names), False
        return set(), self.known.amounts

    def _looking_back(self, at: int) -> set[str]:
        """What the words around the request name: its own sentence, the one before, the whole message."""
        own = [clause for clause in self.sentences[at].clauses if not clause.asks]
        before = self.sentences[at - 1].clauses if at else []
        told = [c for sentence in self.sentences for c in sentence.clauses if not c.asks]
        for clauses in (own, before, told):
            names = {name for c in clauses for name in self._match(c, True).names} - self.stated
            if names:
                return names
        return set()

    def _words(self, clause: Clause) -> list[str]:
        known = self.known
        return [word if word in known.vocabulary else mend(word, known.mends) for word in clause.words]

    def _match(self, clause: Clause, mentioned: bool = False) -> Match:
        """What a clause asks for or, when only mentioned, is about."""
        words = self._words(clause)
        bare = clause.bare and not mentioned
        unknown = _CHOICE.isdisjoint(words) and not self.known.vocabulary.issuperset(words)
        if bare and (unknown or not JUDGING.isdisjoint(words)):
            return Match(closed=True)
        if clause.number and clause.asks and (not self.stated or not _WHAT.isdisjoint(words)):
            return Match(closed=True)
        if self.known.amounts:
            return amounts(words, self.known, bare, mentioned)
        return details(words, self.known, bare)
