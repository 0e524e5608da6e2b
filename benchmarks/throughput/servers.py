"""Dialogues against a server, many at once, while a share of its calls fails in every way that it knows."""

import multiprocessing
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.throughput.environment import FreeScorer, FreeUser
from benchmarks.throughput.measuring import Findings, Series, Target, by_series, paired, ratios
from benchmarks.throughput.settings import Settings
from dialogue_gym.language_models import Sampling, load_language_model, named_language_model
from dialogue_gym.rollout import TextPolicy, Trajectory, make_vector_env, play

TURNS = 4
DIALOGUES = 4
"""Of each client."""


def measure(settings: Settings) -> Findings:
    """Wall time, since it is spent waiting."""
    return _faulty(settings) if settings.server is None else _real(settings, settings.server)


def _real(settings: Settings, server: str) -> Findings:
    """A server that somebody runs: many dialogues at once over one after the other."""
    spec = {**named_language_model(server), "timeout_s": 600.0, "deadline_s": 600.0}
    name = f"server of {spec['model']}"
    runs = {(name, float(clients)): Run(clients, spec) for clients in settings.clients}
    speed = paired({key: run.speed for key, run in runs.items()}, settings.rounds, f"servers, {name}")
    lost = {key: run.lost[1:] for key, run in runs.items()}
    least, most = (speed[name, float(f(settings.clients))] for f in (min, max))
    title = f"speed at {max(settings.clients)} dialogues at once over {min(settings.clients)}, {name}"
    targets = [Target(title, ratios(most, least), 10.0, "least"), _unexplained(name, list(runs.values()))]
    return Findings(_series(speed, lost), targets)


def _faulty(settings: Settings) -> Findings:
    """Fakes, each in a process of its own, of whose calls a share fails; all in turn in every round."""
    runs: dict[tuple[str, float], Run] = {}
    with ExitStack() as servers:
        for share in settings.faults:
            address = servers.enter_context(_server(share, settings.latency))
            spec = _impatient(address, settings.latency)
            runs |= {(_name(share), float(clients)): Run(clients, spec) for clients in settings.clients}
        speed = paired({key: run.speed for key, run in runs.items()}, settings.rounds, "servers")
    findings = Findings(_series(speed, {key: run.lost[1:] for key, run in runs.items()}))
    for share in settings.faults:
        own = [run for (name, _), run in runs.items() if name == _name(share)]
        findings.targets.append(_unexplained(f"{share:.0%} faults", own))
    if 0.0 in settings.faults:
        for share in (s for s in settings.faults if s):
            clients = float(max(settings.clients))
            kept = ratios(speed[_name(share), clients], speed[_name(0.0), clients])
            name = f"speed of the fault-free server at {share:.0%} faults, {clients:g} clients"
            findings.targets.append(Target(f"share of the {name}", kept, 0.75, "least"))
    return findings


def _impatient(address: str, latency: float) -> dict[str, Any]:
    """How to talk with a server that answers after so many seconds, or never."""
    return {
        "name": "http",
        "base_url": address,
        "model": "m",
        "timeout_s": max(0.2, 4 * latency),
        "backoff_s": max(0.01, latency / 4),
        "max_retries": 8,
    }


def _series(
    speed: dict[tuple[str, float], list[float]], lost: dict[tuple[str, float], list[float]]
) -> list[Series]:
    return by_series("dialogues per wall s", "clients", speed) + by_series(
        "share of dialogues lost, with their reason", "clients", lost
    )


def _name(share: float) -> str:
    return f"{share:.0%} of calls fail"


class Run:
    """Some dialogues, so many at once, again and again; counts those that are lost."""

    def __init__(self, clients: int, spec: Mapping[str, Any]) -> None:
        self.clients, self.spec = clients, {**spec, "concurrency": clients}
        self.lost: list[float] = []
        self.unexplained: list[float] = []

    def speed(self) -> float:
        """Dialogues per second, those that are lost not counted.

        Raises:
            ValueError: all of them are lost; with the reason of the first.
        """
        count = DIALOGUES * self.clients
        model: Any = load_language_model(self.spec)
        env = make_vector_env("MathChat-v0", 1, simulator=FreeUser(), scorer=FreeScorer(), max_turns=TURNS)
        with closing(model), closing(env):
            policy = TextPolicy(model, Sampling(32))
            begin = time.perf_counter()
            played = play(env, policy, range(count), range(count), concurrency=self.clients)
            seconds = time.perf_counter() - begin
        return (count - self._count_lost(played)) / seconds

    def _count_lost(self, played: list[Trajectory]) -> int:
        lost = [t for t in played if t.reward is None]
        self.lost.append(len(lost) / len(played))
        self.unexplained.append(float(sum(not t.record.extra.get("failure") for t in lost)))
        if len(lost) == len(played):
            reason = lost[0].record.extra["failure"]
            raise ValueError(f"every dialogue is lost, the first because of {reason}")
        return len(lost)


def _unexplained(name: str, runs: list[Run]) -> Target:
    rounds = zip(*(run.unexplained for run in runs), strict=True)
    return Target(
        f"dialogues lost without a reason, {name}", [float(sum(counts)) for counts in rounds], 0.0, "most"
    )


@contextmanager
def _server(share: float, latency: float) -> Iterator[str]:
    """The address of a server in a process of its own, so that it takes no time of ours."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, share, latency), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.close()
        process.join(10)


def _serve(pipe: Connection, share: float, latency: float) -> None:
    server_of_tests = import_module("tests.fake_server").FakeServer
    with server_of_tests(share=share, latency_s=latency, answer=lambda body: "How many are there?") as server:
        pipe.send(server.base_url)
        try:
            pipe.recv()  # until the other side has gone
        except EOFError:
            return
