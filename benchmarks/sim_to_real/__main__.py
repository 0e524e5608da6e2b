"""The study in one command: ``python -m benchmarks.sim_to_real [--preset tiny] [--seeds 3] [--out FOLDER]``.

Policies are trained on logs, against a naive user, a calibrated one, one calibrated twice, and the reference
itself, and judged by the reference. Everything is a toy unless another preset says otherwise.
"""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sim_to_real.arms import REFERENCE
from benchmarks.sim_to_real.collect import collect
from benchmarks.sim_to_real.display import Display
from benchmarks.sim_to_real.machine import machine
from benchmarks.sim_to_real.plan import Study
from benchmarks.sim_to_real.plots import draw_scores
from benchmarks.sim_to_real.report import markdown, terminal, to_html
from benchmarks.sim_to_real.settings import StudySettings, over_preset, read_preset
from benchmarks.sim_to_real.stages import LOG, run_stages, strangers
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.logs import read_log
from dialogue_gym.rollout import show

RESULT, REPORT, TABLES, PICTURE = "result.json", "report.html", "results.md", "scores.png"


def run(settings: StudySettings, command: str = "") -> dict[str, Any]:
    """Do what is not done yet, say what came of it, and write the report.

    Raises:
        StageError: a stage could not be done; what is done stays.
        OSError: the folder cannot be written.
    """
    study, began = Study(settings), time.monotonic()
    study.cache.mkdir(parents=True, exist_ok=True)
    wanted = study.wanted()
    if others := strangers(wanted, study.cache):
        print(f"{study.cache} also holds {others} stages of other settings; they are not used")
    run_stages(wanted, study.cache, settings.workers, Display())
    minutes = round((time.monotonic() - began) / 60, 1)
    about = {"command": command, "minutes of this run": minutes, **machine()}
    result = {"settings": settings.to_dict(), **collect(study), "run": about}
    write(settings.out / RESULT, json.dumps(result, indent=1, allow_nan=False) + "\n")
    write(settings.out / REPORT, to_html(result, transcripts(study)))
    write(settings.out / TABLES, markdown(result))
    draw_scores(result).savefig(settings.out / PICTURE, dpi=120)
    return result


def write(path: Path, text: str) -> None:
    """All or nothing."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def transcripts(study: Study) -> dict[str, str]:
    """For each arm the dialogue of the first seed's task that separates the arms most."""
    seed = study.seeds[0]
    stages = {arm: seed.judging(arm, study.chosen(seed, arm), REFERENCE) for arm in study.settings.arms}
    logs = {arm: list(read_log(stage.folder(study.cache) / LOG)) for arm, stage in stages.items()}
    by_task = zip(*logs.values(), strict=True)
    spread = [np.std([record.reward or 0.0 for record in records]) for records in by_task]
    return {arm: show(records[int(np.argmax(spread))]) for arm, records in logs.items()}


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    program = "python -m benchmarks.sim_to_real"
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        settings = settings_from(given, program)
        result = run(settings, shlex.join([*program.split(), *given]))
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "agents"), file=sys.stderr)
        return 2
    print(terminal(result))
    print(f"{settings.out / REPORT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
