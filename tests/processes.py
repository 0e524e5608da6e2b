"""Processes that end with the test that started them, and all that they started in turn."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def started(command: Sequence[Any], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process with a group of its own, killed with it at the end of the block, however that comes."""
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run(
    command: Sequence[Any], *, timeout: float = 300.0, check: bool = True, input: Any = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """As ``subprocess.run``, output captured; nothing is left when it takes too long."""
    with started(
        command,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    ) as process:
        out, err = process.communicate(input, timeout=timeout)
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(command, process.returncode, out, err)
