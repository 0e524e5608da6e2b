"""Run the command in this process, or in one of its own that can be killed."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from dialogue_gym.cli import main


@dataclass
class Done:
    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that bad input gives."""
        assert self.status == 2
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err.strip()


@pytest.fixture
def command(capsys: Any) -> Callable[..., Done]:
    def run(*arguments: Any) -> Done:
        status = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.fixture
def python() -> list[str]:
    return [sys.executable, "-W", "error", "-m", "dialogue_gym.cli"]
