"""Finding the agent's draft in a dialogue, without what the user wrote."""

import re

from dialogue_gym.dialogue import Conversation

_TAIL = 20_000  # characters of a message, or of all the user's messages, that are read, from their end
_RUN = 4  # words in a row that a draft must share with a user message to count as copied
_COPIED = 0.9  # share of copied words from which a sentence is the user's, not the agent's
_MIN_WORDS = 5  # of an unmarked draft

_I = re.IGNORECASE
_FENCE = re.compile(r"```[^\n`]{0,30}\n(.+?)(?:```|\Z)", re.DOTALL)
_PIECE = r"(?:draft|version|notice|text|letter|invitation|announcement|message|document)"
_HERE = r"here(?:'s|’s| is)\b[^\n:]{0,80}"
_MARK = re.compile(
    rf"^[ \t*_#>]*(?:(?:(?:first|second|my)\s+)?draft(?:\s+[a-z0-9]{{1,20}})?"
    rf"|(?:final|new|updated|revised)\s+{_PIECE}|(?:[^\n:]{{0,40}}\b)?{_HERE})[*_]*\s*:[*_\s]*(?=\S)",
    _I | re.M,
)
_INLINE_MARK = re.compile(rf"(?<=[.!?] )(?:draft|{_HERE})\s*:\s*(?=\S)", _I)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”')]*\s+|\n+")
_WORD = re.compile(r"\w+")
_SMALL_TALK = re.compile(  # sentences that are said to the user; looked for before a draft
    r"[\W_]*(?:you(?:'re|’re| are) (?:very |most )?welcome|thank(?:s| you)|of course|no problem|got it"
    r"|(?:sure|great|okay|ok|certainly|absolutely|perfect|hello|hi)[^\w ]|glad|happy to|let me know"
    r"|feel free|i hope|i(?:'m|’m|'ve|’ve|'ll|’ll| am| have| will| can| need| changed| added)\b"
    r"|please (?:tell|let|give|share|provide) me|could you|can you|good luck"
    r"|have a (?:great|nice|good|lovely))",
    _I,
)
# a notice may end with the same thanks as a message of the user
_COURTESIES = frozenset({("thank", "you"), ("thanks",), ("many", "thanks"), ("thank", "you", "all")})
_OFFER = re.compile(  # the same after a draft, where a thank-you may belong to it
    r"[\W_]*(?:you(?:'re|’re| are) (?:very |most )?welcome|let me know if"
    r"|feel free to (?:ask|tell|change)|i hope (?:this|that|it)|(?:glad|happy) to (?:help|change)"
    r"|i can (?:also )?(?:change|adjust|add|make))\b",
    _I,
)


def extract_draft(conversation: Conversation) -> str:
    """The agent's last draft in a dialogue, or "" when it wrote none.

    A marked draft (``Draft: ...``, ``Here is the notice: ...``, a code fence) wins over what stands around
    it; a message without a mark is a draft when more than questions and small talk is left of it, and
    replaces an earlier marked draft only when it is at least two thirds as long. Sentences that merely repeat
    the user's words are the user's work and are dropped (see ``without_user_text``).

    Example:
        >>> extract_draft(
        ...     [
        ...         {"role": "user", "content": "a notice about chess please"},
        ...         {
        ...             "role": "assistant",
        ...             "content": "Sure! Draft: Chess club meets on Friday. Is that fine?",
        ...         },
        ...         {"role": "user", "content": "yes"},
        ...         {"role": "assistant", "content": "You're welcome!"},
        ...     ]
        ... )
        'Chess club meets on Friday.'
    """
    unmarked: tuple[str, int] | None = None
    for position in range(len(conversation) - 1, -1, -1):
        message = conversation[position]
        if message["role"] != "assistant":
            continue
        marked, draft = draft_in(message["content"])
        if marked and (unmarked is None or 3 * len(unmarked[0].split()) < 2 * len(draft.split())):
            return without_user_text(draft, _user_texts(conversation, position))
        if draft and not marked and unmarked is None:
            unmarked = draft, position
    return without_user_text(unmarked[0], _user_texts(conversation, unmarked[1])) if unmarked else ""


def draft_in(message: str) -> tuple[bool, str]:
    """Whether a message marks a draft, and the draft ("" when there is none)."""
    text = message[-_TAIL:]
    fences = _FENCE.findall(text)
    if fences and fences[-1].strip():
        return True, fences[-1].strip()
    marks = [*_MARK.finditer(text)] or [*_INLINE_MARK.finditer(text)]
    if marks:
        draft = _trim(text[marks[-1].end() :], from_start=False)
        return bool(draft), draft
    draft = _trim(text, from_start=True)
    return False, draft if len(draft.split()) >= _MIN_WORDS else ""


def without_user_text(draft: str, user_texts: list[str]) -> str:
    """The draft without the sentences that are made of the user's words alone.

    A word is copied when it lies in a run of at least four words that also stands in a user message, or in
    a run that is a whole user message; a sentence of at least four words that is copied to 90 % is dropped,
    and so is a shorter one that is a whole user message, unless it only says thank you.
    """
    messages = [_words(text) for text in user_texts]
    runs = {tuple(words[i : i + _RUN]) for words in messages for i in range(len(words) - _RUN + 1)}
    wholes = {tuple(words) for words in messages if 0 < len(words) < _RUN}
    kept = [
        s
        for s in _sentences(draft)
        if tuple(_words(s)) in _COURTESIES or not _is_copied(_words(s), runs, wholes)
    ]
    return " ".join(kept)


def _is_copied(words: list[str], runs: set[tuple[str, ...]], wholes: set[tuple[str, ...]]) -> bool:
    copied = [False] * len(words)
    for i in range(len(words)):
        for length in range(1, _RUN + 1):
            piece = tuple(words[i : i + length])
            if len(piece) == length and piece in (runs if length == _RUN else wholes):
                copied[i : i + length] = [True] * length
    return bool(words) and sum(copied) >= _COPIED * len(words)


def _user_texts(conversation: Conversation, end: int) -> list[str]:
    """What the user wrote before message ``end``."""
    texts = [message["content"] for message in conversation[:end] if message["role"] == "user"]
    return [text[-_TAIL:] for text in texts]


def _trim(text: str, from_start: bool) -> str:
    """Text without small talk and questions at its end and, if asked, at its start."""
    sentences = _sentences(text)
    while sentences and (sentences[-1].rstrip("*_ ").endswith("?") or _OFFER.match(sentences[-1])):
        sentences.pop()
    while from_start and sentences and (sentences[0].endswith(("?", ":")) or _SMALL_TALK.match(sentences[0])):
        sentences.pop(0)
    return " ".join(sentences).strip('"“” \n*')


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE_END.split(text) if sentence and sentence.strip()]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
