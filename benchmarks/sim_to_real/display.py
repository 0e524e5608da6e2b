"""What a person sees while a study runs."""

import sys

from benchmarks.sim_to_real.stages import Progress


class Display:
    """A line for each finished stage; in a terminal, one more line that says what is under way."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()

    def __call__(self, now: Progress) -> None:
        """Tell where the run is."""
        left = "" if not now.left else f"; about {_minutes(now.left)} left"
        if now.finished is None:
            done = f"{now.done} of {now.total} stages are done already" if now.done else f"{now.total} stages"
            print(f"{done}{left}", flush=True)
        else:
            print(f"[{now.done}/{now.total}] {now.finished}{left}", flush=True)
        if self.live and now.running:
            print(f"\x1b[2mnow: {'; '.join(now.running)}\x1b[0m\x1b[K", end="\r", file=sys.stderr, flush=True)


def _minutes(seconds: float) -> str:
    """For people.

    Example:
        >>> _minutes(50), _minutes(400), _minutes(9000)
        ('1 min', '7 min', '2.5 h')
    """
    return f"{seconds / 3600:.1f} h" if seconds > 3600 else f"{max(1, round(seconds / 60))} min"
