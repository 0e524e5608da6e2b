"""Stages: pieces of work with a name made of their settings, so that none is ever done twice.

The key of a stage is a hash of its settings and of the keys of what it needs. Its folder is that key; the
file that says what came of it is written last and whole, so that a killed stage counts for nothing. Stages
that need nothing of each other run in processes of their own, which end with the one that started them.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from importlib import import_module
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from filelock import FileLock

from dialogue_gym.files import write_whole

DONE, LOG, LOCK = "done.json", "log.jsonl", "lock"
OUTPUT = "workers.log"
"""What the workers' libraries print."""
_AGAIN = "the same command goes on from here"
STUDY = "benchmarks.sim_to_real.work"
"""The module that does the study's stages."""
VERSION = 2
"""Raise it when what stages do changes."""


class StageError(ValueError):
    """A stage could not be done; the message names it, what was wrong, and how to go on."""


@dataclass(frozen=True)
class Stage:
    """One piece of work.

    Attributes:
        title: for people: which arm, which seed.
        kind: which work, a name in ``WORK`` of the module that does it.
        settings: JSON-able; what it depends on besides other stages.
        needs: other stages, by the name under which the work knows them.
    """

    title: str
    kind: str
    settings: dict[str, Any]
    needs: dict[str, "Stage"] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Names the stage; the same for the same work."""
        content = [VERSION, self.kind, self.settings, {name: s.key for name, s in self.needs.items()}]
        digest = blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()
        return f"{self.kind}-{digest}"

    def folder(self, cache: Path) -> Path:
        """Where its files are."""
        return cache / self.key

    def is_done(self, cache: Path) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder(cache) / DONE).exists()

    def result(self, cache: Path) -> dict[str, Any]:
        """What came of it.

        Raises:
            FileNotFoundError: it is not done.
        """
        return read_result(self.folder(cache))

    def seconds(self, cache: Path) -> dict[str, float]:
        """What it took: "wall" and "cpu" seconds, those of the process that ended it."""
        done = json.loads((self.folder(cache) / DONE).read_text(encoding="utf-8"))
        return {"wall": done["wall_seconds"], "cpu": done["cpu_seconds"]}


def read_result(folder: Path) -> dict[str, Any]:
    """What came of the stage in a folder.

    Raises:
        FileNotFoundError: it is not done.
    """
    result: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))["result"]
    return result


def in_order(wanted: Sequence[Stage]) -> list[Stage]:
    """These stages and all that they need, each once, needs first."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in found:
            for need in stage.needs.values():
                visit(need)
            found[stage.key] = stage

    for stage in wanted:
        visit(stage)
    return list(found.values())


def execute(stage: Stage, cache: Path, work: str = STUDY) -> None:
    """Do the work, unless it is done; the outcome is written last, all or nothing.

    Two studies in one folder wait for each other's stages rather than write into them.

    Args:
        stage: what to do.
        cache: folder of stage folders.
        work: the module whose ``WORK`` knows how, by kind; imported in the process that does it.
    """
    folder = stage.folder(cache)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):  # of the system: it goes with the process that holds it
        if stage.is_done(cache):
            return
        wall, cpu = time.monotonic(), time.process_time()
        needs = {name: need.folder(cache) for name, need in stage.needs.items()}
        result = import_module(work).WORK[stage.kind](folder, stage.settings, needs)
        done = {
            "title": stage.title,
            "settings": stage.settings,
            "needs": {name: need.key for name, need in stage.needs.items()},
            "result": result,
            "wall_seconds": round(time.monotonic() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }
        write_whole(folder / DONE, json.dumps(done) + "\n")


@dataclass(frozen=True)
class Progress:
    """Where a run of stages is.

    Attributes:
        finished: title of the stage that has just ended; None at the beginning.
        done: stages that are done, those of earlier runs included.
        total: of how many.
        running: titles of stages under way.
        left: seconds that the rest will take at the pace so far; None while nothing is known.
    """

    finished: str | None
    done: int
    total: int
    running: list[str]
    left: float | None


def strangers(wanted: Sequence[Stage], cache: Path) -> int:
    """How many stages of other settings the cache holds; they are left alone."""
    keys = {stage.key for stage in in_order(wanted)}
    return sum(path.parent.name not in keys for path in cache.glob(f"*/{DONE}"))


def run_stages(
    wanted: Sequence[Stage], cache: Path, workers: int, say: Callable[[Progress], None], work: str = STUDY
) -> None:
    """Do all that is not done yet.

    Args:
        wanted: stages; what they need is done first.
        cache: folder of stage folders.
        workers: processes at once; each starts a fresh interpreter, since torch does not like to be forked.
        say: told at the beginning and after each stage where the run is.
        work: see ``execute``.

    Raises:
        StageError: what a stage raised, after the others that were running have ended; what is done stays.
    """
    pending = _Pending(in_order(wanted), cache, workers, work)
    ended: list[Stage | None] = [None]
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin_worker, initargs=(cache / OUTPUT,)
    ) as pool:
        while ended:
            pending.begin(pool)
            for stage in ended:
                say(pending.progress(stage))
            finished = wait(pending.running, return_when=FIRST_COMPLETED)[0] if pending.running else ()
            ended = [pending.end(future) for future in finished]


