"""Dialogues a second, and the share of a rollout's time inside forward passes."""

from contextlib import closing

from benchmarks.throughput.measuring import (
    Clock,
    Findings,
    Target,
    Work,
    by_series,
    clock,
    clock_name,
    paired,
)
from benchmarks.throughput.models import ForwardTimer, Name, load
from benchmarks.throughput.settings import Settings
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.language_models import Sampling
from dialogue_gym.language_models.transformers_engine import TransformersModel
from dialogue_gym.rollout import LanguageModelPolicy, make_vector_env, play

MAX_TURNS, MAX_TOKENS = 6, 32


def measure(settings: Settings) -> Findings:
    """MathChat with the scripted user, one full batch of dialogues at a time."""
    now = clock(settings.device)
    shares: dict[tuple[str, float], list[float]] = {}
    works: dict[tuple[str, float], Work] = {}
    for name in settings.models:
        engine = load(name, settings.device)
        for batch in settings.batches:
            rollout = Rollout(name, engine, batch, now)
            works[name, float(batch)] = rollout.seconds_each
            shares[name, float(batch)] = rollout.shares
    seconds = paired(works, settings.rounds, "rollouts")
    speed = {key: [1 / s for s in samples] for key, samples in seconds.items()}
    measured = {key: share[1:] for key, share in shares.items()}  # the first was to warm up
    unit = f"dialogues per {clock_name(settings.device)}"
    series = by_series(unit, "batch", speed) + by_series("share inside forward passes", "batch", measured)
    targets = [
        Target(f"share inside forward passes, {name}, batch {batch:g}", share, 0.90, "least")
        for (name, batch), share in measured.items()
        if batch == 64
    ]
    return Findings(series, targets)


class Rollout:
    """One batch of dialogues, played again and again."""

    def __init__(self, name: Name, engine: TransformersModel, batch: int, now: Clock) -> None:
        self.engine, self.batch, self.now = engine, batch, now
        self.shares: list[float] = []
        self._policy = LanguageModelPolicy(engine, Sampling(MAX_TOKENS, 1.0))

    def seconds_each(self) -> float:
        """Seconds a dialogue; the share inside forward passes is kept."""
        with closing(self._env()) as env, ForwardTimer(self.now).watching(self.engine.model) as timer:
            begin = self.now()
            play(env, self._policy, range(self.batch), range(self.batch))
            total = self.now() - begin
        self.shares.append(timer.seconds / total)
        return total / self.batch

    def _env(self) -> DialogueVectorEnv:
        return make_vector_env("MathChat-v0", self.batch, simulator="scripted", max_turns=MAX_TURNS)
