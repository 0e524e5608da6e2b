"""Whether what a bundle's packages ask for is here, in fitting versions: ``python check.py FOLDER EXTRA...``.

Travels with the bundle, so that it needs nothing but ``packaging``, which travels too.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement


def problems(packages: Sequence[str], extras: Sequence[str]) -> list[str]:
    """One line for each requirement of the packages that is not met; the extras are of dialogue-gym."""
    found = []
    for package in packages:
        wanted = ("", *extras) if package == "dialogue-gym" else ("",)
        for needed in map(Requirement, distribution(package).requires or []):
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in wanted):
                continue
            try:
                there = version(needed.name)
            except PackageNotFoundError:
                there = ""
            if not there or not needed.specifier.contains(there, prereleases=True):
                found.append(f"{package} needs {needed}; this machine has {there or 'none'}")
    return found


def main(arguments: Sequence[str]) -> int:
    """Command line."""
    wheels = sorted(Path(arguments[0]).glob("*.whl"))
    lines = problems([wheel.name.split("-")[0].replace("_", "-") for wheel in wheels], arguments[1:])
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
