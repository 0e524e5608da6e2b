"""Work in several threads: results as they come, and an end to all of it when one fails or nobody waits."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.rollout.base import Policy

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE_S = 2.0  # for calls that are cut short; whoever hangs longer is a daemon and ends with the program


def suited_concurrency(env: DialogueVectorEnv, policy: Policy) -> int | None:
    """How ``play`` does best with these parts.

    A server answers one conversation as gladly as many, so that nobody need wait for the slowest dialogue
    of a batch; a model in this process is fastest when it is given whole batches. A language model counts
    as a server when it has an attribute ``concurrency``, as ``HttpModel`` has.

    Returns:
        ``env.num_envs`` where the agent or the user is played by a language model and all such models are
        servers; else None, which stands for lockstep batches.
    """
    parts = (policy, env.simulator)
    models = [model for part in parts if (model := getattr(part, "language_model", None)) is not None]
    return env.num_envs if models and all(hasattr(model, "concurrency") for model in models) else None


def as_finished(
    items: Iterable[T],
    worker: Callable[[Iterator[T]], Iterable[R]],
    threads: int,
    stopped: threading.Event,
    give_up: Callable[[], None],
) -> Generator[R, None, None]:
    """What workers make of the items, in the order in which they finish; close the generator to stop them.

    Args:
        items: each is handed to one worker, in order, when that one asks for its next.
        worker: runs in a thread of its own; takes items and yields results. What it raises stops all
            workers and is raised here.
        threads: number of workers.
        stopped: set when workers should end: an error, Ctrl-C, or the generator was closed.
        give_up: cuts short what workers wait for; called until all have ended.
    """
    results: queue.SimpleQueue[R | _Ended] = queue.SimpleQueue()
    shared, lock = iter(items), threading.Lock()

    def own() -> Iterator[T]:
        while not stopped.is_set():
            with lock:
                item = next(shared, _NOTHING)
            if isinstance(item, _Nothing):
                return
            yield item

    def work() -> None:
        error = None
        try:
            for result in worker(own()):
                results.put(result)
        except BaseException as raised:
            error = raised
        results.put(_Ended(error))

    # daemons, so that a call that hangs does not keep the program from ending
    crew = [threading.Thread(target=work, name=f"rollout-{i}", daemon=True) for i in range(threads)]
    try:
        for thread in crew:
            thread.start()
        yield from _received(results, threads)
    except BaseException:
        stopped.set()
        _dismiss(crew, give_up)
        raise
    for thread in crew:
        thread.join()


class _Nothing:
    """Stands for an item where there is none left."""


_NOTHING = _Nothing()


class _Ended:
    """What a worker says last."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _received(results: "queue.SimpleQueue[R | _Ended]", threads: int) -> Iterator[R]:
    while threads:
        result = results.get()
        if not isinstance(result, _Ended):
            yield result
        elif result.error is not None:
            raise result.error
        else:
            threads -= 1


def _dismiss(crew: Sequence[threading.Thread], give_up: Callable[[], None]) -> None:
    """See that the threads end; a call may begin after ``give_up``, so it is called again."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        running = [thread for thread in crew if thread.is_alive()]
        if not running:
            return
        give_up()
        running[0].join(0.05)
