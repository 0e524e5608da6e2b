"""Who samples in training: the trainer's own model, or an engine beside it that gets its adapter."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import torch

from dialogue_agents.grpo.lora import keep_only, merged, save_adapter
from dialogue_agents.grpo.settings import LearnerSettings, RunSettings
from dialogue_gym.language_models import (
    AdapterModel,
    GenerationRequest,
    HttpModel,
    Sampling,
    load_adapter_model,
)
from dialogue_gym.language_models.codec import ChatCodec
from dialogue_gym.language_models.tiny_model import tiny_model_path
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.rollout import Trajectory
from dialogue_gym.seeding import NoiseKey

PROBES = 8
"""Replies that are scored after every update."""
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as ``max_lora_rank`` (its ``MaxLoRARanks``, 0.32)."""


class EngineDrift(ValueError):
    """Engine and trainer differ by more than is allowed."""


class Sampler(Protocol):
    """Gives the model that plays the next rollout."""

    metrics: dict[str, float]

    def current(self, trainer: Any) -> Any:
        """A context manager: the model, with the trainer's weights."""
        ...

    def played(self, trajectories: Sequence[Trajectory]) -> None:
        """What it has just played."""
        ...


class OwnModel:
    """The trainer's own model, which has its weights.

    Args:
        codec: of its tokenizer.
        merge: whether to add the adapter to the weights while it samples.
    """

    def __init__(self, codec: ChatCodec, merge: bool = False) -> None:
        self.codec, self.merge = codec, merge
        self.metrics: dict[str, float] = {}
        self._model: TransformersModel | None = None

    @contextmanager
    def current(self, trainer: Any) -> Iterator[TransformersModel]:
        """The model, after its caches of older weights are dropped."""
        module = trainer.accelerator.unwrap_model(trainer.model)
        self._model = self._model or TransformersModel(module, self.codec)
        with merged(module) if self.merge else nullcontext():
            self._model.weights_changed()
            yield self._model

    def played(self, trajectories: Sequence[Trajectory]) -> None:
        """Nothing to learn from them."""


class SyncedEngine:
    """An engine beside the trainer, which gets the adapter before every rollout and is held against it.

    The first process writes the adapter to ``out/adapters``; engines on other machines must find it there.
    Each process has its own engine, or its own share of the addresses of one (``own_share``).

    Args:
        settings: of the run.
        codec: of the policy's tokenizer.

    Attributes:
        metrics: "engine/drift", the largest difference of the probe over all processes, and "engine/sync_s".

    Raises:
        ValueError: there is no such engine, or it cannot take token ids and adapters of this tokenizer.
        LanguageModelError: no server answers.
    """

    def __init__(self, settings: LearnerSettings, codec: ChatCodec) -> None:
        self.settings, self.codec = settings, codec
        self.model = load_engine(settings, codec)
        self.metrics: dict[str, float] = {}
        self._folder = settings.out.resolve() / "adapters"
        self._own: TransformersModel | None = None
        self._replies: list[tuple[GenerationRequest, list[int]]] = []

    @contextmanager
    def current(self, trainer: Any) -> Iterator[AdapterModel]:
        """The engine, once it has the trainer's adapter and says what the trainer says.

        A server that was started anew meanwhile may have come back with other weights under the adapter. Then
        the engine is held against the trainer again before anything is learned from what it said.

        Raises:
            EngineDrift: it says something else.
            LanguageModelError: it does not take the adapter, or fails.
        """
        begun = time.perf_counter()
        module, accelerator = trainer.accelerator.unwrap_model(trainer.model), trainer.accelerator
        folder = self._folder / str(trainer.state.global_step)
        if accelerator.is_main_process:
            folder.parent.mkdir(exist_ok=True)
            save_adapter(module, folder)
        accelerator.wait_for_everyone()
        self.model.load_adapter(folder)
        self._own = self._own or TransformersModel(module, self.codec)
        drift = torch.tensor([self._drift(self._own)], device=accelerator.device)
        self.metrics["engine/drift"] = float(accelerator.gather(drift).max())
        self._check(trainer.state.global_step)
        if accelerator.is_main_process:  # all have loaded theirs
            keep_only(folder)
        self.metrics["engine/sync_s"] = time.perf_counter() - begun
        restored = _restored(self.model)
        yield self.model
        if _restored(self.model) > restored:
            self.metrics["engine/drift"] = max(self.metrics["engine/drift"], self._drift(self._own))
            self._check(trainer.state.global_step)

    def played(self, trajectories: Sequence[Trajectory]) -> None:
        """Keep some replies of a rollout, spread over it, for the next probe."""
        spoken = [t for t in trajectories if any(t.loss_mask)]
        self._replies = [last_reply(t) for t in spoken[:: math.ceil(len(spoken) / PROBES) or 1]]

    def _drift(self, own: TransformersModel) -> float:
        """The largest difference between the log-probabilities that trainer and servers give to a token."""
        self._replies = self._replies or self._first_replies()
        requests, replies = [request for request, _ in self._replies], [ids for _, ids in self._replies]
        expected = own.score(requests, replies)
        rows = [pair for said in self._said(requests, replies) for pair in zip(expected, said, strict=True)]
        return max(_gap(a, b) for left, right in rows for a, b in zip(left, right, strict=True))

    def _said(
        self, requests: Sequence[GenerationRequest], replies: Sequence[list[int]]
    ) -> list[list[list[float]]]:
        """The scores of each server; of the engine, where that is one."""
        if isinstance(self.model, HttpModel):
            return self.model.score_everywhere(requests, replies)
        return [self.model.score(requests, replies)]

    def _first_replies(self) -> list[tuple[GenerationRequest, list[int]]]:
        """What the engine says before any dialogue was played.

        Raises:
            ValueError: it says nothing.
        """
        requests = [
            GenerationRequest(
                ("probe", i),
                ({"role": "user", "content": f"What is {i} plus {i}?"},),
                NoiseKey((self.settings.seed, "grpo", "probe", i)),
            )
            for i in range(PROBES)
        ]
        completions = self.model.generate(requests, Sampling(self.settings.max_tokens))
        self.model.forget([request.dialogue_id for request in requests])
        problem = next((c.error or "it sampled no token" for c in completions if not c.token_ids), None)
        if problem is not None:
            raise ValueError(f"engine: {problem}")
        return [
            (replace(request, prompt_ids=c.prompt_ids), c.token_ids)
            for request, c in zip(requests, completions, strict=True)
        ]

    def _check(self, update: int) -> None:
        drift, bound = self.metrics["engine/drift"], self.settings.drift_bound
        if not drift <= bound:
            raise EngineDrift(
                f"after update {update} the engine's log-probability of a token is {drift:.3g} off the "
                f"trainer's, more than max_drift {bound:g}: does it serve other weights, or in other "
                "precision? Nothing was learned from it; --resume goes on from the last checkpoint"
            )


