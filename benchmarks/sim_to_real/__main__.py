"""The study in one command: ``python -m benchmarks.sim_to_real [--preset tiny] [--seeds 3] [--out FOLDER]``.

Policies are trained on logs, against a naive user, a calibrated one, one calibrated twice, and the reference
itself, and judged by the reference. Everything is a toy unless another preset says otherwise.
"""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.sim_to_real.arms import REFERENCE
from benchmarks.sim_to_real.collect import collect
from benchmarks.sim_to_real.command import do_stages, origin, run_command, settings_from, to_json
from benchmarks.sim_to_real.plan import Study
from benchmarks.sim_to_real.plots import draw_scores
from benchmarks.sim_to_real.report import markdown, terminal, to_html
from benchmarks.sim_to_real.settings import StudySettings
from benchmarks.sim_to_real.stages import LOG
from dialogue_gym.files import write_whole
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
    do_stages(study.wanted(), settings)
    result = {**origin(command, settings), **collect(study)}
    result["run"]["minutes of this run"] = round((time.monotonic() - began) / 60, 1)
    write_whole(settings.out / RESULT, to_json(result))
    write_whole(settings.out / REPORT, to_html(result, transcripts(study)))
    write_whole(settings.out / TABLES, markdown(result))
    draw_scores(result).savefig(settings.out / PICTURE, dpi=120)
    return result


def transcripts(study: Study) -> dict[str, str]:
    """For each arm the dialogue of the first seed's task that separates the arms most."""
    seed = study.seeds[0]
    stages = {arm: seed.judging(arm, study.chosen(seed, arm), REFERENCE) for arm in study.settings.arms}
    logs = {arm: list(read_log(stage.folder(study.cache) / LOG)) for arm, stage in stages.items()}
    by_task = zip(*logs.values(), strict=True)
    spread = [np.std([record.reward or 0.0 for record in records]) for records in by_task]
    return {arm: show(records[int(np.argmax(spread))]) for arm, records in logs.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    program = "python -m benchmarks.sim_to_real"

    def body(given: list[str], command: str) -> None:
        settings = settings_from(given, program)
        print(terminal(run(settings, command)))
        print(f"{settings.out / REPORT}")

    return run_command(program, arguments, body)


if __name__ == "__main__":
    sys.exit(main())
