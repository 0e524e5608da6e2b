r"""The answer that one message states, if it states one.

Three tiers, the first that finds something decides:

1. marked: ``\boxed{12}`` and ``#### 12``;
2. announced: ``Answer: 12``, ``the final answer is 12 marbles``;
3. concluded: an equation that ends a sentence (``12 - 5 = 7``), a sentence that concludes (``so Tom has 7
   marbles left``), or a message that is only a number.

Within a tier the last one counts. Questions, negations, conditions and uncertain wordings ("might be")
state nothing, and a value beside another one it hedges with ("4 or 5", "4. Another possibility is 5") makes
the whole message state nothing. A value that the rest of the message corrects ("4. Wait, no, it is 5") is
replaced or, when nothing replaces it, withdrawn. A concluded value followed by a question for more
information is a restated fact, no answer.
"""

import re

from dialogue_gym.scoring.expressions import is_expression
from dialogue_gym.scoring.numbers import NUMBER, NUMBER_WORD, parse_number, tidy

_TAIL = 20_000  # characters of a message that are read, from its end
_CONCLUSION_TAIL = 2_000  # ... and for the third tier
_MAX_CANDIDATES = 20
_LONGEST_PAYLOAD = 300

_I = re.IGNORECASE
_SIGNAL = re.compile(rf"[0-9½¼¾\uff10-\uff19]|boxed|answer|{NUMBER_WORD}")  # on lower case
_NUMBER = re.compile(f"(?P<value>{NUMBER})", _I)
_BOXED = re.compile(r"\\f?boxed\s*\{")
_HASHES = re.compile(
    rf"^[ \t]*####[ \t]*(?P<value>{NUMBER})(?:[ \t]+[a-z]{{1,20}}){{0,3}}[ \t]*\.?[ \t]*$", _I | re.M
)
_ANNOUNCED = re.compile(
    r"\banswer\b[^\n.?!:=0-9]{0,50}?(?:\b(?:is|was|equals|would be|should be|comes to)\b[ \t]*:?|[:=])[\s*_]*"
    rf"|\bfinal answer\b[\s*_-]{{1,4}}(?={NUMBER})|^[ \t*_#]*answer[ \t]+(?={NUMBER})|<answer>\s*",
    _I | re.M,
)
_CALCULATOR = re.compile(r"<<[^<>]{0,100}>>")  # GSM8K's annotations
_LIST_MARK = re.compile(r"^[ \t]*(?:[0-9]{1,2}[.)]|[-*•])[ \t]+(?=\S)|\bstep[ \t]+[0-9]+\b", _I | re.M)
_NUMBERED = re.compile(r"^[ \t]*1[.)][ \t]|\bstep[ \t]+1\b", _I | re.M)
_BOUNDARY = re.compile(r"[.!?]+(?=[\s*_)\"']|\Z)|\n")

