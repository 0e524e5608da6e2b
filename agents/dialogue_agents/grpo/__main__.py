"""Command line: ``python -m dialogue_agents.grpo --env MathChat-v0 --simulator scripted``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
from collections.abc import Sequence
from typing import Any

from dialogue_agents.command import command
from dialogue_agents.grpo.settings import GRPOSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings end in one line and status 2."""
    return command(GRPOSettings, "python -m dialogue_agents.grpo", _run, arguments)


def _run(settings: GRPOSettings) -> dict[str, Any]:
    from dialogue_agents.grpo.run import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
