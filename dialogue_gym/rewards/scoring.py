"""Log-probabilities that rewards read off language models."""

from collections.abc import Mapping, Sequence
from typing import Any

from dialogue_gym.dialogue import Conversation
from dialogue_gym.language_models import GenerationRequest, LanguageModel, load_language_model
from dialogue_gym.seeding import NoiseKey

_SCORED_TOGETHER = 32  # rows of one forward pass


def scoring_model(spec: str | Mapping[str, Any] | LanguageModel, reward: str) -> Any:
    """A language model that has ``score``, ``codec`` and ``max_context``.

    Args:
        spec: see ``load_language_model``.
        reward: who needs it, for the error.

    Raises:
        ValueError: it cannot score given texts.
    """
    model = load_language_model(spec)
    for part, lack in (("score", "score given texts"), ("codec", "turn texts into token ids")):
        if not hasattr(model, part):
            raise ValueError(
                f"{reward}: the language model {type(model).__name__} cannot {lack} (no {part!r}); "
                "a local one can ('tiny', 'transformers:PATH'), or a vLLM server's, given its tokenizer"
            )
    return model


def log_probs(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> list[list[float] | None]:
    """Natural log-probabilities of the tokens of replies, None where the context has no room for them.

    Args:
        model: see ``scoring_model``.
        rows: the token ids of a context and of the reply.
    """
    found: list[list[float] | None] = [None] * len(rows)
    limit = model.max_context if rows else 0  # a server is asked for it
    fits = [i for i, (context, reply) in enumerate(rows) if len(context) + len(reply) <= limit]
    for begin in range(0, len(fits), _SCORED_TOGETHER):
        part = fits[begin : begin + _SCORED_TOGETHER]
        scores = model.score([_request(rows[i][0]) for i in part], [rows[i][1] for i in part])
        for i, score in zip(part, scores, strict=True):
            found[i] = score
    return found


def context_ids(model: Any, conversation: Conversation, lead: str = "") -> list[int]:
    """The ids up to where the assistant speaks, and a text that it begins with."""
    codec = model.codec
    return [*codec.encode(conversation), *(codec.content_ids(lead) if lead else [])]


def _request(ids: list[int]) -> GenerationRequest:
    return GenerationRequest(("reward",), (), NoiseKey(("reward",)), ids)