_QUESTION_START = re.compile(
    r"[\W_]*(?:is|are|was|were|do|does|did|can|could|would|will|should|has|have|how|what|which|who|when|where|why)\b",
    _I,
)
_CLOSING_QUESTION = re.compile(
    r"\b(?:help|right|correct|sense|anything else|something else|clear|sound|agree|ok|okay|questions?|explain"
    r"|check|see|show|like me|want me|satisfied|good)\b",
    _I,
)
_UNCERTAIN = re.compile(
    r"\b(?:might|may be|could be|maybe|perhaps|possibly|unsure|not sure"
    r"|not certain|guess\w*|either(?! way)|between)\b",
    _I,
)
_UNSTATED = re.compile(
    rf"{_UNCERTAIN.pattern}|\b(?:may|could|not|cannot|if|whether|unless|suppose|assum\w+|wrong)\b|n't\b", _I
)
_GIVEN = re.compile(
    r"\b(?:you(?:'ve| have)? (?:said|told|mentioned|gave|wrote|say|just)|given|we know|i know|noted"
    r"|let me(?! know)"
    r"|tell me|i(?:'d| would)? need|need to|starts?|started|begins?|began|initially|at first|originally"
    r"|to confirm|according to you|questions?|details?|information|more things?)\b",
    _I,
)
_ECHO = re.compile(r"\b(?:got it|understood|thanks|thank you|okay|ok|i see|let's|please|alright)\b", _I)
_CUE = re.compile(
    r"\b(?:so|therefore|thus|hence|total|altogether|left|remain\w*|which means|result|in all|now|leaves"
    r"|leaving|sum|minus|plus|times|divided|that is|that's|that makes|which is)\b",
    _I,
)
_STRONG_CUE = re.compile(
    r"\b(?:therefore|thus|hence|total|altogether|left|remain\w*|result|in all|sum)\b", _I
)
_VERB = (
    r"(?:\b(?:has|have|had|is|are|was|were|gets?|needs?|costs?|makes?|pays?|earns?|takes?|spent|spends?|equals?"
    r"|leaves|leaving|gives|totals?|be|will be|ends? up with|comes to|it's|that's|there's)\b|=)"
)
_FILLER = (
    r"(?:\s*\b(?:a total of|exactly|only|about|approximately|around|just|now|simply|equal to"
    r"|of|then|still|therefore|thus)\b){0,3}"
)
_STATED = re.compile(rf"{_VERB}{_FILLER}[\s:*_]*(?P<value>{NUMBER})", _I)
_SUM = re.compile(r"[0-9)]\s?(?:[+*]|\s[-/])\s?[0-9(]")
_RIGHT_SIDE = re.compile(rf"=[\s*_]*(?P<value>-?\s?{NUMBER})(?P<rest>[^0-9=]{{0,100}})\Z", _I)
_LEFT_SIDE = re.compile(r"[0-9a-z)}][^=\n]{0,200}=", _I)
_LEADING = re.compile(rf"{_FILLER}[\s*_:(]*(?P<value>-?\s?{NUMBER})", _I)
_BARE = re.compile(
    rf"[\s*_=(]*(?:(?:so|a|thus|then|i think|i get|i got)\b[\s,:]*){{0,2}}"
    rf"(?:(?:about|around|roughly|approximately)\s+)?"
    rf"(?P<value>{NUMBER})(?:[\s*_]+[a-z]{{1,20}}){{0,3}}[\s.!*_)]*",
    _I,
)
_CURRENCY = r"(?:dollars?|bucks|euros?|pounds?|hours?|minutes?|feet|foot)"
# what makes the number before it a part of something else
_GOES_ON = re.compile(
    r"\s*(?!-+\s+(?:no|wait|sorry|actually)\b)[-+*/^=\\]\s*[\w(\\{]|\(|(?:[xyznabikpqrt]|pi)\b"
    r"|\s*(?:minus|plus|times|divided|multiplied|percent of|% of|to \d|st\b|th\b)"
    rf"|\s*,\s*-?[0-9]|\s+{_CURRENCY}\s+(?:and\s+)?{NUMBER}|\s+of\b"
    r"|(?:\s+[a-z]{1,20}){0,2}\s+and\s+[0-9]|\s+(?:more|less|fewer) than",
    _I,
)
# numbers that count something else than the answer: "2 more questions"
_ASIDE = (
    r"(?:\s+(?:more|other|different)\b|\s+(?:questions?|ways?|steps?|methods?|things?|messages?|problems?)\b)"
)
_CONTINUED = re.compile(rf"{_GOES_ON.pattern}|{_ASIDE}", _I)
_ANOTHER = r"another (?:possib\w+|option|answer|value|candidate|solution)|(?:could|might|may) (?:also )?be"
_ALTERNATIVE = rf"\b(?:or|maybe|perhaps|possibly|alternatively|{_ANOTHER})\b"
_HEDGE = re.compile(_ALTERNATIVE, _I)
_OR_AFTER = re.compile(
    rf"[^0-9?]{{0,40}}?{_ALTERNATIVE}[^0-9]{{0,30}}?(?P<other>{NUMBER})(?!{_ASIDE}|\s*[-+*/^=]\s*[\w(])", _I
)
_OR_BEFORE = re.compile(rf"(?P<other>{NUMBER})[^0-9\n!]{{0,30}}?{_ALTERNATIVE}[^0-9]{{0,25}}\Z", _I)
_GAP = r"(?:[\s,;:!\u2014\u2026]|\.(?![0-9])|-(?=\s)){0,8}"
_RETRACTION = (
    r"(?:actually|sorry|i meant?|correction|oops|or rather|my mistake|(?P<gone>scratch that|i was wrong"
    r"|i made an? (?:mistake|error))|on second thoughts?|wait,? no|no,? wait)\b"
)
_WAIT = rf"(?:wait\b(?!\s+(?:for|until|time|{NUMBER}))|no\b(?=\s*[,.:;!-]|\s+(?:wait|it|that|i|sorry)\b))"
_DENIAL = (
    r"(?P<wrong>(?:that|this|it)(?:'s| is| was) (?:wrong|incorrect|not (?:right|correct))\b)"
    rf"|(?:it|that|the answer)(?:'s| is|) ?(?:not|n't) (?P<denied>{NUMBER})(?:[\s,]+but\b)?"
)
_REVISION = re.compile(
    rf"(?:[.!?,;:()\n*\u2014\u2026-]\s{{0,5}}(?:(?:but|oh|hmm|ah)[\s,]{{1,4}})?{_WAIT}|\b{_RETRACTION})"
    rf"{_GAP}(?:(?:wait|no|but|{_RETRACTION.replace('?P<gone>', '?:')}|{_DENIAL}){_GAP}){{0,5}}"
    rf"|\b(?P<alternative>maybe|perhaps|possibly|alternatively|{_ANOTHER})\b{_GAP}",
    _I,
)
_ANEW = re.compile(
    r"\s*(?:so|then|thus)?\s*(?:it|the (?:\w{1,12} )?(?:answer|number|total|result|value|sum))"
    rf"(?:'s| is| should be| must be| would be| comes to| equals){_FILLER}[\s:*_]*"
    rf"(?P<value>{NUMBER})(?!{_ASIDE})",
    _I,
)
_NO_ANSWER = frozenset(
    {"unknown", "unclear", "none", "n/a", "na", "tbd", "pending", "below", "no", "yes", "not", "that"}
)


