"""Briefs for documents that come without facts: what a person would know who does not have the text.

The brief names the kind of text, its title, about how long it is, and for each stretch of it two short
phrases. No eight words in a row of the target are in it, so a user who reads the brief aloud solves nothing.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from dialogue_gym.tasks.base import Brief, Fact
from dialogue_gym.tasks.word_problems import STOPWORDS

MOST_SHARED = 7  # words in a row that a brief may share with its target
_POINTS, _PHRASES = 5, 2
_WORDS_A_POINT = 40
_LONGEST_TITLE = 120
_LONGEST_WORD = 30  # longer ones are addresses, or scripts that put no space between words
_WORD = re.compile(r"\w+(?:[-’']\w+)*")
_RUN = re.compile(r"[^.,;:!?()\[\]{}\"“”<>|/\\*_#\n]+")  # what stands between two marks
_OPENING = {0: "it should begin with", 1: "then it comes to", 2: "it also talks about", 3: "after that come"}
_TOPICS = ("point", "points", "cover", "topics", "topic", "include", "mention", "content", "details")
_VAGUE_WORDS = frozenset(
    (
        "above across again along also always another anyone anything around ask asked back because "
        "become began begin behind being below beside best better between big both call called came come "
        "comes coming could didn doesn don either end ends even ever every everyone everything few find "
        "first found gets getting give given gives go goes going good got great here inside instead just "
        "keep kind know last least less let like little ll long look lot lots made make makes making may "
        "maybe mean might must near need never new next nothing now often old once ones only outside over "
        "own people put quite rather re really right said same say see seem several since someone "
        "something sometimes soon started still stopped such sure take takes tell thing things think "
        "though thought through time today together told too took toward towards try twice under until "
        "upon us use used using ve very want way well went whether without work would year years yes yet "
    ).split()
)


def brief_of_document(text: str, title: str = "", goal: str = "", genre: str = "") -> Brief:
    """A brief for the writing of ``text``; its facts are points to touch, in order, none of them required.

    Args:
        text: the target.
        title: shortened to seven words where the text holds it word for word.
        goal: what the user asks for, where the data say so; else made from genre, title and length.
        genre: the kind of text, "article" where it is not known.

    Example:
        >>> text = "Maple syrup comes from trees. Farmers collect the sap in buckets. " * 5
        >>> brief = brief_of_document(text, "Maple syrup")
        >>> brief.goal
        'an article with the title "Maple syrup", about 60 words long'
        >>> brief.facts[0].text
        'it should begin with Maple syrup and Farmers collect'
    """
    genre = genre.strip() or "article"
    points = list(_points(text))
    facts = tuple(_fact(i, phrases, text) for i, phrases in enumerate(points))
    if not goal:
        goal = f"{_article(genre)} {genre}{_about(text, title)}, about {_round(len(text.split()))} words long"
    said = f"I need {goal}." + "".join(f" {fact.text[0].upper()}{fact.text[1:]}." for fact in facts)
    return Brief(goal, facts, said, genre=genre)


def shared_run(brief: str, target: str) -> int:
    """The number of words in the longest run that both texts hold, whatever the case and the marks.

    Example:
        >>> shared_run("We need bread, tea and cake!", "Bring bread, tea and soup.")
        3
    """
    left, right = ([word.casefold() for word in _WORD.findall(text)] for text in (brief, target))
    longest = 0
    while longest < len(left) and _runs(left, longest + 1) & _runs(right, longest + 1):
        longest += 1
    return longest


def _runs(words: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" else "a"


def _about(text: str, title: str) -> str:
    title = " ".join(title.replace('"', "'").split())
    words = list(_WORD.finditer(title))
    if len(words) > 2 * MOST_SHARED or shared_run(title, text) > MOST_SHARED:
        cut = words[:MOST_SHARED]
        while len(cut) > 1 and cut[-1].group().casefold() in STOPWORDS:
            cut.pop()
        title = title[: cut[-1].end()]
    title = title[:_LONGEST_TITLE].strip()
    return f' with the title "{title}"' if title else ""


def _round(words: int) -> int:
    step = 10 if words < 100 else 50
    return max(step, step * round(words / step))


def _points(text: str) -> Iterator[tuple[str, ...]]:
    """For each stretch of the text its two most telling phrases, none of whose words come twice."""
    runs = [run for run in _RUN.findall(text) if run.strip()]
    words = Counter(word.casefold() for word in _WORD.findall(text))
    total = words.total()
    stretches = max(1, min(_POINTS, total // _WORDS_A_POINT))
    taken: set[str] = set()
    seen = 0
    phrases: list[list[str]] = [[] for _ in range(stretches)]
    for run in runs:
        phrases[min(stretches - 1, seen * stretches // max(1, total))] += _phrases(run)
        seen += len(_WORD.findall(run))
    for candidates in phrases:
        chosen = []
        for phrase in sorted(dict.fromkeys(candidates), key=lambda phrase: -_weight(phrase, words)):
            parts = {part.casefold() for part in _WORD.findall(phrase)}
            if taken.isdisjoint(parts):
                taken |= parts
                chosen.append(phrase)
            if len(chosen) == _PHRASES:
                break
        if chosen:
            yield tuple(sorted(chosen, key=candidates.index))


def _phrases(run: str) -> Iterator[str]:
    """One to three words in a row that say something."""
    telling: list[str] = []
    for word in [*run.split(), ""]:
        plain = word.casefold()
        if _WORD.fullmatch(word) and plain not in STOPWORDS | _VAGUE_WORDS and 2 < len(word) <= _LONGEST_WORD:
            telling.append(word)
            continue
        if telling:
            yield " ".join(telling[:3])
        telling = []


def _weight(phrase: str, words: Counter[str]) -> float:
    """Names, and longer phrases of words that come again, say most of what a stretch is about."""
    parts = _WORD.findall(phrase)
    again = sum(1.0 + math.log(max(1, words[part.casefold()])) for part in parts)
    return (again + any(part[0].isupper() for part in parts[-1:])) / math.sqrt(len(parts))


def _fact(number: int, phrases: Sequence[str], text: str) -> Fact:
    opening = _OPENING.get(number, "and there should be something on")
    value = " and ".join(phrases)
    if shared_run(f"{opening} {value}", text) > MOST_SHARED:  # the text itself says "and" between them
        value = phrases[0]
    words = tuple(dict.fromkeys(word.casefold() for word in _WORD.findall(value) if word != "and"))
    return Fact(f"point {number + 1}", value, f"{opening} {value}", topics=(*_TOPICS, *words))
