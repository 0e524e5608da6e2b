"""Which language the users of a log write, where there is enough text to tell."""

from collections import Counter
from collections.abc import Mapping, Sequence

from dialogue_gym.logs.records import DialogueRecord

MIN_LETTERS = 60
"""A user who wrote fewer letters than this is of no known language."""

MIN_MARGIN = 20.0
"""Nats by which another language must explain the text better than the majority's.

On people's and simulated students' English, much of it formulas, the largest error is 4.4 nats; one
sentence of German, French, Spanish or Dutch is off by more than 100.
"""


def strangers(records: Sequence[DialogueRecord]) -> tuple[str, dict[int, str]]:
    """The language of most users, and which records' users clearly write another.

    Returns:
        The majority's code (ISO 639-1; "" where no user wrote enough) and a code for each index of a
        record in another language.

    Raises:
        ImportError: without py3langid, if any user wrote enough to tell.
    """
    scores = {i: _scores(text) for i, text in enumerate(map(_user_text, records)) if _is_enough(text)}
    if not scores:
        return "", {}
    best = {i: max(of, key=of.__getitem__) for i, of in scores.items()}
    majority = Counter(best.values()).most_common(1)[0][0]
    others = {i: code for i, code in best.items() if scores[i][code] - scores[i][majority] >= MIN_MARGIN}
    return majority, others


def _user_text(record: DialogueRecord) -> str:
    return "\n".join(m["content"] for m in record.messages if m["role"] == "user")


def _is_enough(text: str) -> bool:
    return sum(map(str.isalpha, text)) >= MIN_LETTERS


def _scores(text: str) -> Mapping[str, float]:
    """Log-likelihood of the text under each language."""
    try:
        import py3langid  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            'telling languages apart needs py3langid: pip install "dialogue-gym[cli]"; or keep all languages'
        ) from None
    return {str(code): float(score) for code, score in py3langid.rank(text)}