class _Hedged(Exception):
    """The message names several values as possible answers."""


def extract_answer(text: str) -> str | None:
    r"""The last answer that a message states, or None when it states none or hedges over several.

    Reads the last 20,000 characters, in time linear in their number.

    Example:
        >>> extract_answer("12 - 5 = 7, so Tom has **7 marbles** left.")
        '7'
        >>> extract_answer(r"Hence \boxed{\frac{1}{2}}"), extract_answer("The answer is $1,234.50.")
        ('\\frac{1}{2}', '1,234.50')
        >>> extract_answer("It is 4 or 5."), extract_answer("Did he buy 4?")
        (None, None)
    """
    tail = text[-_TAIL:]
    if not _SIGNAL.search(tail.lower()):
        return None
    tail = tidy(tail)
    if "<<" in tail:
        tail = _CALCULATOR.sub("", tail)
    try:
        return _marked(tail) or _announced(tail) or _concluded(tail[-_CONCLUSION_TAIL:])
    except _Hedged:
        return None


def _marked(text: str) -> str | None:
    found: list[tuple[int, int, str]] = []
    if "boxed" in text:
        for match in [*_BOXED.finditer(text)][-_MAX_CANDIDATES:]:
            content = _braced(text, match.end())
            if content is not None and content.strip():
                found.append((match.start(), match.end() + len(content) + 1, content))
    if "####" in text:
        found += [(m.start("value"), m.end("value"), m["value"]) for m in _HASHES.finditer(text)]
    for start, end, content in sorted(found, reverse=True)[:_MAX_CANDIDATES]:
        if not _is_question(text, start):
            value = _payload(content) or content.strip()[:_LONGEST_PAYLOAD]
            return _settled(text, start, end, value)
    return None


