"""Language models run by Hugging Face transformers, in this process, on one device."""

import inspect
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dialogue_gym.language_models.base import Completion, FinishReason, GenerationRequest, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.key_value_store import KeyValueStore
from dialogue_gym.language_models.token_sampling import check_sampling, draw

_BELOW_ONE = 1.0 - 2.0**-40  # noise times the total share stays below the total, whatever the rounding


@dataclass(slots=True)
class _Row:
    """One request on its way: the context and how many of its first tokens the cache holds."""

    request: GenerationRequest
    context: list[int]
    room: int
    reuse: int


class TransformersModel:
    """A causal language model behind the ``LanguageModel`` protocol, sampling all rows in one batch.

    Keys and values of living dialogues stay between calls: of each context only what is new is fed.
    A completion is a function of its request, the sampling settings and the weights: neighbours, order
    and cache change log-probabilities by rounding only (below 1e-5 in float32).

    The module may be the one that a learner trains: dropout is off while sampling and each submodule's
    training flag is as it was afterwards. Keys and values are dropped when parameters were changed in
    place; call ``weights_changed`` after changes that autograd cannot see (``parameter.data``, adapters
    switched on or off).

    Args:
        model: a causal LM with full attention, ``attention_mask`` and ``position_ids``.
        codec: the chat codec of its tokenizer.
        max_context: tokens that context and completion may have together; the model's own limit if None.
        device: where to move the model; stays where it is if None.

    Raises:
        ValueError: the model keeps no full cache (sliding windows, recurrent states, encoder-decoders), or
            no context limit is known.
    """

    def __init__(
        self,
        model: Any,
        codec: ChatCodec,
        *,
        max_context: int | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        config = model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) if max_context is None else max_context
        if limit is None:
            raise ValueError("the model's configuration names no context limit; give max_context=")
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(f"{type(model).__name__} is an encoder-decoder; a causal LM is needed")
        self.model = model if device is None else model.to(device)
        self.codec = codec
        self.max_context: int = limit
        self._store = KeyValueStore(config)
        self._vocabulary: int = model.get_input_embeddings().weight.shape[0]
        self._keeps_logits = "logits_to_keep" in inspect.signature(_unwrapped(model).forward).parameters
        self._weights = self._weights_version()
        self._source: dict[str, Any] | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dtype: str = "float32",
        adapter: str | Path | None = None,
        max_context: int | None = None,
        device: str | None = None,
    ) -> "TransformersModel":
        """Load a model and its tokenizer from a folder or a hub name; such a model can be pickled.

        Args:
            path: a folder written by ``save_pretrained`` or a hub name.
            dtype: "float32" or "bfloat16" (any name that transformers takes).
            adapter: a PEFT adapter to load on top.
            max_context: see the class.
            device: see the class.

        Raises:
            FileNotFoundError: nothing loadable there.
            ValueError: the tokenizer's template or the model is of a kind that cannot work.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            codec = ChatCodec(AutoTokenizer.from_pretrained(str(path)))
            model = AutoModelForCausalLM.from_pretrained(str(path), dtype=dtype)
        except OSError as error:
            first = str(error).strip().splitlines()[0]
            raise FileNotFoundError(f"no language model at {str(path)!r}: {first}") from error
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter))
        self = cls(model, codec, max_context=max_context, device=device)
        self._source = {
            "path": str(path),
            "dtype": dtype,
            "adapter": None if adapter is None else str(adapter),
            "max_context": max_context,
            "device": device,
        }
        return self

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see ``LanguageModel``.

        A request whose context is full, empty, malformed or outside the vocabulary gets a completion
        with ``finish_reason`` "overflow" or "error"; the others do not notice.
        """
        check_sampling(sampling)
        with self._lock:
            self._drop_stale_cache()
            prepared = [self._prepare(request, sampling) for request in requests]
            rows = [row for row in prepared if isinstance(row, _Row)]
            with _evaluating(self.model), torch.inference_mode():
                sampled = iter(self._sample(rows, sampling) if rows else [])
            return [next(sampled) if isinstance(row, _Row) else row for row in prepared]

    def score(self, requests: Sequence[GenerationRequest], texts: Sequence[str]) -> list[list[float]]:
        """Log-probabilities of given replies, at temperature 1, in one padded forward pass.

        Args:
            requests: the contexts; keys are not used.
            texts: one assistant message for each.

        Returns:
            For each request one natural log-probability per token of its text, and a last one for the
            end-of-turn token.

        Raises:
            ValueError: a malformed conversation, or one that is longer than the context.
        """
        if len(requests) != len(texts):
            raise ValueError(f"{len(requests)} requests but {len(texts)} texts")
        contexts = [self._context(request) for request in requests]
        replies = [[*self.codec.content_ids(text), self.codec.end_of_turn_id] for text in texts]
        for i, (context, reply) in enumerate(zip(contexts, replies, strict=True)):
            if not context or len(context) + len(reply) > self.max_context:
                raise ValueError(
                    f"request {i}: {len(context)} context and {len(reply)} reply tokens; "
                    f"there must be some, and at most {self.max_context} together"
                )
        if not replies:
            return []
        with self._lock, _evaluating(self.model), torch.inference_mode():
            return self._score(contexts, replies)

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Drop the keys and values of these dialogues."""
        with self._lock:
            self._store.forget(dialogue_ids)

    def weights_changed(self) -> None:
        """Drop all keys and values: they belong to weights that are gone."""
        with self._lock:
            self._store.clear()
            self._weights = self._weights_version()

    def identity(self) -> dict[str, Any]:
        """JSON-able: engine, model, precision, size, codec."""
        source = self._source or {"path": str(getattr(self.model.config, "_name_or_path", ""))}
        return {
            "engine": "transformers",
            "model": source["path"] or type(self.model).__name__,
            "adapter": source.get("adapter"),
            "dtype": str(self._first_parameter().dtype).removeprefix("torch."),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "codec": self.codec.identity(),
        }

    def __copy__(self) -> "TransformersModel":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "TransformersModel":
        """The model itself: copying an environment never copies a model."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None:
            raise TypeError(
                "this TransformersModel wraps a module in memory and cannot be pickled; "
                "only one made by TransformersModel.from_pretrained can (it is loaded again from its path)"
            )
        return _load, (self._source,)

    def _prepare(self, request: GenerationRequest, sampling: Sampling) -> _Row | Completion:
        try:
            context = self._context(request)
        except ValueError as error:
            return Completion("", finish_reason="error", error=str(error))
        if not context or not 0 <= min(context) <= max(context) < self._vocabulary:
            problem = f"token ids must lie in [0, {self._vocabulary})" if context else "the context is empty"
            return Completion("", prompt_ids=context, finish_reason="error", error=problem)
        room = min(sampling.max_tokens, self.max_context - len(context))
        if room < 1:
            problem = f"the context has {len(context)} tokens; with a reply at most {self.max_context} fit"
            return Completion("", prompt_ids=context, finish_reason="overflow", error=problem)
        return _Row(request, context, room, self._store.reusable(request.dialogue_id, context))

    def _context(self, request: GenerationRequest) -> list[int]:
        return self.codec.encode(request.messages) if request.prompt_ids is None else list(request.prompt_ids)

    def _sample(self, rows: list[_Row], sampling: Sampling) -> list[Completion]:
        """Prefill what is new and sample, all rows at once; then keep the keys and values."""
        ids, reuse = [row.request.dialogue_id for row in rows], [row.reuse for row in rows]
        width = max(len(row.context) - row.reuse for row in rows)
        cache = self._store.open(ids, reuse, spare=width + min(sampling.max_tokens, 64))
        tokens, log_probs, counts = self._decode(cache, rows, width, sampling)
        completions, cached = [], []
        for row, row_tokens, row_log_probs, count in zip(rows, tokens, log_probs, counts, strict=True):
            sampled = row_tokens[:count]
            stopped: FinishReason = "stop" if sampled[-1] == self.codec.end_of_turn_id else "length"
            text = self.codec.decode(sampled)
            completions.append(Completion(text, sampled, row_log_probs[:count], row.context, stopped))
            cached.append(row.context + sampled[:-1])  # the last token was never fed
        shifts = [max(reuse) + width - len(row.context) for row in rows]
        self._store.save(cache, ids, cached, reuse, shifts)
        return completions

    def _decode(
        self, cache: Any, rows: list[_Row], width: int, sampling: Sampling
    ) -> tuple[list[list[int]], list[list[float]], list[int]]:
        """The loop: sampled token ids and log-probabilities (padded), and how many of them count."""
        device = self._first_parameter().device
        x, mask, positions = self._first_chunk(rows, width, sampling.max_tokens, device)
        columns = mask.shape[1] - sampling.max_tokens
        room = torch.tensor([row.room for row in rows], device=device)
        noise = self._noise(rows, sampling, device)
        tokens = torch.empty(len(rows), int(room.max()), dtype=torch.long, device=device)
        log_probs = torch.empty(tokens.shape, device=device)
        counts = torch.zeros_like(room)
        open_rows = torch.ones_like(room, dtype=torch.bool)
        for step in range(tokens.shape[1]):
            logits = self._forward(x, mask[:, :columns], positions, 1, cache)[:, -1]
            token, log_probs[:, step] = draw(logits, noise[step], sampling)
            tokens[:, step] = token
            counts += open_rows
            open_rows = open_rows & (token != self.codec.end_of_turn_id) & (counts < room)
            if not open_rows.any():
                break
            x = token.unsqueeze(1)  # closed rows draw on; nobody reads what they draw
            columns += 1
            positions = (positions[:, -1:] + 1).clamp(max=self.max_context - 1)
        return tokens.tolist(), log_probs.tolist(), counts.tolist()

    def _first_chunk(
        self, rows: list[_Row], width: int, spare: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Left-padded new tokens (rows, width); the mask with spare columns; positions (rows, width)."""
        new = [row.context[row.reuse :] for row in rows]
        pad = self.codec.pad_id
        x = torch.tensor([[pad] * (width - len(part)) + part for part in new], device=device)
        lengths = torch.tensor([len(part) for part in new], device=device).unsqueeze(1)
        reuse = torch.tensor([row.reuse for row in rows], device=device).unsqueeze(1)
        index = torch.arange(width, device=device) - (width - lengths)
        head = torch.arange(max(row.reuse for row in rows), device=device) < reuse
        tail = torch.ones(len(rows), spare, dtype=torch.bool, device=device)
        return x, torch.cat([head, index >= 0, tail], 1), (index + reuse).clamp(min=0)

    def _noise(self, rows: list[_Row], sampling: Sampling, device: torch.device) -> torch.Tensor:
        """Uniform noise, shape (max_tokens, rows), a column from each request's key alone."""
        if sampling.temperature == 0.0:
            return torch.zeros(sampling.max_tokens, len(rows), dtype=torch.float64, device=device)
        draws = [row.request.key.child("tokens").generator().random(sampling.max_tokens) for row in rows]
        return torch.from_numpy(np.stack(draws, 1) * _BELOW_ONE).to(device)

    def _forward(
        self, x: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, keep: int, cache: Any = None
    ) -> torch.Tensor:
        """Logits of the last ``keep`` columns."""
        options: dict[str, Any] = {"logits_to_keep": keep} if self._keeps_logits else {}
        output = self.model(
            input_ids=x,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            **options,
        )
        logits: torch.Tensor = output.logits[:, -keep:]
        return logits

    def _score(self, contexts: list[list[int]], replies: list[list[int]]) -> list[list[float]]:
        device = self._first_parameter().device
        rows = [context + reply for context, reply in zip(contexts, replies, strict=True)]
        width, keep = max(map(len, rows)), max(map(len, replies)) + 1
        x = torch.tensor([[self.codec.pad_id] * (width - len(row)) + row for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device).unsqueeze(1)
        index = torch.arange(width, device=device) - (width - lengths)
        logits = self._forward(x, index >= 0, index.clamp(min=0), keep)[:, :-1].float()
        targets = x[:, -logits.shape[1] :].unsqueeze(2)
        log_probs = logits.log_softmax(-1).gather(2, targets).squeeze(2).tolist()
        return [row[len(row) - len(reply) :] for row, reply in zip(log_probs, replies, strict=True)]

    def _first_parameter(self) -> torch.Tensor:
        parameter: torch.Tensor = next(self.model.parameters())
        return parameter

    def _weights_version(self) -> int:
        """Counts in-place changes of the parameters, as optimizers make them."""
        return sum(p._version for p in self.model.parameters() if not p.is_inference())

    def _drop_stale_cache(self) -> None:
        version = self._weights_version()
        if version != self._weights:
            self._store.clear()
            self._weights = version


def _unwrapped(model: Any) -> Any:
    """The transformers model inside PEFT's wrapper, whose ``forward`` names no options."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _load(source: dict[str, Any]) -> TransformersModel:
    return TransformersModel.from_pretrained(**source)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode inside; afterwards each submodule is as it was, frozen ones too."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
