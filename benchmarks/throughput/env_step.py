"""CPU time per environment step, the user's and the scorer's own time apart.

``python -m benchmarks.throughput.env_step [--rounds 15]`` prints a table; the vector environment has 64 rows.
The first rows measure the environment with a user and a scorer that cost nothing; the others the built-in
user and scorer alone, on requests and dialogues of the same tasks.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal

from dialogue_gym.dialogue import Conversation
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.envs.parts import DEFAULT_SCORERS
from dialogue_gym.rollout import RulePolicy, play
from dialogue_gym.scoring.base import Score, scorers
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, ScriptedUser, UserReply, UserRequest
from dialogue_gym.tasks import Kind, Task, task_from_dict

ROWS = 64
OBSERVE: tuple[Literal["new", "all"], ...] = ("new", "all")
_PERSONA = Persona()


class FreeUser(ScriptedUser):
    """Says the same thing at no cost."""

    def reply(self, requests: Sequence[UserRequest]) -> list[UserReply]:
        """Constant replies."""
        return [UserReply("and then?") for _ in requests]

    def draw_persona(self, kind: Kind, key: NoiseKey) -> Persona:
        """A constant persona."""
        return _PERSONA


class FreeScorer:
    """Pays nothing at no cost."""

    def score(self, task: Task, conversation: Conversation) -> Score:
        """A constant score."""
        return Score(0.0)

    def identity(self) -> dict[str, object]:
        """Its name."""
        return {"name": "free"}


Timed = Callable[[], tuple[float, int]]
"""Does some work; returns its CPU seconds and its units."""


def timed_steps(observe: Literal["all", "new"], horizon: int) -> Timed:
    """Steps of a vector environment with free parts, over dialogues of ``horizon`` turns; resets apart."""
    env = DialogueVectorEnv(
        "math",
        num_envs=ROWS,
        simulator=FreeUser(),
        scorer=FreeScorer(),
        observe=observe,
        max_turns=horizon + 1,
        autoreset_mode="Disabled",
    )
    actions = ["How many marbles are there at the start?"] * ROWS

    def work() -> tuple[float, int]:
        env.reset(seed=0)
        start = time.process_time()
        for _ in range(horizon):
            env.step(actions)
        return time.process_time() - start, ROWS * horizon

    return work


def timed_parts(kind: Kind) -> tuple[Timed, Timed]:
    """The scripted user on every turn, and the scorer on every dialogue, of a rule policy's dialogues."""
    env = DialogueVectorEnv(kind, num_envs=ROWS, autoreset_mode="Disabled")
    records = [t.record for t in play(env, RulePolicy(kind), range(4 * ROWS), range(4 * ROWS))]
    tasks = [task_from_dict(record.task or {}) for record in records]
    user, scorer = env.simulator, scorers[kind].build(DEFAULT_SCORERS[kind])
    requests = [
        UserRequest(
            i, kind, task.brief, Persona(**record.persona or {}), record.messages[:end], NoiseKey((i, end))
        )
        for i, (task, record) in enumerate(zip(tasks, records, strict=True))
        for end in range(2, len(record.messages), 2)
    ]

    def speak() -> tuple[float, int]:
        start = time.process_time()
        user.reply(requests)
        return time.process_time() - start, len(requests)

    def judge() -> tuple[float, int]:
        start = time.process_time()
        for task, record in zip(tasks, records, strict=True):
            scorer.score(task, record.messages)
        return time.process_time() - start, len(records)

    return speak, judge


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput.env_step", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="measurements per row; the median counts")
    rounds = parser.parse_args(arguments).rounds
    rows: list[tuple[str, Timed]] = [
        (f'env step, observe="{observe}", H = {horizon}', timed_steps(observe, horizon))
        for observe in OBSERVE
        for horizon in (5, 20, 80)
    ]
    kinds: tuple[Kind, ...] = ("math", "document")
    for kind in kinds:
        speak, judge = timed_parts(kind)
        rows += [(f"scripted user, {kind}, a reply", speak), (f"scorer, {kind}, a dialogue", judge)]
    print(f"{'CPU microseconds, ' + str(rounds) + ' rounds':42}{'min':>8}{'median':>8}{'max':>8}")
    for name, work in rows:
        work()
        figures = [1e6 * seconds / units for seconds, units in (work() for _ in range(rounds))]
        print(f"{name:42}{min(figures):8.1f}{statistics.median(figures):8.1f}{max(figures):8.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
