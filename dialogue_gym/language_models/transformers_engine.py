"""Language models run by Hugging Face transformers, in this process, on one device."""

import inspect
import threading
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dialogue_gym.language_models.base import Completion, FinishReason, GenerationRequest, Sampling
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.key_value_store import KeyValueStore
from dialogue_gym.language_models.modules import (
    check_folder,
    check_positions,
    default_device,
    evaluating,
    load_module,
    unwrapped,
)
from dialogue_gym.language_models.token_sampling import check_sampling, draw

_BELOW_ONE = 1.0 - 2.0**-40  # noise times the total share stays below the total, whatever the rounding
_SMALL_BATCH = 8  # not worth shrinking


@dataclass(slots=True)
class _Row:
    """One request on its way: its context, how many tokens may follow, and those that have."""

    request: GenerationRequest
    context: list[int]
    room: int
    noise: np.ndarray
    sampled: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)

    def tokens(self) -> list[int]:
        return self.context + self.sampled


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

    Attributes:
        user_prompt: name of the prompt under which the model plays users; set it for models that were
            trained on another one than "full".

    Raises:
        ValueError: the model keeps no full cache (sliding windows, recurrent states, encoder-decoders), no
            context limit is known, or rotary positions would depend on neighbours within it.
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
        check_positions(config, limit)
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(f"{type(model).__name__} is an encoder-decoder; a causal LM is needed")
        self.model = model if device is None else model.to(device)
        self.codec = codec
        self.max_context: int = limit
        self.user_prompt = "full"
        self._store = KeyValueStore(config)
        self._vocabulary: int = model.get_input_embeddings().weight.shape[0]
        self._keeps_logits = "logits_to_keep" in inspect.signature(unwrapped(model).forward).parameters
        self._weights = self._weights_version()
        self._source: dict[str, Any] | None = None
        self._adapter: str | None = None
        self._lock = threading.Lock()
        self._forgotten: list[Hashable] = []

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dtype: str = "float32",
        adapter: str | Path | None = None,
        max_context: int | None = None,
        device: str | None = None,
        name: str | None = None,
    ) -> "TransformersModel":
        """Load a model and its tokenizer from a folder or a hub name; such a model can be pickled.

        Args:
            path: a folder written by ``save_pretrained`` or a hub name.
            dtype: "float32" or "bfloat16" (any name that transformers takes).
            adapter: a PEFT adapter to load on top.
            max_context: see the class.
            device: "cuda:1", "cpu"; the accelerator that torch finds, or else the CPU, if None.
            name: what ``identity`` calls it; the path if None.

        Raises:
            FileNotFoundError: nothing loadable there.
            ValueError: the tokenizer's template or the model is of a kind that cannot work.
            LanguageModelError: the adapter cannot be loaded.
        """
        model, codec = load_module(path, dtype)
        self = cls(model, codec, max_context=max_context, device=device or default_device())
        if adapter is not None:
            check_folder(adapter, "adapter")
            self.load_adapter(adapter)
        self._source = {
            "path": str(path),
            "dtype": dtype,
            "max_context": max_context,
            "device": device,
            "name": name,
        }
        return self

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see ``LanguageModel``.

        A request whose context is full, empty, malformed or outside the vocabulary gets a completion
        with ``finish_reason`` "overflow" or "error"; the others do not notice.
        """
        check_sampling(sampling)
        with self._lock:
            self._drop_forgotten()
            self._drop_stale_cache()
            prepared = [self._prepare(request, sampling) for request in requests]
            rows = [row for row in prepared if isinstance(row, _Row)]
            with evaluating(self.model), torch.no_grad():
                sampled = iter(self._sample(rows, sampling) if rows else [])
            return [next(sampled) if isinstance(row, _Row) else row for row in prepared]

    def score(
        self, requests: Sequence[GenerationRequest], texts: Sequence[str | Sequence[int]]
    ) -> list[list[float]]:
        """Log-probabilities of given replies, at temperature 1, in one padded forward pass.

        Args:
            requests: the contexts; keys are not used.
            texts: one assistant message for each; or its token ids, which are taken as they are.

        Returns:
            For each request one natural log-probability per token of its text, and a last one for the
            end-of-turn token; one per token where token ids were given.

        Raises:
            ValueError: a malformed conversation, or one that is longer than the context.
        """
        if len(requests) != len(texts):
            raise ValueError(f"{len(requests)} requests but {len(texts)} texts")
        contexts = [self._context(request) for request in requests]
        replies = [self.codec.reply_ids(text) for text in texts]
        for i, (context, reply) in enumerate(zip(contexts, replies, strict=True)):
            if not context or len(context) + len(reply) > self.max_context:
                raise ValueError(
                    f"request {i}: {len(context)} context and {len(reply)} reply tokens; "
                    f"there must be some, and at most {self.max_context} together"
                )
        if not replies:
            return []
        with self._lock, evaluating(self.model), torch.no_grad():
            return self._score(contexts, replies)

    def load_adapter(self, path: str | Path) -> None:
        """Use a LoRA adapter from now on, in place of those before; not for a module that a learner trains.

        Args:
            path: a folder that PEFT saved.

        Raises:
            LanguageModelError: it cannot be loaded; what was used before stays in use.
            ImportError: PEFT is not installed.
        """
        from dialogue_gym.language_models.peft_adapters import exchanged

        with self._lock:
            self.model, self._adapter = exchanged(self.model, path), str(path)
        self.weights_changed()

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Drop the keys and values of these dialogues, at the latest when text is next generated."""
        self._forgotten.extend(dialogue_ids)
        # whoever forgets a dialogue because a call hangs must not wait for that call
        if self._lock.acquire(blocking=False):
            try:
                self._drop_forgotten()
            finally:
                self._lock.release()

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
            "model": source.get("name") or source["path"] or type(self.model).__name__,
            "adapter": self._adapter,
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
        return _load, ({**self._source, "adapter": self._adapter},), {"user_prompt": self.user_prompt}

    def _drop_forgotten(self) -> None:
        gone, self._forgotten = self._forgotten, []
        self._store.forget(gone)

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
        noise = request.key.child("tokens").generator().random(room) * _BELOW_ONE
        return _Row(request, context, room, noise)

    def _context(self, request: GenerationRequest) -> list[int]:
        return self.codec.encode(request.messages) if request.prompt_ids is None else list(request.prompt_ids)

    def _sample(self, rows: list[_Row], sampling: Sampling) -> list[Completion]:
        """All rows at once; when half of them are done, the others go on in a smaller batch."""
        live = rows
        while live:
            self._sample_some(live, sampling)
            live = [row for row in live if not self._done(row)]
        return [self._completion(row) for row in rows]

    def _done(self, row: _Row) -> bool:
        return row.sampled[-1] == self.codec.end_of_turn_id or len(row.sampled) == row.room

    def _completion(self, row: _Row) -> Completion:
        reason: FinishReason = "stop" if row.sampled[-1] == self.codec.end_of_turn_id else "length"
        return Completion(self.codec.decode(row.sampled), row.sampled, row.log_probs, row.context, reason)

    def _sample_some(self, rows: list[_Row], sampling: Sampling) -> None:
        """Prefill what is not cached, sample until half of the rows are done, keep keys and values."""
        ids, fed = [row.request.dialogue_id for row in rows], [row.tokens() for row in rows]
        reuse = [self._store.reusable(i, tokens) for i, tokens in zip(ids, fed, strict=True)]
        width = max(len(tokens) - reused for tokens, reused in zip(fed, reuse, strict=True))
        cache = self._store.open(ids, reuse, spare=width + min(sampling.max_tokens, 64))
        self._decode(cache, rows, *self._first_chunk(fed, reuse, width), sampling)
        shifts = [max(reuse) + width - len(tokens) for tokens in fed]
        cached = [row.tokens()[:-1] for row in rows]  # the last token was never fed
        self._store.save(cache, ids, cached, reuse, shifts)

    def _decode(
        self,
        cache: Any,
        rows: list[_Row],
        x: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        sampling: Sampling,
    ) -> None:
        """The loop: draw a token, feed it, until too few rows are left; extends the rows' samples."""
        left = torch.tensor([row.room - len(row.sampled) for row in rows], device=x.device)
        noise = _noise(rows, int(left.max())).to(x.device)
        steps, columns = noise.shape[0], mask.shape[1]
        mask = torch.nn.functional.pad(mask, (0, steps), value=True)
        enough = len(rows) // 2 if len(rows) > _SMALL_BATCH else 0
        tokens, log_probs, counts = [], [], torch.zeros_like(left)
        going = torch.ones_like(left, dtype=torch.bool)
        for step in range(steps):
            logits = self._forward(x, mask[:, : columns + step], positions, 1, cache)[:, -1]
            token, log_prob = draw(logits, noise[step], sampling)
            tokens.append(token)
            log_probs.append(log_prob)
            counts += going
            going = going & (token != self.codec.end_of_turn_id) & (counts < left)
            if int(going.sum()) <= enough:
                break
            x = token.unsqueeze(1)  # rows that are done draw on; nobody reads what they draw
            positions = (positions[:, -1:] + 1).clamp(max=self.max_context - 1)
        columns_of = (torch.stack(tokens, 1).tolist(), torch.stack(log_probs, 1).tolist(), counts.tolist())
        for row, row_tokens, row_log_probs, count in zip(rows, *columns_of, strict=True):
            row.sampled += row_tokens[:count]
            row.log_probs += row_log_probs[:count]

    def _first_chunk(
        self, fed: list[list[int]], reuse: list[int], width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Left-padded new tokens (rows, width), mask (rows, reused + width), positions (rows, width)."""
        device = self._first_parameter().device
        new = [tokens[reused:] for tokens, reused in zip(fed, reuse, strict=True)]
        x, index = self._left_padded(new, width)
        start = torch.tensor(reuse, device=device).unsqueeze(1)
        head = torch.arange(max(reuse), device=device) < start
        return x, torch.cat([head, index >= 0], 1), (index + start).clamp(min=0)

    def _left_padded(self, rows: list[list[int]], width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids, and each token's index in its row (negative for padding); both (rows, width)."""
        device = self._first_parameter().device
        x = torch.tensor([[self.codec.pad_id] * (width - len(row)) + row for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device).unsqueeze(1)
        return x, torch.arange(width, device=device) - (width - lengths)

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
        rows = [context + reply for context, reply in zip(contexts, replies, strict=True)]
        keep = max(map(len, replies)) + 1
        x, index = self._left_padded(rows, max(map(len, rows)))
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


def _noise(rows: list[_Row], steps: int) -> torch.Tensor:
    """The next noise of each row, float64 (steps, rows); zeros where a row has no room for more."""
    noise = np.zeros((steps, len(rows)))
    for i, row in enumerate(rows):
        part = row.noise[len(row.sampled) :]
        noise[: len(part), i] = part
    return torch.from_numpy(noise)


def _load(source: dict[str, Any]) -> TransformersModel:
    return TransformersModel.from_pretrained(**source)
