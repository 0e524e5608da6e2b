"""Command line: ``python -m dialogue_agents.grpo --env MathChat-v0 --simulator scripted``."""

import dialogue_agents.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import json
import sys
from collections.abc import Sequence

import tyro

from dialogue_agents.grpo.settings import GRPOSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings end in one line and status 2."""
    try:
        settings = tyro.cli(GRPOSettings, prog="python -m dialogue_agents.grpo", args=arguments)
        from dialogue_agents.grpo.run import run

        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({name: result[name] for name in ("before", "after") if name in result}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
