"""What stages do here: play a log that fits a budget; train by an algorithm and judge what came of it."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.algorithms.lesson import Budget, Lesson
from benchmarks.algorithms.registry import faults_of, find
from benchmarks.sim_to_real.stages import LOG
from benchmarks.sim_to_real.work import played
from dialogue_gym.logs import append
from dialogue_gym.rollout import play
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import ScriptedUser

PER_TASK = 8
"""Dialogues of each task in a log."""
_TASKS = 16
"""Tasks at once."""

Needs = Mapping[str, Path]


def play_log(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """Dialogues of the base policy with the reference: as many whole tasks as the user calls allow."""
    lesson = _lesson(folder, settings, needs)
    log, key = folder / LOG, NoiseKey(("algorithms log", settings["seed"]))
    log.unlink(missing_ok=True)  # left half done by a run that was killed
    policy, dialogues, calls, first, full = lesson.language_model(lesson.base), 0, 0, 0, False
    with closing(lesson.make_env(_TASKS * PER_TASK)) as env:
        while not full:
            tasks = [key.child("task", first + i).seed() for i in range(_TASKS) for _ in range(PER_TASK)]
            replies = [key.child("reply", first, i).seed() for i in range(len(tasks))]
            records = [t.record for t in play(env, policy, tasks, replies, policy_seed=settings["seed"])]
            for start in range(0, len(records), PER_TASK):
                group = records[start : start + PER_TASK]
                cost = sum((len(record.messages) + 1) // 2 for record in group)
                if full := calls + cost > lesson.bound.user_calls:
                    break
                append(log, group)
                calls, dialogues = calls + cost, dialogues + PER_TASK
            first += _TASKS
    if not dialogues:
        raise ValueError(f"user_calls of {lesson.bound.user_calls} are too few for a log of one task")
    return {"dialogues": dialogues, "user_calls": calls}


def run_algorithm(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """Train, and judge the policy as the study does: held-out tasks, the reference as the user.

    Returns:
        "spent", see ``Budget``; "wall_seconds" and "cpu_seconds" of training, in the process that ended it;
        "evaluation", an ``Evaluation.to_dict``.
    """
    name, file = settings["algorithm"], Path(settings["file"]) if "file" in settings else None
    algorithm = find(name, {name: file} if file else {})
    lesson = _lesson(folder, settings, needs)
    seed = NoiseKey(("study evaluation", settings["seed"])).seed()
    with faults_of(file) if file else nullcontext():
        wall, cpu = time.monotonic(), time.process_time()
        policy = algorithm(lesson, settings["options"])
        if not callable(getattr(policy, "act", None)):
            raise TypeError(f"train returned {policy!r:.80}, which is no policy: it has no act(requests)")
        seconds = {"wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}
        found = played(folder, settings, {}, "test", seed, policy)
    return {"spent": asdict(lesson.spent), **seconds, "evaluation": found.to_dict()}


def _lesson(folder: Path, settings: dict[str, Any], needs: Needs) -> Lesson:
    return Lesson(
        env_id=settings["env"],
        kind=settings["kind"],
        seed=settings.get("draws", settings["seed"]),
        folder=folder,
        bound=Budget(**settings["bound"]),
        people=ScriptedUser(settings["population"]),
        log=needs["log"] / LOG if "log" in needs else None,
        base=settings["policy"],
        max_turns=settings["max_turns"],
        max_tokens=settings["max_tokens"],
        learner=settings.get("learner", {}),
    )


WORK: dict[str, Callable[[Path, dict[str, Any], Needs], dict[str, Any]]] = {
    "algorithms-log": play_log,
    "algorithm": run_algorithm,
}
