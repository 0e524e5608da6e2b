"""Which parts of a message ask for information: sentence shapes, whatever the facts are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from dialogue_gym.simulators.lexicon import (
    ASKING,
    AUXILIARIES,
    FILLERS,
    GENERIC,
    IDIOMS,
    NEUTRAL,
    OPENERS,
    QUANTITY,
    STOP,
    pattern,
    stem,
    stems,
)

MAX_CHARS = 4000  # people do not read more than that either
_LABEL = re.compile(
    r"(?m)^[ \t]*(?:[-*•]|\(?\d{1,2}[.)])(?=\s)|\(\d\)|\b\d\)|\bsteps? \d+(?: and \d+)?|\bi\.e\.|\be\.g\."
)
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|no\. (?=of)|[a-z']+|\n| [-–—]+ |&|[.?!…]+|[,;:()\[\]—–×*+=/]")
_HEADER = re.compile(r":\s*\n\s*")
_IDIOM = re.compile(rf"\b(?:{'|'.join(IDIOMS)})\b")
_UNMARKED = re.compile(  # a question without its mark
    r"(?:^|[.!?\n] *)(?:is|are|was|were|do|does|did|has) "
    r"(?:he|she|it|they|there|the|this|that|you)\b[^.?!\n]*$"
)
_ENDS = frozenset(".?!…\n")  # first letters of tokens
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "st"))
_JOINTS = {"and": "and", "&": "and", "or": "and", "nor": "and", "plus": "and", "but": "but", "so": "but"}
_SUBORDINATE = stems("before after if because since while once though although until unless when as")
_CONDITION = stems("if when once as before after until unless")
_CUT = stems("before after if because since while once though although until unless so")
_FOLLOWS_WHEN = AUXILIARIES | stems("on in at exactly precisely")
_SHORT = 6  # words of a question that needs no verb ("apples altogether?")
_SAY = (
    "(tell|say|specify|provide|state|indicate|give|send|supply|list|confirm|clarify|share|fill|name|mention|add|"
    "describe|remind|complete|include|let|post|spell|know|recall|remember|inform|enter)"
)
_REQUEST = pattern(
    f"""(can|could|will|would) you * {_SAY} (me|us)?
    (can|could|will|would) you * (look|check|read) (it|that|this|up|the|what|how|for|at|in)+
    mind * {_SAY} (me|us)?
    do you * (know|recall|remember|have)
    (can|could|may) (i|we) * (have|get|ask|know)
    (i|we) (would|will|do)? (need|like|love|want|have|must) to (know|hear|learn|see|have|find out|ask)
    (i|we) (be|do|will|would)? (need|require|lack|miss) (?!to)
    (i|we) would like (?!to|you)
    (tell|give|send|remind|show) (me|us)
    let (me|us) know
    fill (me|us) in
    (help|useful|helpful|good|great|nice|grateful|appreciate) * to know
    not * (say|tell|mention|give|state|specify|provide|include|list|know|clear|see|indicate|describe)
    not * (name|supply|share|spell|appear|show|have|enough|there|(in|on) (the|your)|part|write|figure|find)
    (not * sure|unsure) (about|how|what|who|where|when|which|of|if|whether)
    (never|nowhere|neither|no) * (say|tell|mention|give|state|specify|provide|include|list|have|in (the|your))
    neither
    without (knowing|the|it|that|a)
    missing|lacking|lack|unclear|unknown|unspecified|unstated|omit|absent|blank
    (left|cut) (out|off)
    forget (to|a|the)
    (anything|something|detail|information|fact|number) (else|more|that)* (i|we) (should|must|need to|have to)
    wonder|curious|depend on
    (must|have to|will) ask (you)? (for)?
    ask (you)? (for|about)
    if you * {_SAY} (me|us)?
    (once|when) you tell
    (once|when) i (know|have)
    be (needed|required)
    need from you
    (how|what) about
    please (do|also)? {_SAY} (me|us)?
    please
    ^{_SAY} (me|us)?
    ^not (how|what|who|where|when|why|the|a)
    (^need|^require) (?!to)
    need (the|a|an|your|more)
    left be (to know|to hear|to learn|to find out)
    ^left be (?!to)
    ^any (more|other|additional|further) (detail|information|number|fact)
    you (can|could) {_SAY} (me|us)?"""
)
# Talk about the talk, offers, rhetoric: never a request for a fact.
_TALK = pattern(
    f"""let (me|us) (see|double|check|try|think|go|set|break|start)
    (let|tell|ask) (me|us) (know)? (if|when|whether|once)
    give me a (second|moment|minute)
    (all|everything|what) * (i|we) (need|ask|require) $
    (i|we) (have|get) (all|everything)
    (do|if|when|have|any|get|got|no|other|more)+ (you)? (have|get)? (any|other|more|further)* question
    (anything|something) else (i|you|that i|we) (?!should|must|need|have)
    else (can|could) i
    make sense
    (how|why|what|where|when) (do|can|could|should|shall|would|will|have) (i|we) (?!know|meet|gather)
    how (do|can|could|would) you
    what (do|would) you (think|say|prefer)
    what if
    why not
    who (do|would|could|will)? not
    who * (say no|resist|refuse)
    who (love|want|like|be ready)
    how many (word|line|sentence|paragraph)
    (i|we|you|they) know
    you (see|ask|be ask|say|tell|give|mention|already|want|may|can (?!{_SAY})|try|do)
    what * for $
    (what|how) * mean $
    ^be (this|that|it) $
    ^(do|can|could|be) (this|that|it) (look|sound|seem|help|work|answer|make|clear|ok|what|right|correct|fine)
    (if|in case) you (?!(can|could|would|will)? {_SAY})
    feel free (?!to {_SAY})
    which (mean|be why)
    that be (what|how|why|all)
    what (we|i|it|one|this|that) (?!know|need|lack|miss|not|do not)
    (do not|^not) (forget|worry|hesitate|need|have to|miss|wait|delay)
    (can|could|have) you (ever|see|try|find|solve|explain|figure|imagine|work)
    ^(be|get) (you|everyone|anyone|everybody)
    (people|reader|everyone|guest|they|who|student) * (want|like) to
    not (be)? (it|that|this|they)
    not need
    not * sure but
    need to (add|subtract|multiply|divide|find (?!out)|work|calculate|do|compute|figure (?!out)|combine|use)
    (what|which) (grade|operation|language|font|format|title|tone|style)
    (happy|glad|able) to
    see (how|why)"""
)
_OFFER = stems("shall should will would can could do be have")
_INVERTING = AUXILIARIES | ASKING
_PERSON = stems("i we you")
_INVITING = stems("come join visit call contact meet stop drop hurry buy see then we sign bring")
# Without any of these (or a question mark) a message asks for nothing.
_TRIGGERS = stems(
    "how what which who where when why tell give send "
    "remind could can would may might know need needs needed require required missing lack lacking lacks "
    "wonder wondering curious like love ask asking absent left omitted unclear unknown unspecified "
    "unstated depends fill blank please specify provide state indicate supply list confirm clarify share "
    "name mention describe forgot sure unsure not never nowhere neither nor without"
)


@dataclass(slots=True)
class Clause:
    """A stretch of a sentence with at most one question word.

    Attributes:
        words: stems, without fillers and, where it asks, without the words of the request itself.
        joint: what parts it from the clause before: "", "and", "but", "," or "?" (a question word).
        number: whether it states a number.
        asks: whether it asks for something.
        bare: whether it asks by the question mark alone ("is it on Friday?", "location?").
    """

    words: list[str]
    joint: str = ""
    number: bool = False
    asks: bool = False
    bare: bool = False


@dataclass(slots=True)
class Sentence:
    """The clauses of a sentence.

    Attributes:
        clauses: its parts in order.
        question: whether it ends with a question mark.
        listed: whether it is a line of a list after a colon.
    """

    clauses: list[Clause] = field(default_factory=list)
    question: bool = False
    listed: bool = False

    @property
    def asks(self) -> bool:
        """Whether any part asks for something."""
        return any(clause.asks for clause in self.clauses)


def normal(message: str) -> str:
    """The part of a message that is read, in lower case, without list labels; idioms in plain words."""
    text = _LABEL.sub(" ", message[:MAX_CHARS].lower().replace("’", "'"))
    text = _HEADER.sub(":\n", text)
    text = _IDIOM.sub(lambda match: IDIOMS[match[0]], text)
    return text + "?" if _UNMARKED.search(text) else text


@lru_cache(maxsize=1024)
def read(text: str) -> tuple[Sentence, ...]:
    """The sentences of a ``normal`` text, with what asks marked; empty when nothing can.

    Example:
        >>> [c.words for c in read("i know the day, but where is it?")[0].clauses if c.asks]
        [['where', 'be', 'it']]
        >>> read("each box has 4 eggs.")
        ()
    """
    tokens = _TOKEN.findall(text)
    if "?" not in text and _TRIGGERS.isdisjoint(map(stem, tokens)):
        return ()
    sentences = _split(tokens)
    carried = False
    for sentence in sentences:
        _mark(sentence, carried and sentence.listed)
        carried = (carried and sentence.listed) or sentence.asks
    for sentence, following in pairwise(sentences):
        if not following.asks and not _INVITING.isdisjoint(following.clauses[0].words[:1]):
            for clause in sentence.clauses:  # an advertisement: "Free on Friday? Come to the park!"
                clause.asks &= not clause.bare
    return tuple(sentences)


class _Splitter:
    """Collects tokens into clauses and sentences."""

    def __init__(self) -> None:
        self.sentences = [Sentence()]
        self.words: list[str] = []
        self.joint = ""
        self.number = False

    def close(self, joint: str) -> None:
        """End the clause."""
        if self.words or self.number:
            self.sentences[-1].clauses.append(Clause(self.words, self.joint, self.number))
        self.words, self.number, self.joint = [], False, joint

    def end(self, question: bool, listed: bool) -> None:
        """End the sentence; the next is a line of a list where ``listed``."""
        self.close("")
        self.sentences[-1].question = question
        self.sentences.append(Sentence(listed=listed))

    def word(self, token: str) -> None:
        """Add a word; a question word begins a clause."""
        word = stem(token.strip("' "))
        if word in ASKING and self.words and not (self.words[-1] in ASKING and word != "which"):
            self.close("?")
        if word and word not in FILLERS and (len(word) > 1 or word in "iau"):
            self.words.append(word)
        if word in ASKING and token.endswith("s") and token != "whose":
            self.words.append("be")


def _split(tokens: Sequence[str]) -> list[Sentence]:
    splitter, last, listing = _Splitter(), "", False
    for token in tokens:
        if token[0] in _ENDS and not (token == "." and last in _TITLES):
            if token == "\n":
                listing = last == ":" or (listing and last != "\n")
            splitter.end("?" in token, listing)
        elif token[0].isdigit() and token != "1":
            splitter.number = True
        elif token in _JOINTS:
            splitter.close(_JOINTS[token])
        elif token[0].isalpha() or token[0] in "'1":
            splitter.word(token)
        else:
            splitter.close(",")
        last = last if token == "*" else token
    splitter.close("")
    return [sentence for sentence in splitter.sentences if sentence.clauses]


def _mark(sentence: Sentence, carried: bool) -> None:
    """Find out, from left to right, which clauses ask; a list goes on asking, talk goes on not asking."""
    asking, blocked = carried, False
    if sentence.clauses[-1].words == ["please"]:
        sentence.question = True
    wh = any(clause.joint == "?" for clause in sentence.clauses)
    short = not wh and sum(len(clause.words) for clause in sentence.clauses if not clause.number) <= _SHORT
    for i, clause in enumerate(sentence.clauses):
        asking &= clause.joint != "but" or carried
        blocked &= clause.joint not in ("but", ",")
        first = next((j for j, word in enumerate(clause.words) if word not in OPENERS), len(clause.words))
        rest = clause.words[first:]
        # after "we take this and" no imperative begins
        text = " " * (clause.joint == "and" and not asking) + "".join([word + " " for word in rest])
        talk, request = _find_talk(text), _REQUEST.search(text)
        talks = talk is not None and (not request or talk <= request.start())
        goes_on = asking and clause.joint == "and" and _PERSON.isdisjoint(rest[1:2])
        if talks or _subordinate(clause.words, bool(request), goes_on):
            asking, blocked = False, True
            for empty in sentence.clauses[:i] if talk is not None else ():  # "do you know | what it means?"
                empty.asks &= not _EMPTY.issuperset(empty.words)
        elif blocked:
            continue
        elif request and not (rest[0] in ASKING and rest[1:2] and rest[1] not in _PERSON):
            clause.asks = True
            clause.words = _about(text, *request.span())
        elif rest and rest[0] in ASKING:
            clause.asks = asking or sentence.question or _begins(sentence.clauses[:i], clause, rest)
        elif not clause.number and asking:
            clause.asks, clause.bare = True, sentence.clauses[i - 1].bare if i else False
        elif rest and sentence.question and not clause.number:
            clause.asks = clause.bare = _asks_bare(rest, short)
        asking |= clause.asks
        if clause.asks and rest and rest[0] in ASKING:
            _trim(clause.words)


def _begins(before: Sequence[Clause], clause: Clause, words: Sequence[str]) -> bool:
    """Whether a question word begins the sentence, or what follows a comma."""
    opening = all(OPENERS.issuperset(c.words) and not c.number for c in before)
    return opening or (clause.joint == "," and len(words) > 1)


def _asks_bare(words: Sequence[str], short: bool) -> bool:
    """Whether words ask by the question mark alone: "shall we ...?" is an offer."""
    if words[0] in _OFFER and words[1:2] and words[1] in _PERSON:
        return False
    return short or words[0] in AUXILIARIES or not (QUANTITY.isdisjoint(words) or words[0] in _PERSON)


def _find_talk(text: str) -> int | None:
    """Where talk begins; "you want" is none in "what do you want"."""
    for found in _TALK.finditer(text):
        before = text[: found.start()].split()
        if not (before and before[-1] in _INVERTING and found[0].split()[0] in _PERSON):
            return found.start()
    return None


def _about(text: str, start: int, end: int) -> list[str]:
    """What a request is about: the words after its phrase, else those before."""
    after = text[end:].split()
    again = _REQUEST.search(text, end)
    if again and not text[end : again.start()].strip():
        after = text[again.end() :].split()
    _trim(after)
    content = [word for word in after if word not in _EMPTY]
    open_words = [word for word in text[start:end].split() if word in GENERIC]
    return after if content else text[:start].split() + open_words + after


_EMPTY = OPENERS | ((STOP | NEUTRAL) - QUANTITY)


def _subordinate(words: Sequence[str], request: bool, goes_on: bool) -> bool:
    """Like "because she buys more"; "if you tell me" is a request, "where and when it happened" goes on."""
    if words[:1] == ["to"] and len(words) > 1:  # "to find the total"
        return not request
    if len(words) < 2 or words[0] not in _SUBORDINATE or (request and words[0] in _CONDITION):
        return False
    return words[0] != "when" or not (goes_on or words[1] in _FOLLOWS_WHEN)


def _trim(words: list[str]) -> None:
    """Cut off what a conjunction adds at the end."""
    for i in range(3, len(words) - 1):
        if words[i] in _CUT:
            del words[i + 1 :]
            return
