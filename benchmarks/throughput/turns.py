"""What a turn costs late in a dialogue, with the cache that is kept across turns and without."""

import statistics
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.throughput.measuring import (
    MEMORY,
    Clock,
    Findings,
    Series,
    Target,
    by_series,
    clock,
    clock_name,
    peak_gib,
    progress,
    ratios,
    reset_peak,
)
from benchmarks.throughput.models import load
from benchmarks.throughput.settings import Model, Settings
from dialogue_gym.language_models import GenerationRequest, Sampling
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.seeding import NoiseKey

USER_TEXT = "I have 3 bags of marbles, and then?"
REPLY_TOKENS = 16


def measure(settings: Settings) -> Findings:
    """The same dialogues with and without a cache, every message of the same length."""
    findings = Findings(notes=[f"models in {settings.dtype}"])
    peaks: dict[tuple[str, float], list[float]] = {}
    for name in settings.models:
        _measure(name, settings, findings, peaks)
    findings.series += by_series(MEMORY, "batch", peaks) if settings.device == "cuda" else []
    return findings


def _measure(
    name: Model, settings: Settings, findings: Findings, peaks: dict[tuple[str, float], list[float]]
) -> None:
    """One model; its memory is free again afterwards."""
    engine, now = load(name, settings.device, settings.dtype), clock(settings.device)
    _never_ends(engine)
    for batch in settings.turn_batches:
        runs: dict[bool, list[list[float]]] = {True: [], False: []}
        for done in range(settings.rounds + 1):
            for cached, samples in runs.items():
                progress(f"turns: {name}, batch {batch}, round {done} of {settings.rounds}")
                reset_peak(settings.device)
                costs = list(_turn_costs(engine, batch, settings.horizon, cached, now))
                if done:
                    samples.append(costs)
                    case = f"{name}, {_kept(cached)}", float(batch)
                    peaks.setdefault(case, []).append(peak_gib(settings.device))
        progress("")
        _add(findings, f"{name}, batch {batch}", runs, clock_name(settings.device), settings.horizon)


def _kept(cached: bool) -> str:
    return "cache kept" if cached else "no cache"


def _never_ends(engine: TransformersModel) -> None:
    """Random weights that never end a turn, so that every message has the full length; cost is the same."""
    torch.manual_seed(1)
    engine.model.apply(engine.model._init_weights)
    end = engine.codec.end_of_turn_id

    def forbid_end(module: Any, given: Any, logits: torch.Tensor) -> None:
        logits[..., end] = -torch.inf

    engine.model.lm_head.register_forward_hook(forbid_end)


def _turn_costs(
    engine: TransformersModel, batch: int, horizon: int, cached: bool, now: Clock
) -> Iterator[float]:
    """Seconds of each turn's generation, for the whole batch."""
    engine.weights_changed()
    user = engine.codec.encode([{"role": "user", "content": USER_TEXT}])
    further = engine.codec.extend([{"role": "user", "content": USER_TEXT}])
    contexts = [list(user) for _ in range(batch)]
    for turn in range(horizon):
        requests = [
            GenerationRequest(row, (), NoiseKey((row, turn)), context) for row, context in enumerate(contexts)
        ]
        if not cached:
            engine.weights_changed()
        begin = now()
        completions = engine.generate(requests, Sampling(REPLY_TOKENS, 1.0))
        yield now() - begin
        contexts = [
            [*context, *completion.token_ids, engine.codec.end_of_turn_id, *further]
            for context, completion in zip(contexts, completions, strict=True)
        ]
    engine.forget(range(batch))


def _add(findings: Findings, name: str, runs: dict[bool, list[list[float]]], unit: str, horizon: int) -> None:
    turns = [float(turn + 1) for turn in range(horizon)]
    for cached, rounds in runs.items():
        label = f"{name}, {_kept(cached)}"
        samples = [[1000 * costs[turn] for costs in rounds] for turn in range(horizon)]
        findings.series.append(Series(f"{unit.replace(' s', ' ms')} a turn", label, "turn", turns, samples))
    if horizon >= 20:
        late = ratios(_near(runs[True], 19), _near(runs[True], 1))
        findings.targets.append(Target(f"cost of turn 20 over turn 2, {name}", late, 1.3, "most"))


def _near(rounds: list[list[float]], turn: int) -> list[float]:
    """Each round's median over a turn and its neighbours, since a single turn is noisy."""
    return [statistics.median(costs[turn - 1 : turn + 2]) for costs in rounds]
