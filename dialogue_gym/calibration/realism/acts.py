"""What a user's message does: a small rule-based classifier of dialogue acts, and signs of a broken role.

The acts are those that users of help chats show, in the spirit of ISO 24617-2 but few enough to count in
logs of some dozen dialogues. The rules are tried in order; the first that fits names the act.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from dialogue_gym.calibration.words import words
from dialogue_gym.dialogue import Conversation

ACTS = (
    "request",
    "closing",
    "correction",
    "urge",
    "question",
    "acknowledgement",
    "answer",
    "statement",
    "nothing",
)
"""In the order of reports. "answer" is what follows a question of the agent, "statement" the rest."""

_CLOSING = re.compile(
    r"\b(?:thank(?:s| you)|thx|ty|bye|perfect|that(?:'s| is) (?:all|it|great|perfect)|never ?mind|forget it"
    r"|i'?ll ask someone|looks (?:good|great|right)|what i (?:needed|wanted)|i'?m (?:done|good|all set))\b",
    re.I,
)
_CORRECTION = re.compile(
    r"^(?:no|nope|wait|but|sorry|actually|hm+|that(?:'s| is| can'?t be|s)? (?:not|n't|wrong|incorrect|right))"
    r"\b|\bi meant\b|\bnot (?:quite|right|what i)"
    r"|\b(?:wrong|incorrect|mistake|are you sure|check (?:that|it|again))\b"
    r"|\bdon'?t (?:like|think that)|\bi (?:dis)agree\b|\bshould(?:n'?t)? (?:be|have|say)\b",
    re.I,
)
_URGE = re.compile(
    r"^\W*\?+\W*$|\bjust (?:\w+ )?(?:solve|write|tell|give|do|answer)"
    r"|\b(?:and|what(?:'s| is)) the (?:final )?answer\b"
    r"|\bcan you write it (?:now|again)|\bok and\b|\bhurry\b|\b(?:solve|do) (?:it|this) for me\b",
    re.I,
)
_REQUEST = re.compile(
    r"\b(?:please|pls|plz)\b|^(?:can|could|would|will) (?:you|u)\b|\bi (?:need|want|would like|'?d like)\b"
    r"|^(?:\w+, )?(?:write|make|add|change|remove|give|show|explain|help|tell|create|rewrite"
    r"|include|use|solve)\b"
    r"|\b(?:help|show) me\b|\blet'?s\b",
    re.I,
)
_ASKING = re.compile(
    r"\?|^(?:what|how|why|where|when|who|which|is|are|do|does|did|can|should|am|was|so what)\b", re.I
)
_ACKNOWLEDGEMENT = re.compile(
    r"^\W*(?:ok(?:ay|ey)?|k|yes|yeah|yep|yup|sure|right|got it|i see|alright|great|cool|good|nice|fine"
    r"|makes sense|i understand|understood|agreed|correct|wow|hm+|oh|ah|true|exactly|no)\b",
    re.I,
)


def act(text: str, context: Conversation) -> str:
    """The act of a user's message that follows ``context`` (empty for an opening); one of ``ACTS``.

    Example:
        >>> asked = ({"role": "user", "content": "..."}, {"role": "assistant", "content": "How many?"})
        >>> act("12", asked), act("no, it's 13", asked), act("thanks!", asked)
        ('answer', 'correction', 'closing')
    """
    text = text.strip()
    count = len(words(text))
    if not text:
        return "nothing"
    if not context:
        return "request"
    if _CLOSING.search(text) and count <= 15 and "?" not in text:
        return "closing"
    if _CORRECTION.search(text):
        return "correction"
    if _URGE.search(text) and count <= 12:
        return "urge"
    if _REQUEST.search(text):
        return "request"
    if _ASKING.search(text):
        return "question"
    if _ACKNOWLEDGEMENT.search(text) and count <= 6:
        return "acknowledgement"
    return "answer" if "?" in context[-1]["content"] else "statement"


ROLE_BREAKS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "solves": re.compile(
            r"\b(?:the|final|my) (?:final )?(?:answer|solution) (?:is|:)"
            r"(?! (?:right|wrong|correct|not|the same))"
            r"|\\boxed|^draft:|\b(?:therefore|hence|thus),? .*=\s*-?\d|\bhere(?:'s| is) (?:the|a|your|my)"
            r" (?:\w+ )?(?:solution|draft|notice|text|version|answer|breakdown)\b",
            re.I | re.M,
        ),
        "speaks as assistant": re.compile(
            r"\bas an? (?:ai|language model|assistant|tutor)\b|\b(?:great|good|excellent) question\b"
            r"|\byou(?:'re| are) (?:very )?welcome\b|"
            r"\bi(?:'m| am| would be|'d be) (?:sorry to hear|an ai|here to|glad"
            r"|happy to (?:help|assist|provide))"
            r"|^(?:sure|certainly|of course|absolutely)[!,.] (?:i|let|here|to)\b|\blet(?:'s| us) break\b"
            r"|\bto solve this\b|\bstep[- ]by[- ]step:|^#+ |\*\*step",
            re.I | re.M,
        ),
        "offers help": re.compile(
            r"\b(?:how|what) (?:can|may) i (?:help|assist|do for you)"
            r"|\blet me (?:help|know if you|explain|show you)"
            r"|\bwould you like me to\b|\bdo you want me to\b|\bi can (?:help|assist) you\b"
            r"|\bfeel free to ask\b|\bhow (?:can|may) i assist\b"
            r"|\bif you have any (?:other|more|further)? ?question",
            re.I,
        ),
    }
)
"""Signs that a user has slipped into the agent's role; people show few of them, never none.

Wider than the guard rails of ``simulators.prompted_guards``, which refuse a turn and so must hardly ever err;
those count as a broken role what a brief and a dialogue do not explain, these read the text alone.
"""


def breaks_role(text: str) -> bool:
    """Whether a user's message shows a sign of a broken role.

    Example:
        >>> breaks_role("Sure! I can help you with that."), breaks_role("can you help me?")
        (True, False)
    """
    return any(pattern.search(text) for pattern in ROLE_BREAKS.values())
