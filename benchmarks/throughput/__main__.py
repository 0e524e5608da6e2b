"""How fast everything is: ``python -m benchmarks.throughput [--sections environment turns] [--rounds 7]``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported
from benchmarks.machine import machine
from benchmarks.throughput.measuring import Findings, as_json, from_json
from benchmarks.throughput.report import plot, text
from benchmarks.throughput.settings import SECTIONS, Section, Settings
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.files import write_whole

_NOT_OF_A_RESULT = ("sections", "out", "again", "install")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not measured yet, print all of it, draw the plot."""
    try:
        settings = parse_settings(Settings, "python -m benchmarks.throughput", arguments)
        settings.out.mkdir(parents=True, exist_ok=True)
        for section in settings.sections:
            print(text(section, _section(section, settings)), end="\n\n", flush=True)
        path = settings.out / "throughput.png"
        plot({name: f for name in SECTIONS if (f := _kept(name, settings))}, path)
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "calibration"), file=sys.stderr)
        return 2
    print(path)
    return 0


def _section(section: Section, settings: Settings) -> Findings:
    """What was found before with the same settings, or what is measured now."""
    kept = None if settings.again else _kept(section, settings)
    if kept is not None:
        print(f"{_path(section, settings)} is there already; --again measures anew")
        return kept
    findings: Findings = import_module(f"benchmarks.throughput.{section}").measure(settings)
    data = {"settings": _described(settings), **machine(), **as_json(findings)}
    write_whole(_path(section, settings), json.dumps(data, indent=1) + "\n")
    return findings


def _kept(section: Section, settings: Settings) -> Findings | None:
    path = _path(section, settings)
    if not path.exists():
        return None
    data = json.loads(path.read_text())
    return from_json(data) if data["settings"] == _described(settings) else None


def _described(settings: Settings) -> dict[str, Any]:
    given = {name: value for name, value in asdict(settings).items() if name not in _NOT_OF_A_RESULT}
    described: dict[str, Any] = json.loads(json.dumps(given))
    return described


def _path(section: Section, settings: Settings) -> Path:
    return settings.out / f"{section}.json"


if __name__ == "__main__":
    sys.exit(main())
