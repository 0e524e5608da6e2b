"""An asyncio event loop in a thread of its own, for objects that are called from ordinary code."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_Started = Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]


class LoopThread:
    """A running event loop; coroutines are handed in from any thread.

    Args:
        name: of the thread.
        at_end: awaited in the loop when it closes, after whatever still ran there was cancelled.

    Raises:
        OSError: the system has nothing left for another loop (too many open files).
    """

    def __init__(self, name: str, at_end: Callable[[], Awaitable[object]]) -> None:
        self._at_end = at_end
        started: _Started = Future()
        # a daemon, so that a program ends also where nobody closes the loop
        self._thread = threading.Thread(target=self._work, args=(started,), name=name, daemon=True)
        self._thread.start()
        self._loop, self._stop = started.result()

    @property
    def alive(self) -> bool:
        """Whether coroutines can be handed in; no longer after ``close``, nor in a forked process."""
        return self._thread.is_alive()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine in the loop. The caller sees to it that ``close`` does not run meanwhile."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Cancel what runs, await ``at_end`` and end the thread; doing it again does nothing."""
        if self.alive:
            self._loop.call_soon_threadsafe(self._stop.set)
            if threading.current_thread() is not self._thread:  # garbage is collected in any thread
                self._thread.join()

    def _work(self, started: _Started) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._main(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # for whoever waits

    async def _main(self, started: _Started) -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._at_end()
