"""Token ids in and out of ``/completions`` (vLLM's fields): what is sent, and how the answer is read."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from dialogue_gym.language_models.base import Completion, FinishReason, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.http_answers import Failure, UnusableAnswerError, one_line
from dialogue_gym.language_models.http_settings import require
from dialogue_gym.language_models.modules import load_codec

T = TypeVar("T")

_GIVES_IDS = "leave tokenizer out where 'return_token_ids' is not known; vLLM knows it"


# vLLM takes what is not sent from the model's generation_config.json
_NOTHING_ELSE = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_MODE_TOKENS, _MODE_TOP_P, _MODE_SLACK = 8, 1e-6, 0.01


def tokenizer_codec(tokenizer: str) -> ChatCodec:
    """The chat codec of the tokenizer in a folder or on the hub.

    Raises:
        ImportError: transformers is not installed.
        FileNotFoundError: no tokenizer there.
        ValueError: one whose chat template is missing, rewrites history, or is unfit in another way.
    """
    named = isinstance(tokenizer, str) and tokenizer
    require(named, f"tokenizer must be a folder or hub name, got {tokenizer!r}")
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'a tokenizer for a language model over HTTP needs transformers: pip install "dialogue-gym[llm]" '
            f"({error})"
        ) from error
    return load_codec(tokenizer, "tokenizer")


def sampling_fields(
    prompt: Sequence[int], sampling: Sampling, end: int, max_context: int | None
) -> dict[str, Any]:
    """The fields that ask for one reply to a context of token ids.

    Only ``end`` ends a reply, as for a model in this process. No more is asked for than the context has room
    for; there must be some.
    """
    room = sampling.max_tokens if max_context is None else max_context - len(prompt)
    return {
        "prompt": list(prompt),
        "max_tokens": min(sampling.max_tokens, room),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "logprobs": 0,  # of the sampled tokens and no others
        "return_token_ids": True,
        "stop_token_ids": [end],
        "ignore_eos": True,
        **_NOTHING_ELSE,
    }


def scoring_fields(prompt: Sequence[int]) -> dict[str, Any]:
    """The fields that ask for the log-probabilities of the prompt itself; one token must be sampled, too."""
    return {"prompt": list(prompt), "max_tokens": 1, "temperature": 1.0, "prompt_logprobs": 0}


def mode_fields(codec: ChatCodec) -> dict[str, Any]:
    """The fields of a question whose log-probabilities show whether they are of the tempered distribution.

    In a nucleus this small one token is left, which is certain. (Temperatures above 2 are refused by vLLM.)
    """
    sampling = Sampling(_MODE_TOKENS, top_p=_MODE_TOP_P)
    fields = sampling_fields([codec.end_of_turn_id], sampling, codec.end_of_turn_id, None)
    return {**fields, "stop_token_ids": [], "seed": 0}


def read_mode(body: bytes, codec: ChatCodec) -> bool | Failure:
    """True, or a failure where the log-probabilities are those of the untempered distribution.

    Raises:
        UnusableAnswerError: no completion.
    """
    reply = read_reply(body, [codec.end_of_turn_id], codec)
    if isinstance(reply, Failure):
        return reply
    if all(value > -_MODE_SLACK for value in reply.log_probs):
        return True
    return Failure(
        "the server gives log-probabilities as they are before temperature and top_p",
        "start vLLM with --logprobs-mode processed_logprobs, or sample at temperature 1 with top_p 1",
        transient=False,
    )


def read_reply(body: bytes, prompt: Sequence[int], codec: ChatCodec) -> Completion | Failure:
    """The sampled tokens in the body of an answer.

    Raises:
        UnusableAnswerError: no completion.
    """

    def reply(choice: Mapping[str, Any]) -> Completion | Failure:
        ids, given = choice.get("token_ids"), choice.get("prompt_token_ids")
        if ids is None:
            return Failure("the server sent no token ids", _GIVES_IDS, transient=False)
        if given is not None and given != list(prompt):
            return Failure("the server answered on other token ids than it was sent", transient=False)
        tokens = [_token(i) for i in ids]
        log_probs = [_log_prob(value) for value in choice["logprobs"]["token_logprobs"]]
        if not tokens or len(tokens) != len(log_probs):
            raise ValueError("there must be tokens, and a log-probability for each")
        reason: FinishReason = "length" if choice.get("finish_reason") == "length" else "stop"
        return Completion(codec.decode(tokens), tokens, log_probs, list(prompt), reason)

    return _read(body, lambda answer: reply(answer["choices"][0]))


def read_scores(body: bytes, reply: Sequence[int]) -> list[float] | Failure:
    """The log-probabilities of the last tokens of the prompt, which are the reply's.

    Raises:
        UnusableAnswerError: no completion.
    """

    def scores(choice: Mapping[str, Any]) -> list[float] | Failure:
        prompt = choice.get("prompt_logprobs")
        if prompt is None:
            advice = "a server that knows 'prompt_logprobs' is needed (vLLM)"
            return Failure("the server sent no log-probabilities of the prompt", advice, transient=False)
        last = prompt[len(prompt) - len(reply) :]
        return [_log_prob(at[str(i)]["logprob"]) for at, i in zip(last, reply, strict=True)]

    return _read(body, lambda answer: scores(answer["choices"][0]))


def read_max_context(body: bytes, model: str) -> int | None:
    """What a list of models (``/models``) leaves for context and reply; None where it is silent.

    One less than the limit: vLLM scores no text without room for another token.

    Raises:
        UnusableAnswerError: no list of models.
    """

    def limit(answer: Mapping[str, Any]) -> int | None:
        limits = [card.get("max_model_len") for card in answer["data"] if card["id"] == model]
        return int(limits[0]) - 1 if limits and limits[0] is not None else None

    return _read(body, limit)


def _read(body: bytes, read: Callable[[Any], T]) -> T:
    try:
        return read(json.loads(body))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UnusableAnswerError(one_line(body[:2000].decode("utf-8", "replace"))) from None


def _token(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"a token id must be an int, got {value!r}")
    return value


def _log_prob(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"a log-probability must be finite, got {value!r}")
    return float(value)
