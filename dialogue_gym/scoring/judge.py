"""Asking a language model about a dialogue, and reading what it answers.

Models that judge are apart from those that play the user or the agent: own model, own seed. What they answer
must be one JSON object; an answer that cannot be read is asked for again, and after the last attempt there
is *no* value: never a zero.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dialogue_gym.dialogue import Conversation, Message
from dialogue_gym.language_models import GenerationRequest, LanguageModel, Sampling, load_language_model
from dialogue_gym.registry import check_options
from dialogue_gym.seeding import NoiseKey

logger = logging.getLogger(__name__)
T = TypeVar("T")

_READ = 20_000  # characters of an answer that are read, from its end
_TRIES = 50  # opening braces that are tried
_RETRY_TEMPERATURE = 0.5  # at least, from the second attempt on: a greedy model would say the same again


@dataclass(frozen=True, slots=True)
class RaterSettings:
    """What a model that is asked about dialogues can be told.

    Attributes:
        language_model: what ``load_language_model`` takes: "transformers:PATH", a dict, an object.
        seed: of its sampling; apart from the environment's seeds.
        temperature: of the first attempt; later ones are sampled at 0.5 at least.
        max_tokens: of one answer.
        attempts: how often it is asked before the value counts as missing.

    Raises:
        ValueError: a value that cannot be.
    """

    language_model: Any
    seed: int = 0
    temperature: float = 0.0
    max_tokens: int = 1024
    attempts: int = 3

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("max_tokens", 1), ("attempts", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name} of a judge must be an int of at least {least}, got {value!r}")
        if not (isinstance(self.temperature, int | float) and 0 <= self.temperature < math.inf):
            raise ValueError(f"temperature of a judge must be 0 or more, got {self.temperature!r}")


class Rater:
    """A language model that answers questions about dialogues in JSON.

    Args:
        spec: a language model, or a dict of ``RaterSettings``'s fields.
        what: what error messages call it ("judge", "extractor").

    Raises:
        ValueError: an unknown option or model, or a value that cannot be.
    """

    def __init__(self, spec: Any, what: str) -> None:
        options = spec if isinstance(spec, Mapping) and "language_model" in spec else {"language_model": spec}
        check_options(RaterSettings, options, what)
        self.settings = RaterSettings(**options)
        self.what = what
        self.language_model = load_language_model(self.settings.language_model)
        if not isinstance(self.language_model, LanguageModel):
            raise ValueError(f"{what} must be a language model, a name or a dict, got {type(spec).__name__}")

    def ask(self, instructions: str, about: str, read: Callable[[dict[str, Any]], T | None]) -> T | None:
        """What the model says of something; None where no attempt gave an answer that can be read.

        Args:
            instructions: what to answer, and in which form.
            about: what the question is about.
            read: the value of a JSON object; None where it is not of the form that was asked for.
        """
        messages: list[Message] = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": about},
        ]
        digest = hashlib.blake2b((instructions + "\0" + about).encode(), digest_size=8).hexdigest()
        key = NoiseKey((self.settings.seed, self.what, digest))
        for attempt in range(self.settings.attempts):
            answer = self._answer(messages, key.child(attempt), attempt)
            if answer is not None and (value := _first(answer, read)) is not None:
                return value
        return None

    def identity(self, instructions: str) -> dict[str, Any]:
        """JSON-able: model, seed, sampling, and a hash of what it is told to do."""
        settings = self.settings
        return {
            "model": self.language_model.identity(),
            "seed": settings.seed,
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
            "attempts": settings.attempts,
            "prompt_hash": hashlib.sha256(instructions.encode()).hexdigest()[:12],
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> "Rater":
        """Copies of an environment share it; a model is never copied."""
        return self

    def _answer(self, messages: list[Message], key: NoiseKey, attempt: int) -> str | None:
        temperature = self.settings.temperature
        if attempt:
            temperature = max(temperature, _RETRY_TEMPERATURE)
        name = (self.what, key.path)
        request = GenerationRequest(name, messages, key)
        try:
            completion = self.language_model.generate(
                [request], Sampling(self.settings.max_tokens, temperature)
            )[0]
            self.language_model.forget([name])
        except (RuntimeError, ValueError, OSError) as error:
            logger.warning("%s: the language model failed: %s", self.what, type(error).__name__)
            return None
        return None if completion.finish_reason in ("error", "overflow") else completion.text


def as_text(conversation: Conversation) -> str:
    r"""A dialogue as JSON lines, so that no message can look like another one.

    Example:
        >>> print(as_text([{"role": "user", "content": "hi\nassistant: 42"}]))
        {"speaker": "user", "says": "hi\nassistant: 42"}
    """
    return "\n".join(
        json.dumps({"speaker": m["role"], "says": m["content"]}, ensure_ascii=False) for m in conversation
    )


def number_in(value: Any, low: float, high: float, *, whole: bool = False) -> float | None:
    """A number of a model's answer, also one in quotes; None where it is none or lies outside.

    Example:
        >>> (
        ...     number_in("1", 0, 1),
        ...     number_in(0.5, 0, 1),
        ...     number_in(0.5, 0, 1, whole=True),
        ...     number_in("yes", 0, 1),
        ... )
        (1.0, 0.5, None, None)
    """
    try:
        number = float(value) if isinstance(value, bool | int | float | str) else math.nan
    except ValueError:
        return None
    fits = low <= number <= high and (number.is_integer() or not whole)
    return number if fits else None


def _first(answer: str, read: Callable[[dict[str, Any]], T | None]) -> T | None:
    """What is read from the last JSON object of an answer that can be read."""
    text, decoder = answer[-_READ:], json.JSONDecoder()
    position = len(text)
    for _ in range(_TRIES):
        position = text.rfind("{", 0, position)
        if position < 0:
            break
        try:
            data, _end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and (value := read(data)) is not None:
            return value
    return None
