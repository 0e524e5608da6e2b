"""Plain numbers in text: what one looks like, and its exact value."""

import re
from fractions import Fraction
from typing import NamedTuple

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
)
_SMALL = {word: value for value, word in enumerate([*_UNITS.split(), "seventeen", "eighteen", "nineteen"])}
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_TEN_WORDS.split(), start=2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
# longest first, so that "sixteen" is not read as "six"
_SMALL_WORDS = "|".join(sorted(_SMALL, key=len, reverse=True))
NUMBER_WORD = rf"\b(?:{'|'.join(_TENS)}|hundred|{'|'.join(_SCALES)}|{_SMALL_WORDS})\b"  # any part of one
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_TO_99 = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{_ONES})\b)?|(?:{_SMALL_WORDS}))\b"
_HUNDREDS = rf"hundred\b(?:\s(?:and\s)?{_TO_99})?"
_TO_999 = rf"(?:{_TO_99}(?:\s{_HUNDREDS})?|(?:a\s)?{_HUNDREDS})"
_SCALE = rf"\s(?:{'|'.join(_SCALES)})\b"
NUMBER_WORDS = rf"\b(?:{_TO_999}|a(?={_SCALE}))(?:{_SCALE}(?:\s(?:and\s)?{_TO_999})?){{0,3}}"
_DIGITS = (
    r"(?:[0-9]{1,3}(?:[, ][0-9]{3})+(?:\.[0-9]+)?"  # 1,234.5 and 1 234
    r"|[0-9]+(?:\s+[0-9]+)?/[0-9]+"  # 3/4 and 1 3/4
    r"|[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?|\.[0-9]+)"
)
_FRACTION = r"(?:[0-9]+\s*)?\\[dt]?frac\s*(?:\{\s*-?[0-9]+\s*\}\s*\{\s*[0-9]+\s*\}|[0-9][0-9])"
_SIGN = r"(?:(?<![\w.)\]}%])[-+])?"
# not inside a longer number or word, a date or a time; a decimal comma is not a number that we know
NUMBER = (
    rf"(?:{_SIGN}(?:(?<![\w\\])(?<![0-9][.,:/])(?:{_FRACTION}|{_DIGITS})(?![0-9]|[.,:/][0-9]))"
    rf"(?:\s?%|(?:\s|-)hundred\b|{_SCALE})?|{NUMBER_WORDS})"
)

