"""Command line: ``python -m dialogue_agents.grpo --env MathChat-v0 --simulator scripted``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import os
import sys
from collections.abc import Sequence

from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.cli.arguments import explain, parse_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings end in one line and status 2."""
    try:
        settings = parse_settings(GRPOSettings, "python -m dialogue_agents.grpo", arguments)
        from dialogue_agents.grpo.run import run

        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "agents"), file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0":
        from dialogue_agents.grpo.progress import report

        print(report(result))
        print(f"policy: {settings.out / 'policy'}  figures: {settings.out / 'result.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
