"""Command line: ``python -m dialogue_agents.bandit --algorithm linucb --env MathChat-v0``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
from collections.abc import Sequence
from typing import Any

from dialogue_agents.bandit.settings import BanditSettings
from dialogue_agents.command import command, show_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings end in one line and status 2."""
    return command(BanditSettings, "python -m dialogue_agents.bandit", _run, arguments, show=_show)


def _run(settings: BanditSettings) -> dict[str, Any]:
    from dialogue_agents.bandit.run import run

    return run(settings)


def _show(settings: BanditSettings, result: dict[str, Any]) -> None:
    show_run(settings, result, "bandit.json")
    led = ", ".join(f"{name} {count}" for name, count in result["arms"].items())
    print(f"training dialogues by arm: {led}")


if __name__ == "__main__":
    sys.exit(main())
