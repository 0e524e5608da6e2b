"""What the study's commands share: settings from a command line, stages, files of results, errors."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.machine import machine
from benchmarks.sim_to_real.display import Display
from benchmarks.sim_to_real.settings import StudySettings, over_preset, read_preset
from benchmarks.sim_to_real.stages import Stage, run_stages, strangers
from dialogue_gym.cli.arguments import explain, parse_settings


def settings_from(arguments: Sequence[str], program: str) -> StudySettings:
    """The settings that a command line asks for, on top of those of its preset.

    Raises:
        ValueError: see ``parse_settings`` and ``read_preset``.
    """
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--preset", default=StudySettings.preset)
    name = reader.parse_known_args(arguments)[0].preset
    preset = StudySettings(preset=name, **read_preset(name))
    return over_preset(parse_settings(StudySettings, program, arguments, preset))


def do_stages(stages: Sequence[Stage], settings: StudySettings) -> None:
    """Do those that are not done yet, and show how far it is.

    Raises:
        StageError: a stage could not be done; what is done stays.
        OSError: the folder cannot be written.
    """
    settings.cache.mkdir(parents=True, exist_ok=True)
    if others := strangers(stages, settings.cache):
        print(f"{settings.cache} also holds {others} stages of other settings; they are not used")
    run_stages(stages, settings.cache, settings.workers, Display())


def origin(command: str, settings: StudySettings) -> dict[str, Any]:
    """How a result came about."""
    return {"settings": settings.to_dict(), "run": {"command": command, **machine()}}


def to_json(result: dict[str, Any]) -> str:
    """A result as the text of a file."""
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def run_command(program: str, arguments: Sequence[str] | None, body: Callable[[list[str], str], None]) -> int:
    """Run a command; what is wrong with what it was given is one line.

    Args:
        program: as people call it.
        arguments: those of the command line if None.
        body: gets them, and the whole command.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        body(given, shlex.join([*program.split(), *given]))
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "agents"), file=sys.stderr)
        return 2
    return 0
