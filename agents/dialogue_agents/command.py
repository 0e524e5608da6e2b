"""The command line of a learner: settings in, a run, its figures out."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dialogue_gym.cli.arguments import explain, log_lines_once, parse_settings
from dialogue_gym.language_models import LanguageModelError

S = TypeVar("S")


def show_run(settings: Any, result: dict[str, Any], policy: str = "policy") -> None:
    """Print the evaluations of a run, and where it has left what.

    Args:
        settings: with ``out``.
        result: what ``grpo.run.train`` returns, or as much of it as there is.
        policy: what the policy is called in the folder of the run.
    """
    from dialogue_agents.grpo.progress import report

    print(report(result))
    print(f"policy: {settings.out / policy}  figures: {settings.out / 'result.json'}")


def command(
    kind: type[S],
    program: str,
    run: Callable[[S], dict[str, Any]],
    arguments: Sequence[str] | None,
    *,
    show: Callable[[S, dict[str, Any]], None] = show_run,
    extra: str = "agents",
) -> int:
    """Run, print the figures; bad settings end in one line and status 2.

    Args:
        kind: the settings of the learner.
        program: what the help calls the program.
        run: trains and returns the figures; imports torch only when it is called.
        arguments: of the command line, the process's own if None.
        show: prints the figures, on the first process alone.
        extra: of dialogue-gym, which has the packages that may be missing.
    """
    try:
        settings = parse_settings(kind, program, arguments)
        with log_lines_once():
            result = run(settings)
    except (ValueError, OSError, ImportError, LanguageModelError) as error:
        print(explain(error, extra), file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0":
        show(settings, result)
    return 0