class _Pending:
    """What is done, what runs, what is still to be begun."""

    def __init__(self, stages: Sequence[Stage], cache: Path, workers: int, work: str) -> None:
        self.cache, self.workers, self.total, self.work = cache, workers, len(stages), work
        self.open = [stage for stage in stages if not stage.is_done(cache)]
        self.done = {stage.key for stage in stages} - {stage.key for stage in self.open}
        self.running: dict[Future[None], Stage] = {}
        self.seconds: dict[str, list[float]] = {}
        for stage in stages:
            if stage.key in self.done:
                self._learn(stage)

    def begin(self, pool: ProcessPoolExecutor) -> None:
        """Give free workers stages whose needs are done.

        Raises:
            StageError: a worker has been killed.
        """
        ready = [s for s in self.open if all(n.key in self.done for n in s.needs.values())]
        for stage in ready[: self.workers - len(self.running)]:
            self.open.remove(stage)
            try:
                self.running[pool.submit(execute, stage, self.cache, self.work)] = stage
            except BrokenProcessPool:
                raise self._killed(stage) from None

    def end(self, future: Future[None]) -> Stage:
        """The stage that a future was; it is done now.

        Raises:
            StageError: it is not.
        """
        stage = self.running.pop(future)
        try:
            future.result()
        except BrokenProcessPool:
            raise self._killed(stage) from None
        except Exception as error:
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            again = _AGAIN
            if isinstance(error, FileNotFoundError) and str(self.cache) in line:
                again = (
                    "a finished stage has lost that file; remove its folder, and the same command makes it"
                )
            raise StageError(f"{stage.title}: {line}; {again}") from error
        self.done.add(stage.key)
        self._learn(stage)
        return stage

    def _killed(self, stage: Stage) -> StageError:
        titles = " or ".join([stage.title, *(s.title for s in self.running.values())])
        return StageError(f"a worker was killed during: {titles}; {_AGAIN}")

    def _learn(self, stage: Stage) -> None:
        self.seconds.setdefault(stage.kind, []).append(stage.seconds(self.cache)["wall"])

    def progress(self, finished: Stage | None) -> Progress:
        """Now."""
        running = [stage.title for stage in self.running.values()]
        return Progress(
            finished.title if finished else None, len(self.done), self.total, running, self._left()
        )

    def _left(self) -> float | None:
        """By the mean of each kind of stage so far; kinds that nothing is known of count as the mean kind."""
        if not self.seconds:
            return None
        means = {kind: sum(values) / len(values) for kind, values in self.seconds.items()}
        usual = sum(means.values()) / len(means)
        left = [means.get(stage.kind, usual) for stage in (*self.open, *self.running.values())]
        return sum(left) / self.workers


def _begin_worker(output: Path) -> None:
    """Print into a file, and leave at once when the study is killed, so that its successor works alone."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
