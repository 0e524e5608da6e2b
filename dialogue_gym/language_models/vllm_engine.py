"""Language models run by vLLM inside this program: requests of all threads share one running batch."""

import asyncio
import concurrent.futures
import itertools
import threading
import weakref
from collections.abc import Coroutine, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dialogue_gym.language_models.base import (
    Completion,
    FinishReason,
    GenerationRequest,
    LanguageModelError,
    Sampling,
)
from dialogue_gym.language_models.http_thread import LoopThread
from dialogue_gym.language_models.modules import load_codec
from dialogue_gym.language_models.token_sampling import check_sampling

T = TypeVar("T")
_SEEDS = 2**31  # as sent to servers, so that one key means one seed on both ways to vLLM
_GIB = 2**30
# Left to itself vLLM makes the output layer adaptable, too, and then breaks down when it scores several texts
# at once (vllm#16668, vllm#51594). PEFT's "all-linear" leaves that layer out as well.
_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class VllmModel:
    """A causal language model in vLLM, behind the ``LanguageModel`` protocol.

    Token ids go in and out. Any number of threads may call; their rows are batched as they come and go, and
    vLLM keeps the prefixes of living dialogues. A row repeats by its key where vLLM computes it the same,
    which it does not promise across batch shapes. The engine runs in processes that vLLM starts anew
    (spawn), so a script that makes such a model needs ``if __name__ == "__main__":``.

    Args:
        path: a folder written by ``save_pretrained`` or a hub name, with a tokenizer and its chat template.
        dtype: "float32", "bfloat16" or what else vLLM takes; "auto" halves the precision of float32 weights.
        adapter: a LoRA adapter folder to begin with.
        max_context: tokens that context and completion may have together; one less than the model's own
            limit if None, since vLLM scores no text without room for another token.
        lora_rank: highest rank of adapters that may be loaded; 0 switches adapters off.
        cache_gib: memory for keys and values.
        engine_args: more settings for vLLM's ``AsyncEngineArgs``, by name ({"gpu_memory_utilization": 0.4}).

    Attributes:
        codec: the chat codec of the tokenizer.
        max_context: see above.
        concurrency: rows that it computes at once; that there is such a number tells a rollout to play each
            dialogue apart, as against a server.
        user_prompt: name of the prompt under which the model plays users.

    Raises:
        FileNotFoundError: nothing loadable there.
        ValueError: the tokenizer's template cannot work, or vLLM refuses the model or a setting.
        LanguageModelError: vLLM refuses the adapter.
        ImportError: vLLM is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        dtype: str = "float32",
        adapter: str | Path | None = None,
        max_context: int | None = None,
        lora_rank: int = 16,
        cache_gib: float = 4.0,
        engine_args: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "path": str(path),
            "dtype": dtype,
            "adapter": None if adapter is None else str(adapter),
            "max_context": max_context,
            "lora_rank": lora_rank,
            "cache_gib": cache_gib,
            "engine_args": dict(engine_args or {}),
        }
        self.codec = load_codec(path, "language model")
        self.user_prompt = "full"
        self._lora: Any = None
        self._lora_numbers, self._request_numbers = itertools.count(1), itertools.count()
        self._running: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        engine = _Engine(_engine_args(self._settings))
        self._engine, self._thread = engine, engine.thread
        self._end = weakref.finalize(self, engine.thread.close)  # also at exit
        self.max_context: int = engine.llm.model_config.max_model_len - 1
        self.concurrency: int = engine.llm.vllm_config.scheduler_config.max_num_seqs
        self._vocabulary: int = engine.llm.model_config.get_vocab_size()
        if adapter is not None:
            self.load_adapter(adapter)

    def generate(self, requests: Sequence[GenerationRequest], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see ``LanguageModel``.

        A request whose context is full, empty, malformed or outside the vocabulary gets a completion
        with ``finish_reason`` "overflow" or "error"; the others do not notice.
        """
        check_sampling(sampling)
        contexts = [self._context(request, sampling) for request in requests]
        try:
            return self._run(self._answer_all(requests, contexts, sampling))
        except concurrent.futures.CancelledError:
            return [Completion("", finish_reason="error", error="vLLM: cut short") for _ in requests]

    def score(
        self, requests: Sequence[GenerationRequest], texts: Sequence[str | Sequence[int]]
    ) -> list[list[float]]:
        """Log-probabilities of given replies, at temperature 1; see ``TransformersModel.score``.

        Raises:
            ValueError: a malformed conversation, or one that is longer than the context.
            LanguageModelError: vLLM failed.
        """
        if len(requests) != len(texts):
            raise ValueError(f"{len(requests)} requests but {len(texts)} texts")
        pairs = []
        for i, (request, text) in enumerate(zip(requests, texts, strict=True)):
            context, reply = self._context_ids(request), self.codec.reply_ids(text)
            if not context or len(context) + len(reply) > self.max_context:
                raise ValueError(
                    f"request {i}: {len(context)} context and {len(reply)} reply tokens; "
                    f"there must be some, and at most {self.max_context} together"
                )
            pairs.append((context, reply))
        return self._call(self._score_all(pairs))

    def load_adapter(self, path: str | Path) -> None:
        """Use a LoRA adapter from now on, in place of the one before.

        Args:
            path: a folder that PEFT saved.

        Raises:
            LanguageModelError: vLLM refuses it; what was used before stays in use.
        """
        if not self._settings["lora_rank"]:
            raise LanguageModelError("this VllmModel was made with lora_rank=0, which switches adapters off")
        self._call(self._load_adapter(str(Path(path).resolve())))

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """Nothing: vLLM drops the prefixes that were used longest ago."""

    def cancel(self) -> None:
        """Calls that run return at once, with an error for each row; later calls work as before."""
        with self._lock:
            running = list(self._running)
        for future in running:
            future.cancel()

    def close(self) -> None:
        """End the engine and its processes; the model is of no use afterwards."""
        self.cancel()
        self._end()

    def identity(self) -> dict[str, Any]:
        """JSON-able: engine and its version, model, adapter, precision, codec."""
        import vllm

        return {
            "engine": "vllm",
            "version": vllm.__version__,
            "model": self._settings["path"],
            "adapter": self._lora.lora_path if self._lora else None,
            "dtype": str(self._engine.llm.model_config.dtype).removeprefix("torch."),
            "codec": self.codec.identity(),
        }

    def __copy__(self) -> "VllmModel":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "VllmModel":
        """The model itself: copying an environment never copies a model."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        settings = {**self._settings, "adapter": self._lora.lora_path if self._lora else None}
        return _load, (settings,), {"user_prompt": self.user_prompt}

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of what runs in the engine's loop; interrupted with whoever waits for it."""
        with self._lock:
            if not self._thread.alive:
                coroutine.close()
                raise LanguageModelError("this VllmModel is closed; make a new one")
            future = self._thread.submit(coroutine)
            self._running.add(future)
        try:
            return future.result()
        finally:
            future.cancel()  # nothing goes on that nobody waits for; what is done stays so
            with self._lock:
                self._running.discard(future)

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run what has no rows to put errors into."""
        try:
            return self._run(coroutine)
        except concurrent.futures.CancelledError:
            raise LanguageModelError("vLLM: cut short") from None

    def _context_ids(self, request: GenerationRequest) -> list[int]:
        return self.codec.encode(request.messages) if request.prompt_ids is None else list(request.prompt_ids)

    def _context(self, request: GenerationRequest, sampling: Sampling) -> list[int] | Completion:
        """The context's ids, or why there is no completion."""
        try:
            context = self._context_ids(request)
        except ValueError as error:
            return Completion("", finish_reason="error", error=str(error))
        if not context or not 0 <= min(context) <= max(context) < self._vocabulary:
            problem = f"token ids must lie in [0, {self._vocabulary})" if context else "the context is empty"
            return Completion("", prompt_ids=context, finish_reason="error", error=problem)
        if len(context) >= self.max_context:
            problem = f"the context has {len(context)} tokens; with a reply at most {self.max_context} fit"
            return Completion("", prompt_ids=context, finish_reason="overflow", error=problem)
        return context

    async def _answer_all(
        self,
        requests: Sequence[GenerationRequest],
        contexts: Sequence[list[int] | Completion],
        sampling: Sampling,
    ) -> list[Completion]:
        rows = zip(requests, contexts, strict=True)
        return await asyncio.gather(*(self._answer(*row, sampling) for row in rows))

    async def _answer(
        self, request: GenerationRequest, context: list[int] | Completion, sampling: Sampling
    ) -> Completion:
        if isinstance(context, Completion):
            return context
        try:
            answer = await self._ask(
                context,
                max_tokens=min(sampling.max_tokens, self.max_context - len(context)),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=request.key.child("tokens").seed() % _SEEDS,
                logprobs=0,
            )
        except LanguageModelError as error:
            return Completion("", prompt_ids=context, finish_reason="error", error=str(error))
        [output] = answer.outputs
        ids = list(output.token_ids)
        log_probs = [float(at[i].logprob) for i, at in zip(ids, output.logprobs, strict=True)]
        reason: FinishReason = "stop" if ids[-1] == self.codec.end_of_turn_id else "length"
        return Completion(self.codec.decode(ids), ids, log_probs, context, reason)

    async def _score_all(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        return await asyncio.gather(*(self._score(*pair) for pair in pairs))

    async def _score(self, context: list[int], reply: list[int]) -> list[float]:
        output = await self._ask(context + reply, max_tokens=1, prompt_logprobs=0)
        given = output.prompt_logprobs[len(context) :]
        return [float(at[i].logprob) for i, at in zip(reply, given, strict=True)]

    async def _ask(self, ids: list[int], **sampling: Any) -> Any:
        """The answer to one prompt; only the codec's token ends it, whatever else the model names.

        Raises:
            LanguageModelError: the engine failed.
        """
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        settings = SamplingParams(
            **sampling,
            ignore_eos=True,
            stop_token_ids=[self.codec.end_of_turn_id],
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        name = str(next(self._request_numbers))
        prompt = TokensPrompt(prompt_token_ids=ids)
        try:
            answers = self._engine.llm.generate(prompt, settings, name, lora_request=self._lora)
            [output] = [answer async for answer in answers]
        except (EngineDeadError, EngineGenerateError) as error:
            raise LanguageModelError(f"vLLM failed: {_line(error)}") from error
        return output

    async def _load_adapter(self, path: str) -> None:
        from vllm.lora.request import LoRARequest

        number = next(self._lora_numbers)  # a name of its own, so that no cached prefix is taken for its own
        request = LoRARequest(f"adapter-{number}", number, path)
        try:
            await self._engine.llm.add_lora(request)
        except Exception as error:  # whatever the engine's process raised comes as it likes
            raise LanguageModelError(f"vLLM refuses the adapter {path!r}: {_line(error)}") from error
        before, self._lora = self._lora, request
        if before is not None:
            await self._engine.llm.remove_lora(before.lora_int_id)


class _Engine:
    """vLLM's engine and the loop that it lives in; knows nothing of the model that owns it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.llm: Any = None
        self.thread = LoopThread("vllm-language-model", at_end=self._shut_down)
        try:
            self.thread.submit(self._start(settings)).result()
        except BaseException as error:
            self.thread.close()
            if isinstance(error, ValueError | TypeError | RuntimeError):
                raise ValueError(f"vLLM does not start with this model: {_line(error)}") from error
            raise

    async def _start(self, settings: dict[str, Any]) -> None:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self.llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**settings))

    async def _shut_down(self) -> None:
        if self.llm is not None:
            self.llm.shutdown()


def _engine_args(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Our settings in vLLM's words; log-probabilities are those of the tempered distribution."""
    from vllm.platforms import current_platform

    lora = {
        "enable_lora": True,
        "max_lora_rank": settings["lora_rank"],
        "lora_target_modules": list(_LINEAR),
    }
    limit = {} if settings["max_context"] is None else {"max_model_len": settings["max_context"] + 1}
    return {
        "model": settings["path"],
        "dtype": settings["dtype"],
        "kv_cache_memory_bytes": int(settings["cache_gib"] * _GIB),
        "logprobs_mode": "processed_logprobs",
        "generation_config": "vllm",  # no sampling settings from the model's folder
        "enforce_eager": current_platform.is_cpu(),  # compiling there takes longer than most runs
        "disable_log_stats": True,
        **(lora if settings["lora_rank"] else {}),
        **limit,
        **settings["engine_args"],
    }


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:500]


def _load(settings: dict[str, Any]) -> VllmModel:
    return VllmModel(**settings)
