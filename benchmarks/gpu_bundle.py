"""What must travel to a machine with a GPU and no network: ``make gpu-bundle``.

Gathers wheels of both packages and of all pure Python packages that they need, in the versions of this
environment, and scripts that install and check them beside what the machine has: torch, NumPy and whatever
else is compiled must be there, since a wheel built for one machine need not run on the other.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OURS = {"dialogue-gym": ROOT, "dialogue-agents": ROOT / "agents"}
EXTRAS = ("agents", "llm", "cli", "realism", "http", "report")
MOST_BYTES = 60 * 2**20
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
_INSTALL = """#!/bin/sh
# Makes a virtual environment over the machine's own packages: sh install.sh [FOLDER]
set -e
here=$(dirname "$0")
python3 -m venv --system-site-packages "${1:-.venv-gpu}"
"${1:-.venv-gpu}/bin/python" -m pip install --no-index --no-deps --disable-pip-version-check "$here"/*.whl
"${1:-.venv-gpu}/bin/python" "$here/check.py" "$here" EXTRAS
echo "next, in a checkout of the repository (its benchmarks and tests do not travel in wheels):"
echo "$(cd "${1:-.venv-gpu}" && pwd)/bin/python -m benchmarks.throughput --device cuda --no-install"
"""


def needed(name: str, extras: tuple[str, ...] = ()) -> dict[str, str]:
    """Names and versions of all that a package of this environment needs, itself left out.

    Example:
        >>> "numpy" in needed("dialogue-gym")
        True
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    open_ = [(name, extras)]
    while open_:
        asked = open_.pop()
        if asked not in seen:
            seen.add(asked)
            open_ += _requirements(*asked, found)
    return found


def _requirements(
    name: str, extras: tuple[str, ...], found: dict[str, str]
) -> list[tuple[str, tuple[str, ...]]]:
    """What a package asks for directly, with extras; notes its version."""
    if name in OURS:  # what is installed of them may be older than the checkout
        project = tomllib.loads((OURS[name] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = [*project["dependencies"]]
        lines += [line for extra in extras for line in project["optional-dependencies"][extra]]
    else:
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            return []  # an extra of another package that is not used here
        found[_canonical(name)] = installed.version
        lines = installed.requires or []
    return [
        (_canonical(r.name), tuple(sorted(r.extras)))
        for r in map(Requirement, lines)
        if not r.marker or any(r.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def gather(folder: Path) -> list[str]:
    """Fill the folder with wheels and the script.

    Returns:
        Packages that are compiled and have to be on the machine.

    Raises:
        ValueError: the wheels are too large to travel.
        subprocess.CalledProcessError: our own wheels cannot be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    for path in OURS.values():
        subprocess.run([*_PIP, "wheel", "--no-deps", "--wheel-dir", folder, path], check=True)
    wanted = needed("dialogue-gym", EXTRAS)
    pure = [f"{name}=={version}" for name, version in wanted.items() if _is_pure(name)]
    subprocess.run(
        [*_PIP, "download", "--no-deps", "--only-binary=:all:", "--dest", folder, *pure], check=True
    )
    (folder / "install.sh").write_text(_INSTALL.replace("EXTRAS", " ".join(EXTRAS)), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("gpu_bundle_check.py"), folder / "check.py")
    if (size := sum(wheel.stat().st_size for wheel in folder.glob("*.whl"))) > MOST_BYTES:
        raise ValueError(
            f"{folder}: {size / 2**20:.0f} MiB of wheels, at most {MOST_BYTES // 2**20} can travel"
        )
    return [f"{name} {version}" for name, version in sorted(wanted.items()) if not _is_pure(name)]


def _is_pure(name: str) -> bool:
    """Whether the wheel that was installed runs on any machine."""
    return "-none-any" in (distribution(name).read_text("WHEEL") or "")


def main() -> int:
    """Command line."""
    folder = ROOT / "build" / "gpu-bundle"
    try:
        compiled = gather(folder)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    wheels = list(folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 2**20
    print(f"{folder.relative_to(ROOT)}: {len(wheels)} wheels, {size:.1f} MiB; sh install.sh installs them")
    print(f"compiled, to be on the machine: {', '.join(compiled)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
