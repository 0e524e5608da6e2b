"""Command line: ``python -m dialogue_agents.implicit_reward --logs LOG --env MathChat-v0``."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import sys
from collections.abc import Sequence
from typing import Any

from dialogue_agents.command import command
from dialogue_agents.implicit_reward.settings import ImplicitRewardSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, print the figures and whether the model is of use; bad settings end in one line and status 2."""
    program = "python -m dialogue_agents.implicit_reward"
    return command(ImplicitRewardSettings, program, _run, arguments, show=_show)


def _run(settings: ImplicitRewardSettings) -> dict[str, Any]:
    from dialogue_agents.implicit_reward.fit import fit

    return fit(settings)


def _show(settings: ImplicitRewardSettings, found: dict[str, Any]) -> None:
    print(
        f"{found['dialogues']['trained']} dialogues learned from, {found['dialogues']['held_out']} held out, "
        f"{found['updates']} updates\nheld-out cross-entropy {found['after']:.3f} nats a dialogue; "
        f"always saying the mean outcome: {found['base_rate']:.3f}"
    )
    if found["after"] < found["base_rate"]:
        print(f'use it with --reward \'{{"name": "implicit", "path": "{settings.out}"}}\'')
    else:
        print(
            "warning: on held-out dialogues it tells outcomes no better than their mean does, so that its "
            "split of a score among turns is noise: do not train on it; more dialogues may help",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
