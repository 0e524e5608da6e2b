"""Command line: ``python -m dialogue_agents.sft --logs LOG --env MathChat-v0``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
from collections.abc import Sequence
from typing import Any

from dialogue_agents.command import command
from dialogue_agents.sft.settings import SFTSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings end in one line and status 2."""
    return command(SFTSettings, "python -m dialogue_agents.sft", _run, arguments)


def _run(settings: SFTSettings) -> dict[str, Any]:
    from dialogue_agents.sft.run import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
