"""How far sampling with the cache is from one pass over the whole dialogue, in bfloat16 and in float32."""

from collections.abc import Sequence
from contextlib import closing
from statistics import fmean

from benchmarks.throughput.measuring import Findings, by_series, progress
from benchmarks.throughput.models import lacks_memory, load
from benchmarks.throughput.rollouts import MAX_TOKENS, math_dialogues
from benchmarks.throughput.settings import Model, Settings
from dialogue_gym.language_models import GenerationRequest, Sampling
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.rollout import LanguageModelPolicy, Trajectory, play
from dialogue_gym.seeding import NoiseKey

Gaps = dict[tuple[str, float], list[list[float]]]
"""Of every sampled token, by case and batch, round by round."""


def measure(settings: Settings) -> Findings:
    """Log-probabilities of what was sampled in MathChat's dialogues, against those that one pass gives."""
    findings, gaps = Findings(), Gaps()
    for name in settings.models:
        gaps |= _measure(name, settings, findings.notes)
    for unit, figure in (("largest", max), ("mean", fmean)):
        samples = {case: [figure(gaps) for gaps in rounds] for case, rounds in gaps.items()}
        findings.series += by_series(f"{unit} difference of log-probabilities", "batch", samples)
    return findings


def _measure(name: Model, settings: Settings, notes: list[str]) -> Gaps:
    """In bfloat16; then with the same weights in float32, where these have room."""
    engine = load(name, settings.device, "bfloat16")
    played = _play(engine, settings)
    gaps = {(f"{name}, bfloat16", batch): _gaps(engine, rounds) for batch, rounds in played.items()}
    if problem := lacks_memory(name, settings.device, "float32"):
        notes.append(f"skipped: {problem}")
        return gaps
    engine.model.float()
    engine.weights_changed()
    crossed = f"{name}, bfloat16 against a pass in float32"
    gaps |= {(crossed, batch): _gaps(engine, rounds) for batch, rounds in played.items()}
    played = _play(engine, settings)
    return gaps | {(f"{name}, float32", batch): _gaps(engine, rounds) for batch, rounds in played.items()}


def _play(engine: TransformersModel, settings: Settings) -> dict[float, list[list[Trajectory]]]:
    """For each batch the dialogues of every round, each round others."""
    policy = LanguageModelPolicy(engine, Sampling(MAX_TOKENS, 1.0))
    played: dict[float, list[list[Trajectory]]] = {}
    for batch in settings.precision_batches:
        for done in range(settings.rounds):
            progress(f"precision: batch {batch}, round {done + 1} of {settings.rounds}")
            seeds = range(done * batch, (done + 1) * batch)
            with closing(math_dialogues(batch)) as env:
                played.setdefault(float(batch), []).append(play(env, policy, seeds, seeds))
    progress("")
    return played


def _gaps(engine: TransformersModel, rounds: Sequence[Sequence[Trajectory]]) -> list[list[float]]:
    return [token_gaps(engine, trajectories) for trajectories in rounds]


def token_gaps(engine: TransformersModel, trajectories: Sequence[Trajectory]) -> list[float]:
    """Of every sampled token the difference between its log-probability when sampled and in one pass."""
    starts = [t.prompt_length for t in trajectories]
    requests = [
        GenerationRequest(i, (), NoiseKey((i,)), t.token_ids[:start])
        for i, (t, start) in enumerate(zip(trajectories, starts, strict=True))
    ]
    scored = engine.score(requests, [t.token_ids[s:] for t, s in zip(trajectories, starts, strict=True)])
    return [
        abs(once - then)
        for t, start, row in zip(trajectories, starts, scored, strict=True)
        for once, then, sampled in zip(row, t.log_probs[start:], t.loss_mask[start:], strict=True)
        if sampled
    ]
