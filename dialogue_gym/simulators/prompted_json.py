"""Turns that a language model writes as JSON: ``{"message": ..., "done": ...}``."""

import json
from collections.abc import Mapping
from typing import Any

_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into their strings
_DONE = {True: True, False: False, None: False, "true": True, "false": False}


def written_turn(text: str, stop: bool) -> str:
    """A turn as the model is asked to write it.

    Example:
        >>> written_turn("6 boxes", False)
        '{"message": "6 boxes", "done": false}'
    """
    return json.dumps({"message": text, "done": stop}, ensure_ascii=False)


def read_turn(text: str) -> tuple[str, bool]:
    """The message and whether the user is done; what stands around the object is passed over.

    Raises:
        ValueError: no object with a text "message", or a "done" that is no truth value.

    Example:
        >>> read_turn('Sure: {"message": "6 boxes", "done": "false"}')
        ('6 boxes', False)
    """
    given = _first_turn(text)
    message, done = given["message"], given.get("done")
    if isinstance(done, str):
        done = done.strip().lower()
    if not isinstance(done, bool | str | None) or done not in _DONE:
        raise ValueError(f'"done" should be true or false, got {str(done)[:20]!r}')
    return message.strip(), _DONE[done]


def _first_turn(text: str) -> Mapping[str, Any]:
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and isinstance(found.get("message"), str):
            return found
        start = text.find("{", start + 1)
    raise ValueError('no JSON object with a text "message"')