def make_sampler(settings: LearnerSettings, codec: ChatCodec) -> Sampler:
    """Who samples, by the settings.

    Raises:
        ValueError: an engine that cannot be.
    """
    return OwnModel(codec, settings.merge_lora) if settings.engine is None else SyncedEngine(settings, codec)


def load_engine(settings: LearnerSettings, codec: ChatCodec) -> AdapterModel:
    """This process's engine, with the learner's settings where its own leave them out.

    Raises:
        ValueError: there is no such engine, it cannot take token ids and adapters of this tokenizer, or it
            is vLLM inside one of several processes.
        LanguageModelError: no server answers.
    """
    options = own_share(settings.engine_options(), *rank())
    model = load_adapter_model({**engine_defaults(settings, options.get("name")), **options})
    if model.codec.identity() != codec.identity():
        raise ValueError(
            f"engine {settings.engine!r} has another tokenizer or chat template than "
            f"policy {settings.policy!r}"
        )
    if (room := model.max_context) <= settings.max_tokens:
        raise ValueError(f"engine {settings.engine!r} has room for {room} tokens, max_tokens needs more")
    return model


def engine_defaults(settings: LearnerSettings, name: Any) -> dict[str, Any]:
    """What an engine of this name has of the learner: tokenizer, precision, room for its adapters.

    Raises:
        ValueError: vLLM inside this process, which is one of several.
    """
    if name == "http":
        return {"tokenizer": policy_path(settings)}
    if name == "vllm":
        if (processes := rank()[1]) > 1:
            raise ValueError(
                f"engine {settings.engine!r}: vLLM in this program would take the same GPU in each of its "
                f"{processes} processes; start servers with vllm serve (docs/scaling.md) and name them: "
                "'http://HOST:PORT/v1,http://HOST:PORT/v1#MODEL'"
            )
        return {"dtype": settings.dtype, "lora_rank": vllm_rank(settings.lora_rank)}
    return {"dtype": settings.dtype} if name == "transformers" else {}


def vllm_rank(rank: int) -> int:
    """The lowest bound of an adapter's rank that vLLM takes; the rank itself where it is beyond all of them.

    Example:
        >>> [vllm_rank(rank) for rank in (4, 16, 24, 32, 1000)]
        [8, 16, 32, 32, 1000]
    """
    return next((bound for bound in VLLM_RANKS if bound >= rank), rank)


def policy_path(settings: RunSettings) -> str:
    """Where the policy that training starts from can be loaded."""
    return str(tiny_model_path() if settings.policy == "tiny" else settings.policy)


def rank() -> tuple[int, int]:
    """Number of this process, and how many there are, as ``torchrun`` and ``accelerate launch`` say it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def own_share(options: Mapping[str, Any], process: int, processes: int) -> dict[str, Any]:
    """An engine's options with the addresses of one process: every so-many-th, at least one.

    Each process loads its adapters where it samples. Where there are fewer addresses than processes, some
    share a server, which then holds an adapter for each of them.

    Example:
        >>> own_share({"name": "http", "base_url": ["a", "b", "c", "d"]}, 1, 2)["base_url"]
        ['b', 'd']
        >>> own_share({"name": "http", "base_url": ["a", "b"]}, 3, 4)["base_url"]
        'b'
    """
    addresses = options.get("base_url")
    if isinstance(addresses, str):
        addresses = addresses.split(",")
    if not addresses:
        return dict(options)
    own = addresses[process::processes] or [addresses[process % len(addresses)]]
    return {**options, "base_url": own if len(own) > 1 else own[0]}


def last_reply(trajectory: Trajectory) -> tuple[GenerationRequest, list[int]]:
    """The policy's last message in tokens, and the request for it."""
    turn = max(trajectory.turn_index)
    start = trajectory.turn_index.index(turn)
    key = NoiseKey((trajectory.record.task_seed, trajectory.record.reply_seed, "probe"))
    prompt = trajectory.token_ids[:start]
    return GenerationRequest(("probe", key), (), key, prompt), trajectory.token_ids[start:]


def _restored(model: AdapterModel) -> int:
    """How often one of its servers was started anew and given its adapter again."""
    return model.restored if isinstance(model, HttpModel) else 0


def _gap(left: float, right: float) -> float:
    """The difference; infinite where one of them is no number."""
    gap = abs(left - right)
    return math.inf if math.isnan(gap) else gap
