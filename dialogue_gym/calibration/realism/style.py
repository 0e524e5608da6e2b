"""Style: features of user turns at the level of patterns, after the User-Sim Index (2603.11245).

The index names its features and not its patterns; the patterns here are ours, so figures compare speakers
within a report and not with that paper's.
"""

import re
from collections.abc import Callable, Mapping

import numpy as np

from dialogue_gym.calibration.realism.acts import act, breaks_role
from dialogue_gym.calibration.realism.leakage import told_facts, told_words
from dialogue_gym.calibration.realism.measures import Metric, dialogue_sums, dice, distance, ratio
from dialogue_gym.calibration.realism.resampling import Floats
from dialogue_gym.calibration.realism.speech import Speaker, SpokenTurn
from dialogue_gym.calibration.words import words
from dialogue_gym.simulators.state import texts

Feature = Callable[[SpokenTurn], float | None]
"""A number for a turn; None where the feature does not apply."""


def matches(pattern: str) -> Feature:
    """Whether a turn holds the pattern, in any case."""
    compiled = re.compile(pattern, re.I)
    return lambda turn: float(bool(compiled.search(turn.text)))


def count_words(turn: SpokenTurn) -> float:
    """Words of the turn."""
    return float(len(words(turn.text)))


def _squared_words(turn: SpokenTurn) -> float:
    return count_words(turn) ** 2


def _is_short(turn: SpokenTurn) -> float:
    return float(count_words(turn) <= 3)


def _is_formal(turn: SpokenTurn) -> float:
    text = turn.text.strip()
    return float(text[:1].isupper() and text[-1:] in ".!?")


def _only_acknowledges(turn: SpokenTurn) -> float:
    return float(_act(turn) in ("acknowledgement", "closing") and count_words(turn) <= 6)


def _act(turn: SpokenTurn) -> str:
    return act(turn.text, turn.logged.request.conversation)


def _repetition(turn: SpokenTurn) -> float | None:
    """Share of the turn's words that the user has said before."""
    before = {w for text in texts(turn.logged.request.conversation, "user") for w in words(text)}
    said = words(turn.text)
    return sum(word in before for word in said) / len(said) if said and before else None


def _role_confusion(turn: SpokenTurn) -> float:
    return float(breaks_role(turn.text))


def _front_loading(turn: SpokenTurn) -> float | None:
    """Share of the brief's facts, or of its content words where it has none, told in the opening."""
    if not turn.logged.is_opening:
        return None
    told, held = (told_facts if turn.logged.request.brief.facts else told_words)(turn)
    return told / held if held else None


def _identifiers(turn: SpokenTurn) -> float:
    """Words with a digit: amounts, dates, times, names of things."""
    return float(sum(any(c.isdigit() for c in word) for word in words(turn.text)))


def _opening_length(turn: SpokenTurn) -> float | None:
    return count_words(turn) if turn.logged.is_opening else None


def _later(feature: Feature) -> Feature:
    """Only in replies to the agent."""
    return lambda turn: None if turn.logged.is_opening else feature(turn)


FEATURES: Mapping[str, Mapping[str, Feature]] = {
    "D1 style": {
        "words": count_words,
        "short": _is_short,
        "polite": matches(
            r"\b(?:please|pls|plz|thanks?|thank you|thx|sorry|hi|hello|hey|appreciate"
            r"|excuse me|would you mind)\b"
        ),
        "formal": _is_formal,
        "acknowledges only": _only_acknowledges,
        "length variation": _squared_words,  # becomes the standard deviation of words
        "repetition": _repetition,
        "role confusion": _role_confusion,
    },
    "D2 disclosure": {
        "front-loading": _front_loading,
        "identifiers": _identifiers,
        "opening length": _opening_length,
    },
    "D3 clarification": {
        "uncertainty": _later(
            matches(
                r"\b(?:i think|i guess|maybe|perhaps|probably|not sure|no idea|idk|unsure|i suppose|might"
                r"|may be|don'?t (?:know|understand|get)|confused|i believe)\b"
            )
        ),
        "certainty": _later(
            matches(r"\b(?:definitely|certainly|surely|of course|exactly|i know|i'?m sure|clearly|must be)\b")
        ),
        "pushback": _later(
            matches(
                r"^(?:no|nope|but|wait)\b|\b(?:wrong|incorrect|not (?:right|quite|what)|can'?t be|mistake"
                r"|disagree|are you sure|don'?t (?:like|want|think))\b"
            )
        ),
        "clarifying question": _later(
            matches(
                r"\b(?:what do you mean|you mean|how did you|explain|which one|is (?:that|this|it)\b[^.]*\?)"
            )
        ),
        "information question": _later(
            matches(r"\b(?:what|how|why|when|where|who|which)\b[^.!]*\?|^(?:what|how|why|which)\b")
        ),
    },
    "D4 error reaction": {
        "emotion": _later(
            matches(
                r"!|\b(?:ugh|argh|wow|great|awesome|love|hate|annoy\w*|frustrat\w*|happy|sad|damn|perfect|lol|haha)\b"
            )
        ),
        "accusation": _later(
            matches(
                r"\byou(?:'re| are| were)? (?:wrong|not|did(?:n'?t| not)|forgot|missed|made|never|keep"
                r"|ignored|said)\b"
                r"|\byour (?:answer|mistake|error|fault)\b"
            )
        ),
        "change of strategy": _later(
            matches(
                r"\b(?:instead|another way|different(?:ly)?|let'?s (?:try|do|start|go)|start over"
                r"|try (?:again|to)|what if|forget (?:it|that)|never ?mind|someone else|again)\b"
            )
        ),
    },
}
"""The features of the index's four parts that need no judge."""


def feature_sums(speaker: Speaker, part: str) -> Floats:
    """(dialogues, 2, features): sums of each feature of a part, and in how many turns it applies."""

    def of_turn(turn: SpokenTurn) -> Floats:
        values = [feature(turn) for feature in FEATURES[part].values()]
        return np.array([[v or 0.0 for v in values], [float(v is not None) for v in values]])

    return dialogue_sums(speaker, of_turn)


def feature_means(part: str, totals: Floats) -> Floats:
    """(K, 2, features) to (K, features); lengths' squares become their standard deviation."""
    means = ratio(totals[:, 0], totals[:, 1])
    if part == "D1 style":
        names = list(FEATURES[part])
        size, spread = names.index("words"), names.index("length variation")
        means[:, spread] = np.sqrt(np.maximum(means[:, spread] - means[:, size] ** 2, 0.0))
    return means


def _metric(part: str) -> Metric:
    return Metric(
        part.replace(" ", "_").lower(),
        "style",
        "higher",
        "similarity",
        "turns",
        "User-Sim Index (2603.11245): Dice similarity of means of " + ", ".join(FEATURES[part]),
        distance(
            lambda speaker: feature_sums(speaker, part),
            lambda a, b: dice(feature_means(part, a), feature_means(part, b)),
        ),
        (0.0, 1.0),
    )


METRICS = tuple(_metric(part) for part in FEATURES)
