"""What an agent asks for: free English against the facts of a brief, by words and sentence shape."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dialogue_gym.tasks.base import Brief, Fact

_WORD = re.compile(r"[a-z0-9']+")
_SENTENCE = re.compile(r"[^.?!\n:;]*[.?!\n:;]?")
_MAX_CHARS = 4000  # people do not read more than that either

_WH = (
    r"(?:what|what's|whats|which|how many|how much|how long|when|where|where's|who|who's|whom|whose|how big)"
)
# A question for information: begins with (or contains after a comma) a question word, or asks to be told.
_ASKS = re.compile(
    rf"(?:^|[,\-–—]|\b(?:and|so|but|also|ok|okay|then|or|well|tell me|know|me|about|is|exactly|say|specify|share|"
    rf"clarify|confirm|mention|wondering|asking|ask|remember|remind me|idea|on|of|at|in|for|to)\b)\s*{_WH}\b"
)
_TELL = re.compile(
    r"\b(?:(?:can|could|would|will|may|might) (?:you|i|u)\b.{0,40}?\b(?:tell|give|share|provide|say|specify|clarify|"
    r"confirm|state|mention|fill|list|send|remind|supply|get|have|ask|know|let me know|add|describe|elaborate|explain "
    r"more)\b"
    r"|(?:please|pls|plz|just|kindly) (?:\w+ )?(?:tell|give|share|provide|say|specify|clarify|confirm|state|send|list|"
    r"supply|let me know|mention|fill)\b|^\W*(?:tell|give|specify|provide|share|clarify|state|remind|fill) (?:me|us)\b"
    r"|^\W*(?:specify|provide|share|clarify|state|list)\b"
    r"|(?:i|we)(?:'ll|'d|'m| will| would| do| just| still| also| only| am)* (?:just |still |also |only |really |first )?"
    r"(?:need|require|lack|want|missing|like|love|wonder|wondering|have to ask|must know)\b"
    r"|\b(?:still|also|just|only) need(?:s|ed)?\b|\bneed(?:s|ed)? (?:the|to know|your|one|two)\b"
    r"|let me know|i'm missing|is missing|are missing|missing (?:is|are)|you (?:didn't|did not|haven't|have not|never|"
    r"forgot|left out|don't|do not|didnt|havent)"
    r"|(?:isn't|is not|wasn't|was not|aren't|not been|hasn't been|not|never|isnt|wasnt) "
    r"(?:\w+ )?(?:clear|mentioned|given|stated|specified|told|listed|included|provided|said)"
    r"|(?:i|we) (?:don't|do not|can't|cannot|dont|cant|couldn't) "
    r"(?:know|see|have|tell|find|solve|write|finish|figure|work|compute|calculate|yet)"
    r"|without (?:knowing|the)|unclear|before i can|depends on|unknown)"
)
# Questions that carry on the conversation and ask for no fact.
_META = re.compile(
    r"\b(?:make sense|makes sense|would you like|do you want|want me to|shall (?:i|we)|should (?:i|we)|anything else|"
    r"is that (?:clear|ok|okay|right|correct|fine)|does that|do you (?:understand|see|follow|think|agree|have any|need|like)|"
    r"sound (?:good|ok)|sounds (?:good|ok)|ready|how can i help|can i help|help you with|are you sure|how are you|"
    r"got it\?|see why|what do you think|how does (?:that|this)|like me to|if you (?:need|have|want)|"
    r"next (?:problem|one|question)|what grade|let's|isn't it|any (?:other )?(?:questions|changes|edits)|"
    r"let me know (?:if|when|whether)|you (?:asked|want to know|are asking|wanted)|(?:we|i) (?:want|need) to (?:find|figure|add|"
    r"subtract|multiply|divide|compute|calculate|work)|is that what|is this what|feel free|did you try|have you tried|"
    r"which operation|what operation|why|tone|formal|style|happy to|glad)\b"
)
_GENERIC = frozenset(
    "number numbers amount amounts value values detail details information info missing quantity quantities figure "
    "figures fact facts specifics data piece pieces rest problem else".split()
)
_STOP = frozenset(
    "a an the of to is are was were do does did has have had be it its this that there in on at for and or but so you "
    "your i me my we us he she they them his her their him can could would will please tell give know need what which "
    "who whom whose when where why how many much some any with if not no yes now exactly first then also just still "
    "more more".split()
)
_KEEP = frozenset(
    "more first who when where much at now".split()
)  # stop words that a fact may claim as its own


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


def recognise(message: str, brief: Brief) -> Inquiry:
    """Which facts of ``brief`` the message asks for.

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
    """
    found: set[str] = set()
    generic = other = False
    vocabulary = _vocabulary(brief)
    for sentence in _requests(message):
        names = vocabulary.match(sentence)
        found.update(names)
        if not names:
            words = set(_WORD.findall(sentence))
            is_generic = bool(words & _GENERIC) or vocabulary.vague_about_things(words)
            generic |= is_generic
            other |= not is_generic
    ordered = tuple(fact.name for fact in brief.facts if fact.name in found)
    return Inquiry(ordered, generic and not ordered, other and not ordered and not generic)


def _requests(message: str) -> list[str]:
    """The sentences of a message that ask for information, in lower case."""
    text = message[:_MAX_CHARS].lower().replace("’", "'")
    sentences = [s.strip() for s in _SENTENCE.findall(text)]
    return [s for s in sentences if len(s) > 2 and _is_request(s)]


def _is_request(sentence: str) -> bool:
    if _META.search(sentence):
        return False
    return sentence.endswith("?") or bool(_ASKS.match(sentence)) or bool(_TELL.search(sentence))


def _stem(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    for suffix in ("ing", "ed", "es", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word.removesuffix(suffix)
    return word


class _Vocabulary:
    """The words of a brief's facts, weighted by how few facts share them."""

    def __init__(self, facts: Sequence[Fact], goal: str) -> None:
        self.topics = {f.name: {_stem(w) for w in _fact_words(f)} for f in facts}
        shared = [w for topics in self.topics.values() for w in topics]
        self.count = {w: shared.count(w) for w in set(shared)}
        self.things = {_stem(w) for w in _content(goal)} | {
            _stem(w) for f in facts for w in _content(f.vague)
        }
        self.goal_only = {
            _stem(w) for w in (*_content(goal), "altogether", "total", "left", "now", "answer")
        } - set(shared)

    def match(self, sentence: str) -> list[str]:
        """Facts whose own words stand in the sentence; among rivals the best and those near it."""
        words = {_stem(w) for w in _WORD.findall(sentence)}
        scores = {
            name: sum(1.0 if self.count[w] == 1 else 0.25 for w in topics & words)
            for name, topics in self.topics.items()
        }
        own = {n: sum(self.count[w] == 1 for w in t & words) for n, t in self.topics.items()}
        if words & self.goal_only and not any(own.values()):
            return []
        best = max(scores.values(), default=0.0)
        if best < 0.25:
            return []
        if not any(own.values()):
            return [] if len(scores) > 1 else [n for n, s in scores.items() if s == best]
        return [n for n, s in scores.items() if own[n] and s >= 0.5 * best]

    def vague_about_things(self, words: set[str]) -> bool:
        """Whether the words are about the story's things without pointing at one fact."""
        stems = {_stem(w) for w in words}
        return bool(stems & self.things) and not stems & self.goal_only


@lru_cache(maxsize=4096)
def _vocabulary(brief: Brief) -> _Vocabulary:
    return _Vocabulary(brief.facts, brief.goal)


def _fact_words(fact: Fact) -> list[str]:
    return [w for w in fact.topics if w not in _STOP or w in _KEEP]


def _content(text: str) -> list[str]:
    return [w for w in _WORD.findall(text.lower()) if w not in _STOP]
