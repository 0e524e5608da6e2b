"""Comparing mathematical expressions in a subprocess, so that no input can block or crash the caller."""

import atexit
import contextlib
import json
import math
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

_PROGRAM = Path(__file__).with_name("verify_worker.py")
_START_SECONDS = 60.0
_LONGEST = 300
_MAX_POWERS = 6
# towers of powers, exponents of three or more digits, factorials of four or more, very long integers
_TOO_BIG = re.compile(
    r"(?:\^|\*\*)[^-+=,]{0,40}(?:\^|\*\*)|(?:\^|\*\*)\s*[{(]?\s*-?[0-9]{3}|[0-9]{4}\s*!|!\s*!|[0-9]{40}"
)
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_FUNCTIONS = frozenset({"sin", "cos", "tan", "log", "exp", "sqrt", "cot", "sec", "csc", "frac"})


def is_expression(text: str) -> bool:
    r"""Whether a text reads as one mathematical expression that is cheap enough to compare.

    Words, hedges and towers of powers are not: ``math-verify`` would pick a number out of a sentence,
    and would try to compute the tower.

    Example:
        >>> is_expression(r"x^2 + \sqrt{3}"), is_expression("it is 4 or 5"), is_expression("9^9^9^9")
        (True, False, False)
    """
    if not text.strip() or len(text) > _LONGEST or _TOO_BIG.search(text) or "\n" in text:
        return False
    if text.count("^") + text.count("**") > _MAX_POWERS:
        return False
    bare = _COMMAND.sub(" ", text)
    return " or " not in bare and all(word.lower() in _FUNCTIONS for word in _WORD.findall(bare))


class Subprocess:
    """Asks a program of one line in, one line out, started on first use; safe to share between threads.

    An answer that misses its deadline is ""; the subprocess is then killed, and the next question starts
    another. The start takes a second or two and is not part of a question's time.

    Args:
        program: reads a JSON list a line, the seconds that it may take at its end.
        needs: the module that it imports.
        start_s: seconds that its start may take.
    """

    def __init__(self, program: Path, needs: str, start_s: float = _START_SECONDS) -> None:
        self._start_s = start_s
        self._program = program
        self._needs = needs
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask(self, question: Sequence[object], timeout_s: float) -> str:
        """The program's answer, "" where it gives none within ``timeout_s`` seconds.

        Raises:
            RuntimeError: the subprocess cannot be started at all (a broken installation).
        """
        with self._lock:
            if self._process is None:
                self._start()
            if self._process is None or self._process.stdin is None:
                raise RuntimeError(f"the subprocess with {self._needs} is gone")
            try:
                self._process.stdin.write(json.dumps([*question, max(1, math.ceil(timeout_s))]) + "\n")
                self._process.stdin.flush()
                return self._read(timeout_s)
            except (queue.Empty, OSError):
                self._stop()
                return ""

    def close(self) -> None:
        """End the subprocess; a later check starts another."""
        with self._lock:
            self._stop()

    def _start(self) -> None:
        # -P keeps this folder off the path, where math.py would hide the standard module
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(self._program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent; this one ends with its input
        )
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(self._process, self._lines), daemon=True).start()
        try:
            ready = self._read(self._start_s) == "ready"
        except queue.Empty:
            ready = False
        if not ready:
            self._stop()
            raise RuntimeError(
                f"{self._needs} cannot be loaded: try `python -c 'import {self._needs}'` to see why"
            )

    def _read(self, timeout_s: float) -> str:
        deadline = time.monotonic() + timeout_s
        return self._lines.get(timeout=max(0.0, deadline - time.monotonic())).strip()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # what it did not read is lost with it
                process.stdin.close()


class ExpressionVerifier(Subprocess):
    """Compares expressions by math-verify; a check that misses its deadline counts as "not equal"."""

    def __init__(self) -> None:
        super().__init__(_PROGRAM, "math_verify")

    def equal(self, stated: str, reference: str, timeout_s: float) -> bool:
        """Whether math-verify finds the two expressions equal within ``timeout_s`` seconds.

        Raises:
            RuntimeError: the subprocess cannot be started at all (a broken installation).
        """
        return self.ask([stated, reference], timeout_s) == "true"


def _pump(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str]") -> None:
    """Move the process's output into a queue, where waiting can have a deadline on every system."""
    if process.stdout is None:
        return
    with process.stdout as stream:
        for line in stream:
            lines.put(line)
    lines.put("")  # end of output: whoever waits should not wait for the deadline


_shared = ExpressionVerifier()


def expressions_equal(stated: str, reference: str, timeout_s: float) -> bool:
    """``ExpressionVerifier.equal`` of the verifier that this process shares."""
    return _shared.equal(stated, reference, timeout_s)


def _close_shared() -> None:
    _shared.close()


def _after_fork() -> None:
    """A forked child must not talk through its parent's pipe."""
    global _shared
    _shared = ExpressionVerifier()


atexit.register(_close_shared)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
