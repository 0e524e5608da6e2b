"""Which stages a comparison needs."""

from typing import Any

from benchmarks.algorithms.registry import digest, find
from benchmarks.algorithms.settings import AlgorithmSettings
from benchmarks.algorithms.work import PER_TASK
from benchmarks.sim_to_real.settings import KINDS
from benchmarks.sim_to_real.stages import Stage
from benchmarks.sim_to_real.worlds import reference_population
from dialogue_gym.seeding import NoiseKey


def numbers(settings: AlgorithmSettings) -> range:
    """The seeds."""
    return range(settings.first_seed, settings.first_seed + settings.seeds)


def stage(settings: AlgorithmSettings, env: str, seed: int, name: str) -> Stage:
    """The stage that trains and judges one run."""
    algorithm = find(name, settings.files)
    chosen: dict[str, Any] = {
        **_world(settings, env, seed),
        "algorithm": name,
        "options": {**algorithm.options, **settings.options_of(name)},
        "learner": {} if algorithm.group == "acts" else settings.shared,
        "dialogues": settings.eval_dialogues,
        "env_kwargs": {},
        # every algorithm has draws of its own, so that runs are independent
        "draws": NoiseKey(("algorithms", seed, name)).seed(),
    }
    if name in settings.files:
        path = settings.files[name].absolute()
        chosen |= {"file": str(path), "content": digest(path)}
    needs = {"log": log(settings, env, seed)} if algorithm.from_log else {}
    return Stage(f"{env}, seed {seed}, {name}", "algorithm", chosen, needs)


def log(settings: AlgorithmSettings, env: str, seed: int) -> Stage:
    """The stage that plays the log of a seed."""
    chosen = {**_world(settings, env, seed), "per_task": PER_TASK}
    return Stage(f"{env}, seed {seed}, log of the base policy", "algorithms-log", chosen)


def wanted(settings: AlgorithmSettings) -> list[Stage]:
    """All runs, seed by seed, so that a comparison that is stopped has whole seeds."""
    return [
        stage(settings, env, seed, name)
        for seed in numbers(settings)
        for env in settings.envs
        for name in settings.names
    ]


def _world(settings: AlgorithmSettings, env: str, seed: int) -> dict[str, Any]:
    """What all runs of an environment and seed share."""
    kind = KINDS[env]
    return {
        "env": env,
        "kind": kind,
        "seed": seed,
        "population": reference_population(kind, seed).to_dict(),
        "bound": {"user_calls": settings.user_calls, "policy_tokens": settings.policy_tokens},
        "policy": settings.policy,
        "max_turns": settings.max_turns,
        "max_tokens": settings.max_tokens,
    }
