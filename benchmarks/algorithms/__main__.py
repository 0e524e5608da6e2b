"""Algorithms compared in one command: ``python -m benchmarks.algorithms [--seeds 3] [--out FOLDER]``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.algorithms.collect import collect
from benchmarks.algorithms.plan import wanted
from benchmarks.algorithms.report import terminal, to_html
from benchmarks.algorithms.settings import AlgorithmSettings
from benchmarks.machine import machine
from benchmarks.sim_to_real.command import run_command, to_json
from benchmarks.sim_to_real.display import Display
from benchmarks.sim_to_real.stages import run_stages
from dialogue_gym.cli.arguments import parse_settings
from dialogue_gym.files import write_whole

RESULT, REPORT = "result.json", "report.html"
WORK = "benchmarks.algorithms.work"


def run(settings: AlgorithmSettings, command: str = "") -> dict[str, Any]:
    """Do what is not done yet, say what came of it, and write the report.

    Raises:
        StageError: a run could not be done; what is done stays.
        OSError: the folder cannot be written.
    """
    began = time.monotonic()
    settings.cache.mkdir(parents=True, exist_ok=True)
    run_stages(wanted(settings), settings.cache, settings.workers, Display(), WORK)
    about = {
        "command": command,
        **machine(),
        "minutes of this run": round((time.monotonic() - began) / 60, 1),
    }
    result = {"settings": _described(settings), "run": about, **collect(settings)}
    write_whole(settings.out / RESULT, to_json(result))
    write_whole(settings.out / REPORT, to_html(result))
    return result


def _described(settings: AlgorithmSettings) -> dict[str, Any]:
    """JSON-able; without what changes no figure."""
    plain = {k: v for k, v in asdict(settings).items() if k not in ("workers", "out")}
    return {
        **plain,
        "algorithm_file": [str(path) for path in settings.algorithm_file],
        "learner": settings.shared,
        "options": {name: options for name in settings.names if (options := settings.options_of(name))},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    program = "python -m benchmarks.algorithms"

    def body(given: list[str], command: str) -> None:
        settings = parse_settings(AlgorithmSettings, program, given)
        print(terminal(run(settings, command)))
        print(f"{settings.out / REPORT}")

    return run_command(program, arguments, body)


if __name__ == "__main__":
    sys.exit(main())
