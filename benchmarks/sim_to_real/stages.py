"""Stages: pieces of work with a name made of their settings, so that none is ever done twice.

The key of a stage is a hash of its settings and of the keys of what it needs. Its folder is that key; the
file that says what came of it is written last and whole, so that a killed stage counts for nothing. Stages
that need nothing of each other run in processes of their own.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import Any

DONE, LOG = "done.json", "log.jsonl"
VERSION = 1
"""Raise it when what stages do changes."""


@dataclass(frozen=True)
class Stage:
    """One piece of work.

    Attributes:
        title: for people: which arm, which seed.
        kind: which work, a name of ``work.WORK``.
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

    def result(self, cache: Path) -> dict[str, Any] | None:
        """What came of it; None while it is not done."""
        path = self.folder(cache) / DONE
        return json.loads(path.read_text(encoding="utf-8"))["result"] if path.exists() else None


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


def execute(stage: Stage, cache: Path) -> None:
    """Do the work, unless it is done; the outcome is written last, all or nothing."""
    if stage.result(cache) is not None:
        return
    from benchmarks.sim_to_real.work import WORK

    folder = stage.folder(cache)
    folder.mkdir(parents=True, exist_ok=True)
    wall, cpu = time.monotonic(), time.process_time()
    result = WORK[stage.kind](folder, stage.settings, {n: s.folder(cache) for n, s in stage.needs.items()})
    done = {
        "title": stage.title,
        "settings": stage.settings,
        "needs": {name: need.key for name, need in stage.needs.items()},
        "result": result,
        "wall_seconds": round(time.monotonic() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    partial = folder / f"{DONE}.partial"
    partial.write_text(json.dumps(done) + "\n", encoding="utf-8")
    partial.replace(folder / DONE)


def run_stages(
    wanted: Sequence[Stage], cache: Path, workers: int, say: Callable[[str, int, int], None]
) -> None:
    """Do all that is not done yet.

    Args:
        wanted: stages; what they need is done first.
        cache: folder of stage folders.
        workers: processes at once; each starts a fresh interpreter, since torch does not like to be forked.
        say: told the title of each finished stage, how many are done, and of how many.

    Raises:
        Exception: whatever a stage raised, after the others that were running have ended; what is done stays.
    """
    stages = in_order(wanted)
    open_stages = [stage for stage in stages if stage.result(cache) is None]
    done = {stage.key for stage in stages} - {stage.key for stage in open_stages}
    running: dict[Future[None], Stage] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while open_stages or running:
            for stage in [s for s in open_stages if all(n.key in done for n in s.needs.values())]:
                if len(running) < workers:
                    open_stages.remove(stage)
                    running[pool.submit(execute, stage, cache)] = stage
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                stage = running.pop(future)
                future.result()
                done.add(stage.key)
                say(stage.title, len(done), len(stages))
