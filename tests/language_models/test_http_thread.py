"""The loop in a thread of its own: it starts, or says at once why it cannot."""

import asyncio
import threading

import pytest

from dialogue_gym.language_models.http_thread import LoopThread


async def nothing() -> None:
    pass


def test_a_loop_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", full)
    with pytest.raises(OSError, match="Too many open files"):
        LoopThread("no-loop", at_end=nothing)


def test_it_works_until_it_is_closed() -> None:
    async def name() -> str:
        return threading.current_thread().name

    thread = LoopThread("some-loop", at_end=nothing)
    assert thread.submit(name()).result() == "some-loop"
    thread.close()
    thread.close()
    assert not thread.alive
