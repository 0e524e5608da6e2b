"""Guard rails for language models that play users: what no turn of a user should be.

Signs, not proofs: they read one turn, its dialogue and its brief. They are narrow on purpose: a turn that is
refused by mistake costs a call, and where all tries are refused, the dialogue.
"""

import re
from functools import lru_cache
from typing import Literal, get_args

from dialogue_gym.simulators.base import UserRequest
from dialogue_gym.simulators.state import texts
from dialogue_gym.tasks.base import Brief

Guard = Literal["empty", "repeated", "role", "brief"]
GUARDS: tuple[Guard, ...] = get_args(Guard)

_RUN = 4  # words of an n-gram, as in the realism metric ``brief_4grams_by_turn``
_LONG_RUN = 25  # words in a row that nobody types by chance
_LEAST_GRAMS = 8  # fewer show nothing: a short brief can hardly be told in other words
_PASTED = 0.5  # share of the brief's n-grams in one turn
_FRESH = 0.5  # share of distinct runs of three words, below which a turn goes in circles
_FREE_WORDS = 2  # "yes" and "no idea" may be said again
_READ = 20_000  # characters of a turn or message that are read

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_I = re.IGNORECASE

_PIECE = r"(?:draft|notice|letter|text|version|invitation|announcement|message|document|solution|summary)"
_AS_ASSISTANT = re.compile(
    r"^[ \t*_]*(?:assistant|agent|ai|bot|chatbot)[ \t*_]*:"
    r"|\bas an? (?:ai|language model|assistant)\b|\bi(?:'m|’m| am) an? (?:ai|language model|assistant)\b"
    r"|\b(?:how|what) (?:can|may) i (?:help|assist|do for you)\b|\bi can (?:help|assist) (?:you|with)\b"
    r"|\bi(?:'m|’m| am|'d be|’d be| would be| will be) (?:glad|happy) to (?:help|assist)\b"
    r"|\bi(?:'m|’m| am) here to (?:help|assist)\b|\b(?:un)?able to assist\b|\bassist you\b"
    r"|\bhelp you with (?:that|this|your|anything)\b|\bfeel free to (?:ask|reach)\b"
    r"|\bif you have any (?:other |more |further )?questions\b|\b(?:would you like|do you want) me to\b"
    r"|\byou(?:'re|’re| are) (?:very |most )?welcome\b|\b(?:great|excellent) question\b"
    r"|^(?:sure|certainly|of course|absolutely)[!,.] (?:i (?:can|will)|let me|let's|here(?:'s| is))\b",
    _I | re.M,
)
_WRITES = re.compile(
    rf"\bhere(?:'s|’s| is) (?:the|a|an|your) (?:[\w-]+ ){{0,2}}{_PIECE}\b[^\n?]{{0,40}}[:\n]"
    r"|^[ \t*_#]*(?:draft|subject)[ \t*_]*:[ \t*_]*\S|^#{1,4} \S",
    _I | re.M,
)
_SALUTATION = re.compile(r"^[ \t]*(?:dear|hello|hi)\b[^\n]{0,60},[ \t]*$", _I | re.M)
_CLOSING = re.compile(
    r"^[ \t]*(?:sincerely|best regards|kind regards|warm regards|regards|best|yours\b[^\n]{0,20}),?[ \t]*$",
    _I | re.M,
)
_SOLVES = re.compile(
    r"\\boxed\s*\{(?P<boxed>[^{}\n]{1,40})"
    r"|\banswer (?:is|should be|would be|must be|comes to)\b[:\s*]*(?P<announced>[-$]?\d[\d.,/]*)"
    r"|\d[ \t]*[-+*/×÷x][ \t]*\$?\d[\d.,]*[ \t]*=[ \t]*(?P<computed>[-$]?\d[\d.,/]*)",
    _I,
)
_INSTRUCTIONS = re.compile(
    r"\bwhat you (?:want|know):|\bknown to (?:you|me) alone\b|\bthe person'?s (?:next )?message\b", _I
)


