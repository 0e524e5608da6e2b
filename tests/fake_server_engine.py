"""A language model of NumPy for the fake server: token ids in, token ids and log-probabilities out."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from dialogue_gym.seeding import NoiseKey


class Engine(Protocol):
    """Logits of the next token, after each of some prefixes."""

    def logits(self, ids: Sequence[int], start: int, adapter: str | None) -> np.ndarray:
        """After ``ids[: i + 1]`` for each ``i >= start``; shape (len(ids) - start, vocabulary).

        ``adapter`` is the folder of a LoRA adapter, or None.
        """
        ...


class KeyedEngine:
    """Logits are noise, keyed by every token so far and by the adapter; the end of a turn is made likelier.

    Args:
        vocabulary: number of tokens.
        end: the token that ends a turn; about a fifth of the tokens do.
        spread: standard deviation of the logits.
    """

    def __init__(self, vocabulary: int, end: int, spread: float = 1.0) -> None:
        self.vocabulary, self.end, self.spread = vocabulary, end, spread
        self._end_logit = np.log(vocabulary / 4) + spread**2 / 2

    def logits(self, ids: Sequence[int], start: int, adapter: str | None) -> np.ndarray:
        digest = blake2b(repr(adapter).encode(), digest_size=8)
        rows = []
        for i, token in enumerate(ids):
            digest.update(int(token).to_bytes(4, "little"))
            if i >= start:
                generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest(), "little")))
                rows.append(generator.standard_normal(self.vocabulary) * self.spread)
                rows[-1][self.end] = self._end_logit
        return np.array(rows)


def sample(
    engine: Engine, body: dict[str, Any], adapter: str | None, processed: bool = True
) -> tuple[list[int], list[float]]:
    """The reply to a body of /completions: token ids and their log-probabilities.

    ``processed``: of the tempered, nucleus-cut distribution, as by ``--logprobs-mode processed_logprobs``.
    """
    ids, sampled, log_probs = list(body["prompt"]), [], []
    temperature, top_p = body.get("temperature", 1.0), body.get("top_p", 1.0)
    stops = set(body.get("stop_token_ids") or ())
    for step in range(body["max_tokens"]):
        raw = _log_softmax(engine.logits(ids, len(ids) - 1, adapter)[0])
        tempered = _nucleus(_log_softmax(raw / temperature), top_p) if temperature else raw
        noise = NoiseKey((body.get("seed") or 0, step)).uniform()
        shares = np.exp(tempered).cumsum()
        token = int(np.searchsorted(shares, noise * shares[-1], "right") if temperature else raw.argmax())
        sampled.append(token)
        ids.append(token)
        log_probs.append(float((tempered if processed else raw)[token]))
        if token in stops:
            break
    return sampled, log_probs


def prompt_log_probs(engine: Engine, ids: Sequence[int], adapter: str | None) -> list[Any]:
    """As vLLM has them: None for the first token, then {token id: {"logprob": ...}} for each."""
    rows = _log_softmax(engine.logits(ids, 0, adapter)[:-1]) if len(ids) > 1 else ()
    pairs = zip(ids[1:], rows, strict=True)
    return [None, *({str(i): {"logprob": float(row[i]), "rank": 1}} for i, row in pairs)]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _nucleus(log_probs: np.ndarray, top_p: float) -> np.ndarray:
    if top_p >= 1.0:
        return log_probs
    order = np.argsort(-log_probs, kind="stable")
    shares = np.exp(log_probs[order])
    dropped = order[(shares.cumsum() - shares >= top_p) & (np.arange(len(order)) > 0)]
    kept = log_probs.copy()
    kept[dropped] = -np.inf
    return _log_softmax(kept)
