"""``dialogue-gym view``: logs as a page for the browser."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional  # noqa: TID253 - opened only by those who ask for this command

from dialogue_gym.cli.shown_logs import read_entries
from dialogue_gym.files import write_whole
from dialogue_gym.viewing import view_page


@dataclass
class ViewSettings:
    r"""Make an HTML page of a log: a list with filters, and each dialogue beside its task, score and persona.

    The page is one file that needs no network; open it in a browser, send it to others. It holds everything
    that the log does, references included. Messages carry flags: leak, role break, repeated, empty. Two logs
    are shown side by side, dialogues on the same task beside each other, matched by task seed and task id.

    Examples:
      One log, as runs/dialogues.html:
        dialogue-gym view runs/dialogues.jsonl
      Two side by side; only where something strikes:
        dialogue-gym view runs/before.jsonl runs/after.jsonl --out runs/compared.html
        dialogue-gym view runs/dialogues.jsonl --filter "flag!=none" --out runs/flagged.html
    """

    logs: Positional[tuple[Path, ...]]
    """A log or two, as collect, play and training write them, or files in any form that `dialogue-gym import`
    tells by itself."""
    out: Path | None = None
    """The page; beside the first log, with its name, if not given."""
    filter: tuple[str, ...] = ()
    """Put in only what fits; see `dialogue-gym show --help`."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: there is no log, or more than two.
        """
        if len(self.logs) not in (1, 2):
            raise ValueError(f"a page shows one log, or two side by side; got {len(self.logs)}")


def run(settings: ViewSettings) -> int:
    """Read, write the page and say where it is.

    Raises:
        OSError: a log is missing, or the page cannot be written.
        ValueError: a log without a dialogue, two without a common task, or a filter that cannot be.
    """
    first = settings.logs[0]
    out = settings.out or first.with_suffix(".html")
    read = {name: read_entries(path, settings.filter) for name, path in _named(settings.logs).items()}
    if out in settings.logs:
        raise ValueError(f"{out} is a log; --out FILE.html would be right")
    page = view_page(" | ".join(read), read)
    write_whole(out, page)
    count = " and ".join(str(len(found)) for found in read.values())
    print(f"{out}: {count} dialogues, {size(len(page.encode()))}; open it in a browser")
    return 0


def size(count: int) -> str:
    """A number of bytes, as people read it.

    Example:
        >>> size(900), size(40_000), size(1_048_570), size(3_000_000)
        ('1 KiB', '39 KiB', '1.0 MiB', '2.9 MiB')
    """
    kib = max(1, round(count / 1024))
    return f"{kib} KiB" if kib < 1024 else f"{count / 2**20:.1f} MiB"


def _named(logs: tuple[Path, ...]) -> dict[str, Path]:
    """Paths by file name, by the whole path where two names are alike."""
    if len({path.name for path in logs}) == len(logs):
        return {path.name: path for path in logs}
    if len({str(path) for path in logs}) == len(logs):
        return {str(path): path for path in logs}
    return {f"{path} ({i})": path for i, path in enumerate(logs, 1)}
