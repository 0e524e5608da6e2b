"""What an environment step costs, the user's and the scorer's own time apart, beside other packages."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from benchmarks.throughput.measuring import Findings, Target, Work, by_series, paired, progress
from benchmarks.throughput.peers import PEERS, PeerError, installed, interpreter, probe
from benchmarks.throughput.settings import Settings
from dialogue_gym.dialogue import Conversation
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.envs.parts import DEFAULT_SCORERS
from dialogue_gym.rollout import RulePolicy, play
from dialogue_gym.scoring.base import Score, scorers
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import Persona, ScriptedUser, UserReply, UserRequest
from dialogue_gym.tasks import Kind, Task, task_from_dict

HORIZONS = (5, 20, 80)
NAMES: dict[str, Literal["new", "all"]] = {
    "dialogue_gym, new messages": "new",
    "dialogue_gym, whole transcript": "all",
}
_PERSONA = Persona()


class FreeUser(ScriptedUser):
    """Says the same thing at no cost, and never stops."""

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


def measure(settings: Settings) -> Findings:
    """Our vector environment and the peers' in turn, then our users and scorers by themselves."""
    findings = Findings()
    steps = _steps(settings, findings.notes)
    findings.series = by_series("CPU us per step", "turns", steps)
    for turns in HORIZONS:
        new = steps["dialogue_gym, new messages", float(turns)]
        findings.targets.append(Target(f"us per step, new messages, H = {turns}", new, 5.0, "most"))
    whole = steps["dialogue_gym, whole transcript", float(HORIZONS[-1])]
    findings.targets.append(Target(f"us per step, whole transcript, H = {HORIZONS[-1]}", whole, 12.0, "most"))
    parts = paired(_parts(), settings.rounds, "users and scorers")
    findings.series += by_series("CPU us each", "", {(name, 0.0): values for name, values in parts.items()})
    return findings


def _steps(settings: Settings, notes: list[str]) -> dict[tuple[str, float], list[float]]:
    """CPU microseconds per step of every environment, by case and number of turns, round by round."""
    pythons = _pythons(settings, notes)
    samples: dict[tuple[str, float], list[float]] = {}
    for done in range(settings.rounds + 1):
        figures = {
            (name, float(h)): step_us(o, h, settings.rows) for name, o in NAMES.items() for h in HORIZONS
        }
        for peer, python in list(pythons.items()):
            progress(f"environment: round {done} of {settings.rounds}, {peer}")
            try:
                figures |= probe(python, peer, settings.rows, HORIZONS)
            except PeerError as error:
                notes.append(f"skipped: {error}")
                del pythons[peer]
        if done:
            for key, figure in figures.items():
                samples.setdefault(key, []).append(figure)
    progress("")
    notes += [f"measured beside {', '.join(map(installed, pythons))}"] if pythons else []
    return samples


def _pythons(settings: Settings, notes: list[str]) -> dict[str, Path]:
    found = {}
    for peer in PEERS:
        progress(f"environment: installing {peer}")
        try:
            found[peer] = interpreter(peer, settings.out / "peers", settings.install)
        except PeerError as error:
            notes.append(f"skipped: {error}")
    return found


def step_us(observe: Literal["new", "all"], horizon: int, rows: int) -> float:
    """CPU microseconds per step over dialogues of ``horizon`` turns; resets apart, user and scorer free."""
    env = DialogueVectorEnv(
        "math",
        num_envs=rows,
        simulator=FreeUser(),
        scorer=FreeScorer(),
        observe=observe,
        max_turns=horizon + 1,
        autoreset_mode="Disabled",
    )
    actions = ["How many marbles are there at the start?"] * rows
    with closing(env):
        env.reset(seed=0)
        start = time.process_time()
        for _ in range(horizon):
            env.step(actions)
        return 1e6 * (time.process_time() - start) / (rows * horizon)


def _parts() -> dict[str, Work]:
    """The scripted user on every turn, and the scorer on every dialogue, of a rule policy's dialogues."""
    kinds: tuple[Kind, ...] = ("math", "document")
    works: dict[str, Work] = {}
    for kind in kinds:
        works |= _parts_of(kind)
    return works


def _parts_of(kind: Kind) -> dict[str, Work]:
    env = DialogueVectorEnv(kind, num_envs=64, autoreset_mode="Disabled")
    records = [t.record for t in play(env, RulePolicy(kind), range(256), range(256))]
    tasks = [task_from_dict(record.task or {}) for record in records]
    user, scorer = env.simulator, scorers[kind].build(DEFAULT_SCORERS[kind])
    requests = [
        UserRequest(
            i, kind, task.brief, Persona(**record.persona or {}), record.messages[:end], NoiseKey((i, end))
        )
        for i, (task, record) in enumerate(zip(tasks, records, strict=True))
        for end in range(2, len(record.messages), 2)
    ]

    def speak() -> float:
        start = time.process_time()
        user.reply(requests)
        return 1e6 * (time.process_time() - start) / len(requests)

    def judge() -> float:
        start = time.process_time()
        for task, record in zip(tasks, records, strict=True):
            scorer.score(task, record.messages)
        return 1e6 * (time.process_time() - start) / len(records)

    return {f"scripted user, {kind}, a reply": speak, f"scorer, {kind}, a dialogue": judge}
