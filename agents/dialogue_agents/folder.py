"""What a run keeps in its folder: settings and figures."""

import json
from collections.abc import Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from dialogue_gym.files import write_whole


def prepare_folder(settings: Any, free: Collection[str]) -> None:
    """Write ``settings.json``, or check that the run to resume has the same settings.

    Args:
        settings: a dataclass with ``out``, ``resume`` and ``described()``.
        free: names of those that may change when a run is resumed.

    Raises:
        FileExistsError: there is a run, which nobody asked to resume.
        FileNotFoundError: there is none to resume.
        ValueError: the run in the folder has other settings.
    """
    path, current = settings.out / "settings.json", settings.described()
    before = read_figures(path)
    if settings.resume:
        if not before:
            raise FileNotFoundError(f"nothing to resume: there is no {path}")
        # a setting that is younger than the run had its default
        before = {f.name: f.default for f in fields(settings) if f.default is not MISSING} | before
        differ = sorted(
            k for k in current if k not in {*free, "resume", "out"} and before.get(k) != current[k]
        )
        if differ:
            raise ValueError(f"{path} has other settings: {', '.join(differ)}; resume with those of the run")
    elif before:
        raise FileExistsError(
            f"{settings.out} holds a run already; go on with --resume or choose another --out"
        )
    write_figures(path, current)


def read_figures(path: Path) -> dict[str, Any]:
    """What ``write_figures`` wrote; empty where there is nothing."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def write_figures(path: Path, data: dict[str, Any]) -> None:
    """All or nothing, so that a kill leaves the old file."""
    write_whole(path, json.dumps(data, indent=1) + "\n")
