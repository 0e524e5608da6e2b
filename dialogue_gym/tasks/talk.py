"""What a program can say about a procedural task that it knows from nothing but the conversation.

It knows the forms of the procedural templates and never the reference. On other tasks it asks for what is
missing and states nothing.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from dialogue_gym.dialogue import Conversation
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.tasks.base import Kind
from dialogue_gym.tasks.documents import GENRES, STYLES, family_goal, render_notice
from dialogue_gym.tasks.math import evaluate
from dialogue_gym.tasks.math_families import FAMILIES, FactTemplate, Family

_LOST = "Could you tell me what is missing?"


def question(kind: Kind, conversation: Conversation, key: NoiseKey) -> str | None:
    """A question for one of the facts that the user has not told, None when all are known.

    Args:
        kind: of the task, "math" or "document".
        conversation: the dialogue so far, the user last.
        key: chooses among the missing facts.

    Example:
        >>> opening = {"role": "user", "content": "I need a plain thank-you note"}
        >>> question("document", [opening], NoiseKey((1,)))
        'Could you tell me what is missing?'
    """
    return _ask_math(conversation, key) if kind == "math" else _ask_document(conversation, key)


def result(kind: Kind, conversation: Conversation, key: NoiseKey) -> str:
    """The answer or draft that follows from what the user told; facts not told are made up.

    Args:
        kind: of the task, "math" or "document".
        conversation: the dialogue so far, the user last.
        key: of what is made up.
    """
    return _answer_math(conversation, key) if kind == "math" else _draft(conversation, key)


def _plain(text: str) -> str:
    """Lower case without punctuation, as the tersest persona types."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower().replace("'", "")).split())


# math ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Story:
    """A family recognised in an opening, with its words."""

    family: Family
    words: dict[str, str]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """A template as a regex over plain text: words and numbers become groups."""
    plain = _plain(re.sub(r"\{(\w)\}", r" slot\1 ", template))
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return rf"(?P<{name}>\d+)" if name in "abcd" else rf"(?P<{name}>[a-z]+)"

    return re.compile(r"\b" + re.sub(r"slot(\w)", group, plain) + r"\b")


@lru_cache(maxsize=1024)
def _find_story(opening: str) -> _Story | None:
    text = _plain(opening)
    fitting = [
        family
        for family in FAMILIES
        if _pattern(family.goal).search(text) and all(_clause(fact, text) for fact in family.facts)
    ]
    if not fitting:
        return None
    # a story of several steps holds the clauses of shorter ones too
    family = max(fitting, key=lambda family: len(family.facts))
    words: dict[str, str] = {}
    for template in (*(f.text for f in family.facts), *(f.vague for f in family.facts), family.goal):
        if found := _pattern(template).search(text):
            words.update({k: v for k, v in found.groupdict().items() if k in "nmi"})
    names = {k: v.capitalize() if k in "nm" else v for k, v in words.items()}
    return _Story(family, {"n": "", "m": "", "i": "", **names})


def _clause(fact: FactTemplate, text: str) -> re.Match[str] | None:
    return _pattern(fact.text).search(text) or _pattern(fact.vague).search(text)


def _named(template: str, story: _Story) -> str:
    """The template with the story's people filled in, so that two people's facts stay apart."""
    return template.replace("{n}", story.words["n"]).replace("{m}", story.words["m"])


def _values(story: _Story, conversation: Conversation) -> dict[str, int]:
    """The latest value that the user gave for each slot."""
    values: dict[str, int] = {}
    asked: str | None = None
    for message in conversation:
        if message["role"] == "assistant":
            questions = {f.question.format(**story.words): f.slot for f in story.family.facts}
            asked = questions.get(message["content"], asked)
        else:
            asked = _hear(story, _plain(message["content"]), values, asked)
    return values


