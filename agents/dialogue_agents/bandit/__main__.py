"""Command line: ``python -m dialogue_agents.bandit --algorithm linucb --env MathChat-v0``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
from collections.abc import Sequence

from dialogue_agents.bandit.settings import BanditSettings
from dialogue_gym.cli.arguments import explain, parse_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures; bad settings end in one line and status 2."""
    try:
        settings = parse_settings(BanditSettings, "python -m dialogue_agents.bandit", arguments)
        from dialogue_agents.bandit.run import run

        result = run(settings)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "agents"), file=sys.stderr)
        return 2
    from dialogue_agents.grpo.progress import report

    print(report(result))
    led = ", ".join(f"{name} {count}" for name, count in result["arms"].items())
    print(f"training dialogues by arm: {led}")
    print(f"learned: {settings.out / 'bandit.json'}  figures: {settings.out / 'result.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