def _braced(text: str, start: int) -> str | None:
    """The text up to the brace that closes the one before ``start``."""
    depth = 1
    for position in range(start, min(len(text), start + _LONGEST_PAYLOAD)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return None


def _announced(text: str) -> str | None:
    if "answer" not in text.lower():
        return None
    for match in [*_ANNOUNCED.finditer(text)][: -_MAX_CANDIDATES - 1 : -1]:
        sentence_start, _ = _sentence_around(text, match.start())
        if not _is_question(text, match.end()) and not _UNSTATED.search(text, sentence_start, match.end()):
            value = _announced_value(text, match)
            if value is not None:
                return value
    return None


def _announced_value(text: str, match: re.Match[str]) -> str | None:
    """The value after "the answer is"; one word counts only after a colon ("Answer: Monday")."""
    start = match.end()
    _, end = _sentence_around(text, start)
    payload = text[start : min(end, start + _LONGEST_PAYLOAD)]
    value = _payload(payload)
    if value is not None:
        position = max(start, text.find(value, start, end))
        settled = _settled(text, position, position + len(value), value)
        return None if _UNSTATED.search(text, start, position) else settled
    word = payload.strip(" .!*_")
    after_colon = match[0].rstrip("*_ \n").endswith((":", "="))
    return word if after_colon and word.isalpha() and word.lower() not in _NO_ANSWER else None


def _payload(text: str) -> str | None:
    """The value at the beginning of what follows a marker: a number, or one expression."""
    text = text.strip(" .!*_\n")
    if "=" in text and (text.count("=") == 1 or _RIGHT_SIDE.search(text)):
        text = text.rpartition("=")[2].strip(" *_")
    match = _LEADING.match(text)
    if match and not _GOES_ON.match(text, match.end("value")):
        return _compact(match["value"])
    if is_expression(text) and not _STATED.search(text):  # "it is 8" is no expression
        return text
    stated = [m for m in _STATED.finditer(text) if not _GOES_ON.match(text, m.end("value"))]
    return _compact(stated[-1]["value"]) if stated else None


def _compact(value: str) -> str:
    """A matched number without the space that may stand after its minus sign."""
    value = value.strip()
    return "-" + value[1:].lstrip() if value.startswith("-") else value


def _concluded(text: str) -> str | None:
    """The value of the last sentence that concludes something."""
    if _NUMBERED.search(text):
        text = _LIST_MARK.sub("", text)
    last = True  # whether no later sentence has a number
    for start, end in reversed(_sentences(text)):
        sentence = text[start:end]
        has_number = _NUMBER.search(sentence)
        if _is_question(text, start):
            if has_number or not _CLOSING_QUESTION.search(sentence):
                return None
        elif has_number:
            if last and _UNCERTAIN.search(sentence):
                return None
            match = _conclusion(sentence, last)
            if match is not None:
                _refuse_list(text[:start], sentence)
                begin, stop = (start + position for position in match.span("value"))
                return _settled(text, begin, stop, _compact(match["value"]))
            last = False
    return None


def _conclusion(sentence: str, last: bool) -> re.Match[str] | None:
    """The match of the value that a sentence states; unless it concludes, only the last sentence counts."""
    body = sentence.rstrip(" .!*_\n)")
    match = _equation(body) or _statement(body, last)
    if match is None or _GIVEN.search(body) or _UNSTATED.search(body, 0, match.start("value")):
        return None
    echo = _ECHO.search(body) and "=" not in body and not _STRONG_CUE.search(body)
    return None if echo or _GOES_ON.match(body, match.end("value")) else match


def _equation(body: str) -> re.Match[str] | None:
    match = _RIGHT_SIDE.search(body)
    return match if match and _LEFT_SIDE.search(body) else None


def _statement(body: str, last: bool) -> re.Match[str] | None:
    bare = _BARE.fullmatch(body)
    if bare:
        return bare if last else None
    stated = [*_STATED.finditer(body)]
    if not (stated or _STRONG_CUE.search(body)):
        return None
    numbers = [*_NUMBER.finditer(body)]
    done = stated and _SUM.search(body, 0, stated[-1].start())  # "5 + 2 is 7"
    # a past state without a conclusion ("Tom had 12") is a given fact
    if stated and (done or _CUE.search(body) or (last and len(numbers) == 1 and " had " not in body)):
        return stated[-1]
    return numbers[0] if len(numbers) == 1 and _STRONG_CUE.search(body) else None


def _sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence or line that is not blank starts and ends."""
    ends = [match.end() for match in _BOUNDARY.finditer(text)]
    spans = zip([0, *ends], [*ends, len(text)], strict=True)
    return [(start, end) for start, end in spans if text[start:end].strip()]


def _sentence_around(text: str, position: int) -> tuple[int, int]:
    starts = [text.rfind(mark, 0, position) for mark in ("\n", ". ", "! ", "? ")]
    boundary = _BOUNDARY.search(text, position)
    return max(starts) + 1, boundary.end() if boundary else len(text)


def _is_question(text: str, position: int) -> bool:
    """Whether the sentence around a position asks, with or without a question mark."""
    start, end = _sentence_around(text, position)
    sentence = text[start:end].strip(" \n*_\"')")
    return sentence.endswith("?") or ("=" not in sentence and bool(_QUESTION_START.match(sentence)))


def _settled(text: str, start: int, end: int, value: str) -> str:
    """The value at ``start:end``, or what the rest of the message corrects it to.

    Raises:
        _Hedged: the rest withdraws the value, or names another one as its alternative.
    """
    for cue in [*_REVISION.finditer(text, end)][: -_MAX_CANDIDATES - 1 : -1]:
        sentence_end = _sentence_around(text, cue.end())[1]
        if cue["alternative"]:
            sentence = text[cue.end() : min(sentence_end, cue.end() + _LONGEST_PAYLOAD)]
            if _names_another(sentence, value):
                raise _Hedged
            continue
        span = _correction(text[: cue.end() + _CONCLUSION_TAIL], cue.end())
        if span is not None:
            found = _compact(text[slice(*span)])
            if parse_number(found) == parse_number(value):
                break
            _refuse_hedge(text, *span, found, back=False)
            return found
        denied = cue["denied"] and parse_number(cue["denied"]) == parse_number(value)
        if denied or cue["wrong"] or cue["gone"]:
            raise _Hedged
    _refuse_hedge(text, start, end, value)
    return value


def _names_another(sentence: str, value: str) -> bool:
    """Whether what follows "maybe" states a number other than ``value``."""
    body = sentence.rstrip(" .!*_\n)")
    match = _equation(body) or _LEADING.match(body) or _STATED.search(body)
    if match is None or _CONTINUED.match(body, match.end("value")):
        return False
    return parse_number(_compact(match["value"])) != parse_number(value)


def _correction(text: str, after: int) -> tuple[int, int] | None:
    """Where the last value stands that follows "wait, no": at once, anew ("it is 8"), or as a conclusion."""
    spans = _sentences(text[after:])
    for position, (start, end) in reversed([*enumerate(spans)]):
        sentence = text[after + start : after + end].rstrip(" .!*_\n)")
        if sentence.endswith("?") or not _NUMBER.search(sentence):
            continue
        at_once = position == 0
        match = _conclusion(sentence, last=at_once) or _ANEW.match(sentence)
        match = match or (_LEADING.match(sentence) if at_once else None)
        if match and not _CONTINUED.match(sentence, match.end("value")):
            return after + start + match.start("value"), after + start + match.end("value")
    return None


def _refuse_list(before: str, sentence: str) -> None:
    """Raise ``_Hedged`` when a bare number follows another one: a list of guesses."""
    if _BARE.fullmatch(sentence):
        previous = [line for line in before.splitlines() if line.strip()]
        if previous and _BARE.fullmatch(previous[-1]):
            raise _Hedged


def _refuse_hedge(text: str, start: int, end: int, value: str, back: bool = True) -> None:
    """Raise ``_Hedged`` when another value stands beside the one at ``start:end`` as its alternative."""
    if not _HEDGE.search(text, max(0, start - 100), end + 120):
        return
    after = _OR_AFTER.match(text, end, end + 120)
    before = _OR_BEFORE.search(text, max(0, start - 100), start) if back else None
    for match in (after, before):
        if match and parse_number(match["other"]) != parse_number(value):
            raise _Hedged
