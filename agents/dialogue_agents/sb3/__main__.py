"""Command line: ``python -m dialogue_agents.sb3 --algorithm ppo --env MathChat-v0``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from dialogue_agents.command import command, show_run
from dialogue_agents.sb3.settings import SB3Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings, and a loss that is not finite, end in one line and status 2."""
    show = partial(show_run, policy="policy.zip")
    return command(SB3Settings, "python -m dialogue_agents.sb3", _run, arguments, show=show, extra="sb3")


def _run(settings: SB3Settings) -> dict[str, Any]:
    from dialogue_agents.sb3.run import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