_REPLACEMENTS = str.maketrans(
    {
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **dict.fromkeys("\u2212\u2012\u2013\uff0d\ufe63", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\ufffd", None),
        **dict.fromkeys("€£¥₹\uff04", None),
        "\u2044": "/", "\uff1a": ":", "\uff0e": ".", "\uff0c": ",", "\uff1d": "=", "\uff05": "%",
        "\uff1f": "?", "\u3002": ". ", "\uff0b": "+", "\u2019": "'",
        "\u00d7": "*", "\u22c5": "*", "\u00f7": "/",
        "\u00bd": " 1/2", "\u00bc": " 1/4", "\u00be": " 3/4", "\u2248": "=", "\u00b0": " degrees",
    }
)  # fmt: skip
_LATEX = (
    ("{,}", ","), ("\\,", " "), ("\\!", ""), ("\\;", " "), ("\\ ", " "), ("\\%", "%"), ("\\$", ""), ("$", ""),
    ("\\(", " "), ("\\)", " "), ("\\[", "\n"), ("\\]", "\n"),
    ("^\\circ", " degrees"), ("^{\\circ}", " degrees"),
    ("\\approx", "="), ("\\cdot", "*"), ("\\times", "*"), ("\\left", ""), ("\\right", ""),
)  # fmt: skip
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_BOLD = re.compile(r"(?<![0-9)])\*\*|\*\*(?![0-9(])|`")
_STRUCK = re.compile(r"~~[^~\n]{1,100}~~")
_PLAIN = re.compile(
    rf"[\s*_(]*(?P<number>{NUMBER})(?P<unit>(?:[\s/*_)]*(?:[A-Za-z]{{2,20}}|\b[mslghLV]\b))"
    r"(?:[\s/-]+[A-Za-z]{1,20}){0,4})?(?:\^?[23])?[\s.!;,*_)]*"
)
_NOT_UNITS = re.compile(
    r"\b(?:or|and|to|maybe|perhaps|possibly|plus|minus|times|than|half|pi|not)\b", re.IGNORECASE
)
_MIXED = re.compile(r"(?:(?P<whole>[0-9]+)\s+)?(?P<top>[0-9]+)/(?P<bottom>[0-9]+)")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{\s*(-?[0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}|([0-9])([0-9]))")
_LONGEST = 200


class Number(NamedTuple):
    """An exact value, and whether a percent sign came with it."""

    value: Fraction
    percent: bool


def tidy(text: str) -> str:
    r"""The text with typographic and LaTeX variants of digits, signs and spaces made plain.

    Example:
        >>> tidy("\\text{so } **\u22121{,}234** \\%")
        'so  -1,234 %'
    """
    if not text.isascii():
        text = text.translate(_REPLACEMENTS)
    if "\\" in text or "$" in text:
        text = _WRAPPED.sub(r" \1", text).lstrip() if "\\" in text else text
        for latex, plain in _LATEX:
            text = text.replace(latex, plain)
    if "~" in text:  # about, or a space in LaTeX; doubled it strikes text out
        text = _STRUCK.sub("", text).replace("~", " ")
    return _BOLD.sub("", text) if "*" in text or "`" in text else text


def parse_number(text: str) -> Number | None:
    r"""The exact value of a text that is one plain number, perhaps with currency, percent sign or unit.

    Example:
        >>> parse_number("$1,234.50").value, parse_number("twenty-one marbles").value
        (Fraction(2469, 2), Fraction(21, 1))
        >>> parse_number(r"1\frac{1}{2}").value, parse_number("4 or 5")
        (Fraction(3, 2), None)
        >>> (
        ...     parse_number("two hundred and five").value,
        ...     parse_number("7 hundred").value,
        ...     parse_number("~5").value,
        ... )
        (Fraction(205, 1), Fraction(700, 1), Fraction(5, 1))
    """
    if len(text) > _LONGEST:
        return None
    match = _PLAIN.fullmatch(tidy(text).strip())
    if match is None or _NOT_UNITS.search(match["unit"] or ""):
        return None
    return _value(match["number"])


def _value(number: str) -> Number | None:
    """The value of a text that matched ``NUMBER``; None for a zero denominator."""
    percent = number.endswith("%")
    body = number.rstrip("% ").lstrip("+").lower()
    sign = -1 if body.startswith("-") else 1
    try:
        return Number(sign * _magnitude(body.lstrip("-")), percent)
    except ZeroDivisionError:
        return None


def _magnitude(body: str) -> Fraction:
    if body[0].isalpha():
        return Fraction(_word_value(body))
    if body[-1].isalpha():  # 7 hundred, 1.5 million
        digits, scale = re.split(r"[\s-]+(?=[a-z]+$)", body)
        return _magnitude(digits) * _word_value(scale)
    body = _LATEX_FRACTION.sub(lambda m: f" {m[1] or m[3]}/{m[2] or m[4]}", body).strip()
    mixed = _MIXED.fullmatch(body)
    if mixed:
        return int(mixed["whole"] or 0) + Fraction(int(mixed["top"]), int(mixed["bottom"]))
    return Fraction(body.replace(",", "").replace(" ", ""))


def _word_value(words: str) -> int:
    """The value of a number in words, or of "hundred", "million" and the like on their own."""
    total = group = 0
    for word in words.replace("-", " ").split():
        if word in _SCALES:
            total, group = total + max(group, 1) * _SCALES[word], 0
        elif word == "hundred":
            group = 100 * max(group, 1)
        else:
            group += _TENS.get(word, _SMALL.get(word, 0))
    return total + group
