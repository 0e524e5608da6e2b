"""What an OpenAI-compatible server answers: read into completions, or into why there is none."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from dialogue_gym.dialogue import clean_text, visible
from dialogue_gym.language_models.base import Completion

_RETRIED = {408, 409, 425, 429}  # and every 5xx
_TOO_LONG = {400, 413, 422}
# OpenAI, vLLM, SGLang, llama.cpp and text-generation-inference, in this order
_OVERFLOW = re.compile(
    r"context[_ ]length|maximum (context|model length)|longer than the model|context[_ ]size|inputs tokens",
    re.IGNORECASE,
)


class UnusableAnswerError(ValueError):
    """A server said "200 OK" and sent no chat completion; proxies do that for a moment, too."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt gave no completion.

    Attributes:
        problem: what happened, in one line of any length.
        advice: what would be right.
        transient: whether another attempt may help.
        wait_s: seconds that the server asks to wait before it.
        overflow: whether the context was too long for the model.
        closed: whether there was no connection at all.
        missing: whether the server knows no such model or path (HTTP 404).
        timed_out: whether the answer did not come in time.
        url: of the server, once there are no more attempts.
    """

    problem: str
    advice: str = ""
    transient: bool = True
    wait_s: float = 0.0
    overflow: bool = False
    closed: bool = False
    missing: bool = False
    timed_out: bool = False
    url: str = ""


def read_answer(body: bytes) -> Completion | Failure:
    """The completion in the body of an answer, or why the server gave none.

    Token ids are there where the server gives them (vLLM with ``return_token_ids``); log-probabilities
    belong to them, or, where there are none, to tokens that the server does not number.

    Raises:
        UnusableAnswerError: no JSON, no chat completion, or one without a text; with how it begins.
    """
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        return _completion(answer, choice, choice["message"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UnusableAnswerError(one_line(body[:2000].decode("utf-8", "replace"))) from None


def _completion(
    answer: Mapping[str, Any], choice: Mapping[str, Any], message: Mapping[str, Any]
) -> Completion | Failure:
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        return Failure("the server's content filter stopped the answer", transient=False)
    text = message.get("content")
    if text is None:  # a refusal has its own field; a model that only thought has said nothing
        text = message.get("refusal") or ""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    ids = [int(i) for i in choice.get("token_ids") or []]
    tokens = (choice.get("logprobs") or {}).get("content") or []
    log_probs = [float(token["logprob"]) for token in tokens]
    if ids and log_probs and len(ids) != len(log_probs):
        numbers = f"{len(ids)} token ids with {len(log_probs)} log-probabilities"
        return Failure(f"the server sent {numbers}", "leave token_ids or log_probs off", transient=False)
    return Completion(
        clean_text(text),
        ids,
        log_probs,
        [int(i) for i in answer.get("prompt_token_ids") or []],
        "length" if reason == "length" else "stop",
    )


def refused(status: int, headers: Mapping[str, str], body: Any, key_variable: str) -> Failure:
    """What an answer with an HTTP status of 400 or more means.

    Args:
        status: the HTTP status.
        headers: of the answer, by lower-case name.
        body: of the answer: parsed JSON, a text, or None.
        key_variable: the environment variable that holds the API key, for the advice.
    """
    words = body if isinstance(body, str) else json.dumps(body)
    problem = ": ".join(filter(None, [f"HTTP {status}", _message(body)]))
    if status in (401, 403):
        return Failure(
            problem, f"the right API key belongs in the environment variable {key_variable}", False
        )
    if status in _TOO_LONG and _OVERFLOW.search(words):
        return Failure(problem, transient=False, overflow=True)
    if status == 404:
        advice = "check the model's name, and the address: it mostly ends in /v1"
        return Failure(problem, advice, transient=False, missing=True)
    if status == 429 and "insufficient_quota" in words:
        return Failure(problem, "the account has no credit left", transient=False)
    advice = "a lower concurrency or more max_retries may help" if status == 429 else ""
    return Failure(problem, advice, status in _RETRIED or status >= 500, _retry_after(headers))


def one_line(text: str) -> str:
    """Runs of white space become one space; control characters are shown as escapes."""
    return visible(" ".join(text.split()))


def _message(body: Any) -> str:
    """The message in the body of an error, wherever a server puts it."""
    while isinstance(body, Mapping):
        body = body.get("error") or body.get("message") or body.get("detail")
    return one_line(body if isinstance(body, str) else json.dumps(body)) if body else ""


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait: a number of seconds or an HTTP date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value)
    return max(0.0, seconds)


def _seconds_until(value: str) -> float:
    """From now to an HTTP date; 0 where it is none, or one that cannot be."""
    try:
        date = parsedate_tz(value)
        return mktime_tz(date) - time.time() if date else 0.0
    except (ValueError, OverflowError):
        return 0.0
