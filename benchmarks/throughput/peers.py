"""Other packages' environments, each in a Python environment of its own that is made on demand."""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

PEERS = {"gymnasium": "", "skyrl-gym": "0.4.0", "gem-llm": "0.1.0", "textarena": "0.7.4"}
"""Versions; "" for what this environment has."""
_ALSO = {"gem-llm": ["requests"]}  # what it imports and does not ask for
PROBE = Path(__file__).with_name("peer_probe.py")
_MINUTES = 15


class PeerError(Exception):
    """A peer that cannot be installed or run here; one line about why."""


def interpreter(peer: str, folder: Path, install: bool) -> Path:
    """The Python that has the peer.

    Args:
        peer: one of ``PEERS``.
        folder: where environments are made.
        install: make one where it is missing.

    Raises:
        PeerError: it is not there and could not or should not be made.
    """
    pinned = PEERS[peer]
    if not pinned:
        return Path(sys.executable)
    home = folder / f"{peer}-{pinned}"
    done, python = home / ".complete", home / "bin" / "python"
    if not done.exists():
        if not install:
            raise PeerError(f"{peer} {pinned} is not installed in {home}")
        _run([sys.executable, "-m", "venv", str(home)], peer)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
        _run([*pip, f"{peer}=={pinned}", *_ALSO.get(peer, [])], peer)
        done.touch()
    return python


def installed(peer: str) -> str:
    """Name and version of a peer that is measured.

    Example:
        >>> installed("gem-llm")
        'gem-llm 0.1.0'
    """
    return f"{peer} {PEERS[peer] or version(peer)}"


def probe(python: Path, peer: str, rows: int, horizons: Sequence[int]) -> dict[tuple[str, float], float]:
    """CPU microseconds per step by case and number of turns, in a fresh process.

    Raises:
        PeerError: the process failed.
    """
    output = _run([str(python), str(PROBE), peer, str(rows), *map(str, horizons)], peer)
    figures = json.loads(output.splitlines()[-1])
    return {(case, float(turns)): us for case, row in figures.items() for turns, us in row.items()}


def _run(command: Sequence[str], peer: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * _MINUTES, check=False)
    except subprocess.TimeoutExpired:
        raise PeerError(f"{peer}: took more than {_MINUTES} minutes") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise PeerError(f"{peer}: {said[-1] if said else f'exit status {done.returncode}'}")
    return done.stdout