def _hear(story: _Story, text: str, values: dict[str, int], asked: str | None) -> str | None:
    """Update ``values`` by one user message; returns the slot that a bare number would now be about."""
    matched = None
    for fact in story.family.facts:
        found = _pattern(_named(fact.text, story)).search(text)
        if found:
            values[fact.slot] = int(found[fact.slot])
            matched = fact.slot
    numbers = re.findall(r"\d+", text)
    if matched is None and numbers:
        correction = re.search(r"(\d+) not (\d+)", text)
        wrong = int(correction[2]) if correction else None
        slot = next((s for s, v in values.items() if v == wrong), asked)
        if slot is not None:
            values[slot] = int(numbers[0])
            matched = slot
    return matched or asked


def _ask_math(conversation: Conversation, key: NoiseKey) -> str | None:
    story = _find_story(conversation[0]["content"])
    if story is None:
        return _LOST
    values = _values(story, conversation)
    missing = [fact for fact in story.family.facts if fact.slot not in values]
    return key.child("which").choice(missing).question.format(**story.words) if missing else None


def _answer_math(conversation: Conversation, key: NoiseKey) -> str:
    story = _find_story(conversation[0]["content"])
    if story is None:
        return _LOST
    values = _values(story, conversation)
    if any(fact.slot not in values for fact in story.family.facts):
        values = _guess(story.family, values, key)
    ordered = {fact.slot: values[fact.slot] for fact in story.family.facts}
    answer = evaluate(story.family.formula, ordered)
    if answer is None:  # a slip can make the numbers impossible: then the user is asked to look again
        return "Something is off. " + story.family.facts[0].question.format(**story.words)
    terms = re.split(r"([+*/-])", story.family.formula)
    shown = " ".join(str(ordered.get(term, term)) for term in terms)
    unit = story.family.unit.format(**story.words)
    return f"{shown} = {answer}. The answer is {answer} {unit}."


def _guess(family: Family, values: dict[str, int], key: NoiseKey) -> dict[str, int]:
    """Make up the missing numbers, so that the formula has an answer where that is possible."""
    rng = key.child("guess").generator()
    for _ in range(200):
        full = {f.slot: values.get(f.slot, int(rng.integers(2, 13))) for f in family.facts}
        answer = evaluate(family.formula, full)
        if answer is not None and answer <= 20:
            return full
    return full


# documents -----------------------------------------------------------------------------------------


@cache
def _goals() -> dict[str, str]:
    return {_plain(family_goal(f"{g}/{s}")): f"{g}/{s}" for g in GENRES for s in STYLES}


def _heard_facts(family: str, conversation: Conversation) -> dict[str, str]:
    """The latest value of each fact in the user's messages, by the closed lists of values."""
    slots = GENRES[family.partition("/")[0]].slots
    known: dict[str, str] = {}
    for message in conversation:
        if message["role"] == "user":
            text = " " + re.sub(r"\bnot [\w ]+$", "", _plain(message["content"])) + " "
            for name, slot in slots.items():
                for value in slot.values:
                    if f" {value.lower()} " in text:
                        known[name] = value
    return known


def _read_document(conversation: Conversation) -> tuple[str, dict[str, str], list[str]] | None:
    """Family, known facts and the names of the missing ones; None where no notice is asked for."""
    text = _plain(conversation[0]["content"])
    family = next((family for goal, family in _goals().items() if goal in text), None)
    if family is None:
        return None
    known = _heard_facts(family, conversation)
    return family, known, [name for name in GENRES[family.partition("/")[0]].slots if name not in known]


def _ask_document(conversation: Conversation, key: NoiseKey) -> str | None:
    read = _read_document(conversation)
    if read is None:
        return _LOST
    missing = read[2]
    return f"What is the {key.child('which').choice(missing)}?" if missing else None


def _draft(conversation: Conversation, key: NoiseKey) -> str:
    read = _read_document(conversation)
    if read is None:
        return _LOST
    family, known, missing = read
    slots = GENRES[family.partition("/")[0]].slots
    made_up = {name: key.child("guess", name).choice(slots[name].values) for name in missing}
    return "Draft: " + render_notice(family, {**known, **made_up})
