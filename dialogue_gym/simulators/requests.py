"""Which parts of a message ask for information: sentence shapes, whatever the facts are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from dialogue_gym.simulators.lexicon import (
    ASKING,
    AUXILIARIES,
    DOING,
    FILLERS,
    IDIOMS,
    INVITING,
    JUDGING,
    LONGEST_IDIOM,
    NEGATIONS,
    OPENERS,
    QUANTITY,
    REQUEST_VERBS,
    REQUESTS,
    SAYING,
    SUBORDINATE,
    TALK,
    stem,
    stems,
)

MAX_CHARS = 4000  # people do not read more than that either
_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)*|[a-z']+|\n[ \t]*(?:[-*•]|\d{1,2}[.)])?| [-–—]+ |&|[.?!…,;:()\[\]—–×*+=/]"
)
_ENDS = frozenset(".?!…")
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "st"))
_JOINTS = {"and": "and", "&": "and", "nor": "and", "plus": "and", "but": "but", "so": "but"}
_OFFERS = {(stem(verb), who) for verb in ("shall", "should") for who in ("i", "we")}
_TELL_IF, _TELL_WHETHER = [stem("tell"), "me", "if"], [stem("tell"), "me", stem("whether")]
_FOLLOWS_WHEN = AUXILIARIES | stems("on in at exactly precisely")
_INVERTING = AUXILIARIES | ASKING
_SHORT = 6  # words of a question that needs no verb ("apples altogether?")
_CUT = SUBORDINATE - {"when", "as"}
# Without any of these (or a question mark) a message asks for nothing.
_TRIGGERS = frozenset(
    "how what whats what's which who who's whos whose whom where where's wheres when why tell give "
    "send remind could can "
    "would may might know need needs needed require required missing lack lacking lacks wonder "
    "wondering curious like "
    "love ask asking absent left omitted unclear unknown unspecified unstated depends fill blank "
    "please pls plz kindly "
    "specify provide state indicate supply list confirm clarify share name mention describe forgot "
    "forgotten sure unsure "
    "not never nowhere neither nor without waht hwo wich wher mising misssing pleas".split()
)


@dataclass(slots=True)
class Segment:
    """A stretch of a sentence with at most one question word.

    Attributes:
        words: stems, without fillers and without the words of the request itself.
        joint: what parts it from the segment before: "", "and", "but", "," or "?" (a question word).
        numbers: the numbers that it states.
        asks: whether it asks for something.
    """

    words: list[str]
    joint: str = ""
    numbers: tuple[str, ...] = ()
    asks: bool = False


@dataclass(slots=True)
class Sentence:
    """The segments of a sentence.

    Attributes:
        segments: its parts in order.
        question: whether it ends with a question mark.
        listed: whether it is a line of a list after a colon.
        bare: whether it asks by its question mark alone, without question word or request.
    """

    segments: list[Segment] = field(default_factory=list)
    question: bool = False
    listed: bool = False
    bare: bool = False

    @property
    def asks(self) -> bool:
        """Whether any part asks for something."""
        return any(segment.asks for segment in self.segments)


def read(message: str) -> list[Sentence]:
    """The sentences of a message, with what asks marked; [] when nothing can.

    Example:
        >>> [s.words for s in read("I know the day, but where is it?")[0].segments if s.asks]
        [['where', 'be', 'it']]
        >>> read("Each box has 4 eggs.")
        []
    """
    message = message[:MAX_CHARS].lower().replace("’", "'")
    tokens = _TOKEN.findall(message)
    if "?" not in tokens and _TRIGGERS.isdisjoint(tokens) and "n't" not in message:
        return []
    sentences = _split(tokens)
    carried = False
    for sentence in sentences:
        _mark(sentence, carried and sentence.listed)
        carried = (sentence.asks or carried) if sentence.listed else sentence.asks
    for sentence, following in pairwise(sentences):
        if sentence.bare and _invites(following):
            for segment in sentence.segments:
                segment.asks = False
    return sentences


def _split(tokens: Sequence[str]) -> list[Sentence]:
    """Sentences and segments. A line after a colon, or after such a line, is ``listed``."""
    sentences = [Sentence()]
    words: list[str] = []
    joint, last, listing = "", "", False
    numbers: list[str] = []

    def close(next_joint: str) -> None:
        nonlocal words, joint, numbers
        if words or numbers:
            sentences[-1].segments.append(Segment(_idioms(words), joint, tuple(numbers)))
        words, joint, numbers = [], next_joint, []

    for token in tokens:
        first = token[0]
        if first == "\n" or (token in _ENDS and last not in _TITLES):
            close("")
            sentences[-1].question = token == "?"
            listing = (first == "\n" and (last == ":" or (listing and last[0] != "\n"))) or (
                listing and first != "\n"
            )
            sentences.append(Sentence(listed=listing))
        elif first.isdigit():
            numbers.append(token)
        elif token in _JOINTS:
            close(_JOINTS[token])
        elif first.isalpha() or first == "'":
            word = stem(token.strip("'")) if first == "'" else stem(token)
            if word in ASKING and words and not (words[-1] in ASKING and word != "which"):
                close("?")
            if word and word not in FILLERS:
                words.append(word)
            if (token.endswith("'s") and word in ASKING) or token in ("whats", "wheres", "whos"):
                words.append("be")
        else:
            close(",")
        last = last if token == "*" else token
    close("")
    return [sentence for sentence in sentences if sentence.segments]


def _idioms(words: list[str]) -> list[str]:
    """The words with fixed phrases exchanged for what they mean."""
    result: list[str] = []
    i = 0
    while i < len(words):
        for length in range(min(LONGEST_IDIOM, len(words) - i), 1, -1):
            meant = IDIOMS.get(tuple(words[i : i + length]))
            if meant is not None:
                result.extend(stem(word) for word in meant.split())
                i += length
                break
        else:
            result.append(words[i])
            i += 1
    return result


def _mark(sentence: Sentence, carried: bool) -> None:
    """Find out, from left to right, which segments ask."""
    asking, blocked = carried, False
    short = sum(len(segment.words) for segment in sentence.segments if not segment.numbers) <= _SHORT
    for i, segment in enumerate(sentence.segments):
        if segment.joint in ("but", ","):
            blocked = False
        if segment.joint == "but":
            asking = carried
        span, talk = _verdict(segment.words)
        opened = _opening(segment.words)
        if talk or (span is None and _subordinate(segment.words[opened:])):
            blocked, asking = True, False
            continue
        if blocked:
            continue
        if span is not None:
            segment.asks = True
        elif opened < len(segment.words) and _interrogative(segment.words[opened:]):
            segment.asks = asking or sentence.question or i == 0 or _all_open(sentence.segments[:i])
        elif segment.numbers:
            continue
        else:
            bare = not asking and sentence.question and _asks_bare(segment.words[opened:], short)
            sentence.bare |= bare
            segment.asks = asking or bare
        asking |= segment.asks
        _trim(segment, span)


def _invites(sentence: Sentence) -> bool:
    """Whether it goes on as an advertisement does: "Come to the library!"."""
    words = sentence.segments[0].words
    return not sentence.asks and any(word in INVITING for word in words[:2])


def _all_open(segments: Sequence[Segment]) -> bool:
    return all(_opening(segment.words) == len(segment.words) and not segment.numbers for segment in segments)


def _opening(words: Sequence[str]) -> int:
    """How many words of greeting and connection stand before the sentence proper."""
    return next((i for i, word in enumerate(words) if word not in OPENERS), len(words))


def _subordinate(words: Sequence[str]) -> bool:
    if len(words) < 2 or words[0] not in SUBORDINATE:
        return False
    return words[0] != "when" or words[1] not in _FOLLOWS_WHEN


def _interrogative(words: Sequence[str]) -> bool:
    """Begins with a question word, after a preposition at most, and is no relative clause."""
    return words[0] in ASKING


def _asks_bare(words: Sequence[str], short: bool) -> bool:
    """Whether words before a question mark ask although no question word stands there."""
    return bool(words) and (short or words[0] in AUXILIARIES or not QUANTITY.isdisjoint(words))


def _verdict(words: Sequence[str]) -> tuple[tuple[int, int] | None, bool]:
    """The span of a request phrase, and whether the segment is talk that asks for nothing.

    Of a request and a talk phrase the earlier counts, and the longer where both begin at one word.
    """
    denial = _denial(words)
    first = _opening(words)
    if tuple(words[first : first + 2]) in _OFFERS or _judges(words, first):
        return None, True
    talk = _talk(words)
    if denial and not (talk and words[talk[0]] in ASKING):
        return denial, False
    request = REQUESTS.find(words) or _imperative(words)
    if not talk or not request:
        return request, talk is not None
    is_talk = (talk[0], -talk[1]) <= (request[0], -request[1])
    return (None, True) if is_talk else (request, False)


def _judges(words: Sequence[str], first: int) -> bool:
    """Like "is the time right?", "tell me if the day is wrong", "could you read it"."""
    verb, who = (*words[first : first + 2], "", "")[:2]
    if verb in AUXILIARIES and who in ("you", "i", "we"):
        return verb == "be" or any(word in DOING for word in words[first + 2 : first + 4])
    judged = verb in ("be", "do") or words[first : first + 3] in (_TELL_IF, _TELL_WHETHER)
    return judged and not JUDGING.isdisjoint(words) and ASKING.isdisjoint(words)


def _talk(words: Sequence[str]) -> tuple[int, int] | None:
    """The first talk phrase; "you know" is none in "what do you know"."""
    span = TALK.find(words)
    while span and span[0] and words[span[0]] in ("you", "i", "we") and words[span[0] - 1] in _INVERTING:
        span = TALK.find(words, span[0] + 1)
    return span


def _denial(words: Sequence[str]) -> tuple[int, int] | None:
    """Like "you have not said", "nowhere do you mention", "the price is not given"."""
    for i, word in enumerate(words):
        if word in NEGATIONS:
            said = next((j for j in range(i + 1, min(i + 8, len(words))) if words[j] in SAYING), None)
            if said is not None:
                return said, said + 1
            if i + 1 < len(words) and any(w in QUANTITY for w in words[i + 1 : i + 4]):
                return i, i + 1
    return None


def _imperative(words: Sequence[str]) -> tuple[int, int] | None:
    """Like "please specify ...", "number of tickets please"."""
    if words and words[-1] == "please":
        return len(words) - 1, len(words)
    first = _opening(words)
    if first < len(words) and words[first] in REQUEST_VERBS and (first == 0 or "please" in words[:first]):
        return first, first + 1
    if "please" in words[:-1]:
        at = words.index("please")
        if words[at + 1] in REQUEST_VERBS:
            return at, at + 2
    return None


def _trim(segment: Segment, span: tuple[int, int] | None) -> None:
    """Take the words of the request out, and what a conjunction adds at the end."""
    start, end = span or (0, 0)
    words = segment.words
    for i in range(max(1, end), len(words)):
        if words[i] in _CUT and i + 1 < len(words):
            words = words[: i + 1]
            break
    rest = words[:start] + words[end:]
    # "could you tell me": one request phrase after another
    again = REQUESTS.find(rest)
    if again and again[0] <= start:
        rest = rest[: again[0]] + rest[again[1] :]
    if start < len(rest) and rest[start] in REQUEST_VERBS:
        rest = rest[:start] + rest[start + 1 :]
    segment.words = rest
