"""The command line of a learner: settings in, a run, its figures out."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dialogue_gym.cli.arguments import explain, log_lines_once, parse_settings
from dialogue_gym.language_models import LanguageModelError

S = TypeVar("S")


def command(
    kind: type[S],
    program: str,
    run: Callable[[S], dict[str, Any]],
    arguments: Sequence[str] | None,
    *,
    policy: str = "policy",
    extra: str = "agents",
) -> int:
    """Run, print the figures; bad settings end in one line and status 2.

    Args:
        kind: the settings of the learner, with ``out``.
        program: what the help calls the program.
        run: trains and returns what ``grpo.run.train`` does; imports torch only when it is called.
        arguments: of the command line, the process's own if None.
        policy: what the policy is called in the folder of the run.
        extra: of dialogue-gym, which has the packages that may be missing.
    """
    try:
        settings: Any = parse_settings(kind, program, arguments)
        with log_lines_once():
            result = run(settings)
    except (ValueError, OSError, ImportError, LanguageModelError) as error:
        print(explain(error, extra), file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0":
        from dialogue_agents.grpo.progress import report

        print(report(result))
        print(f"policy: {settings.out / policy}  figures: {settings.out / 'result.json'}")
    return 0