def faults(text: str, stop: bool, request: UserRequest) -> dict[Guard, str]:
    """What is wrong with a turn, one clause for each guard rail that it breaks.

    - ``empty``: says nothing and stays, or leaves before the agent has spoken;
    - ``repeated``: says an earlier turn of the user's, or the agent's last message, again (turns of one or
      two words may be said again), or the same over and over;
    - ``role``: speaks as the assistant, states a result that neither the brief nor the agent has, or writes
      the document;
    - ``brief``: pastes the brief: half of its runs of four words, or 25 words in a row; or repeats the
      instructions.

    Args:
        text: what the user would say.
        stop: whether the user leaves with it.
        request: what was asked.

    Example:
        >>> from dialogue_gym.seeding import NoiseKey
        >>> from dialogue_gym.simulators.personas import Persona
        >>> brief = Brief("How many eggs?", (), "There are 6 boxes of 4 eggs. How many eggs?")
        >>> request = UserRequest(0, "math", brief, Persona(), (), NoiseKey((0,)))
        >>> faults("6 * 4 = 24, so 24 eggs", False, request)
        {'role': 'solves the task'}
        >>> faults("how many eggs do i have", False, request)
        {}
    """
    found = {
        "empty": _emptiness(text, stop, request),
        "repeated": _repetition(text, request),
        "role": _role_break(text[:_READ], request),
        "brief": _pasting(text[:_READ], request.brief),
    }
    return {guard: found[guard] for guard in GUARDS if found[guard]}


def leakage(text: str, brief: Brief) -> float:
    """Share of the turn's runs of four words that stand in the brief; 0.0 for turns of fewer words.

    The same count as in the realism metric ``brief_4grams_by_turn``.
    """
    spoken = _grams(_words(text), _RUN)
    known = _known_grams(brief, _RUN)
    return sum(gram in known for gram in spoken) / len(spoken) if spoken else 0.0


def _emptiness(text: str, stop: bool, request: UserRequest) -> str:
    if stop and not request.conversation:
        return "leaves before the agent has spoken"
    return "" if text.strip() or stop else "is empty"


def _repetition(text: str, request: UserRequest) -> str:
    words = _words(text)
    if len(words) <= _FREE_WORDS:
        return ""
    grams = _grams(words, 3)
    if len(grams) >= _LEAST_GRAMS and len(set(grams)) < _FRESH * len(grams):
        return "goes in circles"
    if words in map(_words, texts(request.conversation, "user")):
        return "says an earlier turn again"
    heard = texts(request.conversation, "assistant")[-1:]
    return "says the agent's message again" if words in map(_words, heard) else ""


def _role_break(text: str, request: UserRequest) -> str:
    if _AS_ASSISTANT.search(text):
        return "speaks as the assistant"
    if _writes_document(text):
        return "writes the text"
    known: set[str] = set()
    for match in _SOLVES.finditer(text):
        known = known or _known_numbers(request)
        stated = _numbers(next(group for group in match.groups() if group))
        if not stated or stated - known:
            return "solves the task"
    return ""


def _writes_document(text: str) -> bool:
    letter = _SALUTATION.search(text) and _CLOSING.search(text)
    return bool(letter or _WRITES.search(text))


def _known_numbers(request: UserRequest) -> set[str]:
    """Numbers of the brief and of what the agent has said."""
    heard = (message[-_READ:] for message in texts(request.conversation, "assistant"))
    return _numbers("\n".join((_known(request.brief), *heard)))


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in _NUMBER.findall(text)}


def _pasting(text: str, brief: Brief) -> str:
    if _INSTRUCTIONS.search(text):
        return "repeats its instructions"
    words = _words(text)
    spoken = set(_grams(words, _RUN))
    whole = _grams(_words(brief.text or _known(brief)), _RUN)
    pasted = sum(gram in spoken for gram in whole) > _PASTED * len(whole)
    long_run = not _known_grams(brief, _LONG_RUN).isdisjoint(_grams(words, _LONG_RUN))
    return "pastes the brief" if long_run or (pasted and len(whole) >= _LEAST_GRAMS) else ""


def _known(brief: Brief) -> str:
    return "\n".join((brief.text, brief.goal, *(fact.text for fact in brief.facts)))


@lru_cache(maxsize=1024)
def _known_grams(brief: Brief, n: int) -> frozenset[tuple[str, ...]]:
    return frozenset(gram for line in _known(brief).splitlines() for gram in _grams(_words(line), n))


def _words(text: str) -> list[str]:
    return _WORD.findall(text[:_READ].lower())


def _grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
