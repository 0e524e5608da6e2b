"""Dialogues a second, and the share of a rollout's time inside forward passes."""

from contextlib import closing

from benchmarks.throughput.measuring import (
    MEMORY,
    Device,
    Findings,
    Series,
    Target,
    by_series,
    clock,
    clock_name,
    paired,
    peak_gib,
    reset_peak,
)
from benchmarks.throughput.models import ForwardTimer, load
from benchmarks.throughput.settings import Model, Settings
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import Sampling
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.rollout import LanguageModelPolicy, make_vector_env, play

MAX_TURNS, MAX_TOKENS = 6, 32


def measure(settings: Settings) -> Findings:
    """MathChat with the scripted user, one full batch of dialogues at a time."""
    findings = Findings(notes=[f"models in {settings.dtype}"])
    found = [_measure(name, settings) for name in settings.models]  # one after the other, for their memory
    for part in zip(*(series for series, _ in found), strict=True):
        findings.series += part
    findings.targets = [target for _, targets in found for target in targets]
    return findings


def _measure(name: Model, settings: Settings) -> tuple[list[Series], list[Target]]:
    engine, device = load(name, settings.device, settings.dtype), settings.device
    rollouts: dict[tuple[str, float], Rollout] = {
        (name, float(batch)): Rollout(engine, batch, device) for batch in settings.batches
    }
    works = {key: rollout.seconds_each for key, rollout in rollouts.items()}
    seconds = paired(works, settings.rounds, f"rollouts, {name}")
    speed = {key: [1 / s for s in samples] for key, samples in seconds.items()}
    # the first was to warm up
    shares = {key: rollout.shares[1:] for key, rollout in rollouts.items()}
    peaks = {key: rollout.peaks[1:] for key, rollout in rollouts.items()}
    series = by_series(f"dialogues per {clock_name(device)}", "batch", speed)
    series += by_series("share inside forward passes", "batch", shares)
    series += by_series(MEMORY, "batch", peaks) if device == "cuda" else []
    targets = [
        Target(f"share inside forward passes, {name}, batch {batch:g}", share, 0.90, "least")
        for (name, batch), share in shares.items()
        if batch == 64
    ]
    return series, targets


class Rollout:
    """One batch of dialogues, played again and again."""

    def __init__(self, engine: TransformersModel, batch: int, device: Device) -> None:
        self.engine, self.batch, self.device = engine, batch, device
        self.now = clock(device)
        self.shares: list[float] = []
        self.peaks: list[float] = []
        self._policy = LanguageModelPolicy(engine, Sampling(MAX_TOKENS, 1.0))

    def seconds_each(self) -> float:
        """Seconds a dialogue; the share inside forward passes and the peak of memory are kept."""
        reset_peak(self.device)
        with (
            closing(math_dialogues(self.batch)) as env,
            ForwardTimer(self.now).watching(self.engine.model) as timer,
        ):
            begin = self.now()
            play(env, self._policy, range(self.batch), range(self.batch))
            total = self.now() - begin
        self.shares.append(timer.seconds / total)
        self.peaks.append(peak_gib(self.device))
        return total / self.batch


def math_dialogues(rows: int) -> DialogueVectorEnv:
    """With the scripted user, of at most ``MAX_TURNS`` turns."""
    return make_vector_env("MathChat-v0", rows, simulator="scripted", max_turns=MAX_TURNS)
