"""Paired measurements: every round measures everything once, so that slow drift reaches all of it alike."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Key = TypeVar("Key")
Work = Callable[[], float]
"""Does some work and returns one figure."""
Clock = Callable[[], float]
Device = Literal["cpu", "cuda"]


MEMORY = "GiB of the device at most, weights included"


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one thing, measured at one or more places, once a round.

    Attributes:
        unit: the quantity with its unit.
        name: of what it was measured.
        x: what the places are; "" where there is one only.
        at: the places.
        samples: for each place its figure in every round.
    """

    unit: str
    name: str
    x: str
    at: list[float]
    samples: list[list[float]]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that a figure should keep.

    Attributes:
        name: of the figure.
        samples: one for each round; the median counts.
        bound: the target.
        kind: "most" where the figure should be at most the bound, "least" where at least.
    """

    name: str
    samples: list[float]
    bound: float
    kind: Literal["most", "least"]

    @property
    def met(self) -> bool:
        """Whether the median keeps the bound."""
        median = statistics.median(self.samples)
        return median <= self.bound if self.kind == "most" else median >= self.bound


@dataclass(slots=True)
class Findings:
    """What one section found: series, bounds, and remarks such as what could not be measured."""

    series: list[Series] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def clock(device: Device) -> Clock:
    """Seconds: CPU time of this process, or wall time once the device has done all that it was given."""
    if device == "cpu":
        return time.process_time
    import torch

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now


def clock_name(device: Device) -> str:
    """What the clock counts."""
    return "CPU s" if device == "cpu" else "wall s"


def reset_peak(device: Device) -> None:
    """Of what was in use before, only what still is counts for the next ``peak_gib``."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: Device) -> float:
    """The most memory that was in use since ``reset_peak``; 0 on a CPU, where nothing counts it."""
    if device == "cpu":
        return 0.0
    import torch

    return float(torch.cuda.max_memory_allocated() / 2**30)


def paired(works: Mapping[Key, Work], rounds: int, what: str) -> dict[Key, list[float]]:
    """Every work once unmeasured, then ``rounds`` times, each round all of them in turn.

    Args:
        works: what to measure, by a key of the caller's.
        rounds: measurements of each.
        what: said while it runs.
    """
    samples: dict[Key, list[float]] = {key: [] for key in works}
    for done in range(rounds + 1):
        for i, (key, work) in enumerate(works.items()):
            progress(f"{what}: round {done} of {rounds}, {i + 1} of {len(works)}")
            figure = work()
            if done:
                samples[key].append(figure)
    progress("")
    return samples


def progress(line: str) -> None:
    """Show what is under way, in a terminal only; each line takes the place of the one before."""
    if sys.stderr.isatty():
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round.

    Example:
        >>> ratios([4.0, 9.0], [2.0, 3.0])
        [2.0, 3.0]
    """
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(samples: Sequence[float]) -> str:
    """Median with the smallest and the largest.

    Example:
        >>> spread([1.0, 12.3456, 2.0])
        '2.00 [1.00, 12.3]'
    """
    return f"{_short(statistics.median(samples))} [{_short(min(samples))}, {_short(max(samples))}]"


def _short(value: float) -> str:
    """Three digits that count.

    Example:
        >>> _short(0.01234), _short(4.4), _short(1234.5)
        ('0.0123', '4.40', '1234')
    """
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:#.3g}"


def by_series(
    unit: str,
    x: str,
    samples: Mapping[tuple[str, float], Sequence[float]],
    names: Sequence[str] | None = None,
) -> list[Series]:
    """Series of samples keyed by name and place, in their order."""
    found: dict[str, list[tuple[float, list[float]]]] = {}
    for (name, at), values in samples.items():
        found.setdefault(name, []).append((at, list(values)))
    return [
        Series(unit, name, x, [at for at, _ in found[name]], [values for _, values in found[name]])
        for name in names or found
    ]


def as_json(findings: Findings) -> dict[str, Any]:
    """All samples, and of each target whether it is met."""
    from dataclasses import asdict

    data = asdict(findings)
    for target, row in zip(findings.targets, data["targets"], strict=True):
        row |= {"median": statistics.median(target.samples), "met": target.met}
    return data


def from_json(data: Mapping[str, Any]) -> Findings:
    """What ``as_json`` was made of."""
    names = ("name", "samples", "bound", "kind")
    return Findings(
        [Series(**row) for row in data["series"]],
        [Target(**{name: row[name] for name in names}) for row in data["targets"]],
        list(data["notes"]),
    )
