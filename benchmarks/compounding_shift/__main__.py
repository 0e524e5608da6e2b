"""Compounding shift: ``python -m benchmarks.compounding_shift [--out FOLDER] [--no-tiny-world]``.

How do small errors per turn, of the policy that wrote the histories or of the user in them, grow over a
dialogue? Exactly in a finite dialogue process, and by estimate in the tiny world. Writes ``result.json`` and
``report.html``.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported
from benchmarks.compounding_shift.estimated import TinySettings, measure
from benchmarks.compounding_shift.exact import random_ensemble, saturating, solve
from benchmarks.compounding_shift.report import table, to_html
from benchmarks.machine import machine
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.files import write_whole


@dataclass
class Settings:
    """Compounding shift: errors by turn and reward gaps by horizon, exact and estimated."""

    horizon: int = 12
    """Turns at most."""
    policy_shift: float = 0.01
    """Chance a turn that the evaluated policy does what the logging policy never does."""
    simulator_shift: float = 0.02
    """Chance a turn that the simulated user does what real users never do."""
    recovery: float = 0.5
    """Chance a turn to come back on track, in the chain that can."""
    large_shift: float = 0.3
    """Of the saturating case."""
    processes: int = 300
    """Random processes for each kind of shift."""
    seed: int = 0
    """Of the random processes."""
    tiny_world: bool = True
    """Estimate the curves in the tiny world too; needs the extra "llm"."""
    tiny: TinySettings = field(default_factory=TinySettings)
    """What is estimated there."""
    out: Path = Path("runs/compounding_shift")
    """Folder."""

    def __post_init__(self) -> None:
        if not 3 <= self.horizon <= 30:
            raise ValueError(f"horizon must be from 3 to 30 turns, got {self.horizon}")
        if self.processes < 1:
            raise ValueError(f"processes must be at least 1, got {self.processes}")
        for name in ("policy_shift", "simulator_shift", "large_shift", "recovery"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name.replace('_', '-')} must be between 0 and 1, got {getattr(self, name)}"
                )


def run(settings: Settings) -> dict[str, Any]:
    """Everything that is reported."""
    begin = time.process_time()
    s, horizon = settings, settings.horizon
    exact = {
        "chains": solve(s.policy_shift, s.simulator_shift, s.recovery, horizon),
        "saturating": saturating(s.large_shift, s.recovery, horizon),
        "random": random_ensemble(s.processes, s.policy_shift, horizon, s.seed),
    }
    estimated = measure(s.tiny, horizon) if s.tiny_world else None
    return {
        "settings": _plain(asdict(s)),
        "exact": exact,
        "estimated": estimated,
        "run": {
            "CPU seconds": round(time.process_time() - begin, 1),
            **machine(),
        },
    }


def _plain(value: Any) -> Any:
    """Paths by their last part, which says enough and is the same on other machines."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value.name if isinstance(value, Path) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    try:
        settings = parse_settings(Settings, "python -m benchmarks.compounding_shift", arguments)
        settings.out.mkdir(parents=True, exist_ok=True)
        result = run(settings)
        write_whole(settings.out / "result.json", json.dumps(result, indent=1) + "\n")
        write_whole(settings.out / "report.html", to_html(result))
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "realism"), file=sys.stderr)
        return 2
    print(table(result))
    print(f"{settings.out / 'report.html'}  ({result['run']['CPU seconds']} CPU seconds)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
