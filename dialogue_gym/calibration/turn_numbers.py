"""A user's turn as a few numbers: how it takes up what was said before, and what it is made of."""

import re
from collections.abc import Collection, Hashable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from dialogue_gym.calibration.words import content_words, ngrams, words
from dialogue_gym.simulators.base import UserReply, UserRequest

_LISTEN = re.compile(r"\?|\d")


def agents_message(request: UserRequest) -> str:
    """What the user answers; "" at the opening."""
    return request.conversation[-1]["content"] if len(request.conversation) else ""


def turn_numbers(request: UserRequest, reply: UserReply) -> list[float]:
    """Lengths, the stop flag, how the reply takes up what the agent said, and what it is made of."""
    agent, text = agents_message(request), reply.text
    said, heard = words(text), set(words(agent))
    digit = any(c.isdigit() for c in text)
    return [
        np.log1p(len(said)),
        np.log1p(len(text)) / 2,
        float(reply.stop),
        float(not text.strip()),
        float(not request.conversation),
        min(len(request.conversation) / 10, 1.0),
        _share(said, heard),
        float("?" in agent and digit),
        float("?" in agent and "?" in text),
        float("?" not in agent and reply.stop),
        float(bool(_LISTEN.search(text)) and not _LISTEN.search(agent)),
        float(text[:1].isupper()),
        float(text.rstrip()[-1:] in (".", "!", "?")),
        *_sources(request, text, said, heard),
    ]


def _sources(request: UserRequest, text: str, said: Sequence[str], heard: set[str]) -> list[float]:
    """Where words and numbers come from: the brief, the user's own earlier turns, or nowhere."""
    earlier = [m["content"] for m in request.conversation if m["role"] == "user"]
    told = {word for message in earlier for word in words(message)}
    known = words(request.brief.text)
    numbers = _with_digits(said)
    return [
        _share(said, set(known)),
        _share(ngrams(said, 2), set(ngrams(known, 2))),
        _share(said, told),
        float(any(n in known for n in numbers)),
        float(any(n in told for n in numbers)),
        float(any(n not in known and n not in heard for n in numbers)),
        float(text in earlier),
        *_agreement(numbers, frozenset(said), request.brief.text),
        *_agreement(numbers, frozenset(heard), request.brief.text),
    ]


def _agreement(numbers: set[str], said: frozenset[str], brief: str) -> tuple[float, float]:
    """Whether numbers agree, or disagree, with the sentence of the brief that is most about what was said."""
    sentences = _sentences(brief)
    common = [len(said & about) for about, _ in sentences]
    if not numbers or max(common, default=0) == 0:
        return 0.0, 0.0
    best = [theirs for (_, theirs), n in zip(sentences, common, strict=True) if n == max(common)]
    return float(any(numbers & theirs for theirs in best)), float(all(numbers - theirs for theirs in best))


@lru_cache(maxsize=4096)
def _sentences(text: str) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    """What each sentence is about, numbers apart, and its numbers."""
    parts = [frozenset(content_words(part)) for part in re.split(r"[.!?\n]+", text)]
    return tuple((part - _with_digits(part), frozenset(_with_digits(part))) for part in parts if part)


def _with_digits(said: Iterable[str]) -> set[str]:
    return {word for word in said if word[0].isdigit()}


def _share(said: Sequence[Hashable], of: Collection[Hashable]) -> float:
    return sum(word in of for word in said) / max(len(said), 1)
