"""Command line: ``python -m dialogue_agents.sb3 --algorithm ppo --env MathChat-v0``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
from collections.abc import Sequence

from dialogue_agents.sb3.settings import SB3Settings
from dialogue_gym.cli.arguments import explain, parse_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings, and a loss that is not finite, end in one line and status 2."""
    try:
        settings = parse_settings(SB3Settings, "python -m dialogue_agents.sb3", arguments)
        from dialogue_agents.sb3.run import run

        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "sb3"), file=sys.stderr)
        return 2
    from dialogue_agents.grpo.progress import report

    print(report(result))
    print(f"policy: {settings.out / 'policy.zip'}  figures: {settings.out / 'result.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
