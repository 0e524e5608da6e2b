"""``dialogue-gym serve``: a local web page on which people talk with a policy, or with a user."""

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dialogue_gym.cli.talking import Table, TalkSettings, open_log

LOCAL = ("127.0.0.1", "localhost", "::1", "[::1]")


@dataclass
class ServeSettings(TalkSettings):
    r"""A web page on which people talk with a policy as its user, or with a user as their agent.

    Several people may talk at once, each with a task of their own. The page asks for consent first; then
    the dialogue, how it ended and a rating go into --out, as people's dialogues do. One whose tab is closed
    is kept as unfinished. The page loads nothing from elsewhere. Ctrl-C stops the server and loses nothing.

    Examples:
      People who ask a model of your own:
        dialogue-gym serve MathChat-v0 --policy transformers:FOLDER --out runs/people.jsonl
      People who write notices for scripted users, on another port:
        dialogue-gym serve DocEditChat-v0 --as agent --port 8080 --out runs/people.jsonl
    """

    out: Path = Path("runs/people.jsonl")
    """The log that dialogues are added to as they end."""
    port: int = 8000
    """Port of the page; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen at. "0.0.0.0" opens the page to everybody who can reach this machine."""
    idle_minutes: float = 15.0
    """After so long without a sign of the page (a phone put away), its person has left."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be, before anything is loaded.

        Raises:
            ValueError: names the setting, its value and what would be right.
        """
        super().__post_init__()
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be from 0 to 65535, got {self.port}")
        if not self.idle_minutes > 0:
            raise ValueError(f"idle_minutes must be above 0, got {self.idle_minutes}")


def run(settings: ServeSettings) -> int:
    """Serve until Ctrl-C.

    Raises:
        OSError: the port or the log cannot be used.
        ValueError: a policy, user or environment that there is not.
        ImportError: a package is missing.
    """
    import uvicorn

    from dialogue_gym.cli.chat_page.app import make_app
    from dialogue_gym.cli.chat_page.chats import Chats

    open_log(settings.out)
    with listen(settings.host, settings.port) as listener:
        table = Table(settings)
        chats = Chats(table, settings.out, settings.idle_minutes * 60)
        app = make_app(chats, _hosts(settings.host), lambda: server.should_exit)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=3)
        )
        signal.signal(signal.SIGTERM, _interrupt)
        print(
            f"The page is at {address(listener)}; dialogues go into {settings.out}. Ctrl-C stops.",
            end=f" {table.note}\n" if table.note else "\n",
            flush=True,
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            print("\nstopped")
        finally:
            chats.close()
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        OSError: the port is in use, or the address is not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OSError(f"cannot listen at {host} port {port} ({why}); --port names another") from None


def address(listener: socket.socket) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _hosts(host: str) -> tuple[str, ...]:
    return LOCAL if host in LOCAL else ("*",)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
