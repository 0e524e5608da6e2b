"""A served page in this process, and a client without a browser."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from dialogue_gym.cli.chat_page.app import make_app
from dialogue_gym.cli.chat_page.chats import Chats
from dialogue_gym.cli.serve import LOCAL, ServeSettings, address, listen
from dialogue_gym.cli.talking import Table, open_log


class Served:
    """Requests to a page; what is refused comes back with its status."""

    def __init__(self, url: str, chats: Chats, server: uvicorn.Server, log: Path) -> None:
        self.url, self.chats, self.server, self.log = url, chats, server, log

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        return status, json.loads(content) if path.startswith("/api") else content.decode()

    def good(self, path: str, body: Any = None) -> Any:
        status, answer = self.ask(path, body)
        assert status == 200, answer
        return answer

    def begin(self, consent: bool = True) -> "Tab":
        return Tab(self, self.good("/api/chats", {"consent": consent}))


class Tab:
    """What one open page knows of its dialogue."""

    def __init__(self, served: Served, state: Any) -> None:
        self.served, self.state = served, state
        self.id = state["id"]

    @property
    def said(self) -> list[str]:
        return [message["content"] for message in self.state["messages"]]

    def until(self, what: str) -> "Tab":
        """Follow the state until this part of it is true."""
        while not self.state[what]:
            self.state = self.served.good(f"/api/chats/{self.id}?after={self.state['version']}")
        return self

    def say(self, text: str = "", stop: bool = False) -> "Tab":
        self.state = self.served.good(f"/api/chats/{self.id}/say", {"text": text, "stop": stop})
        return self

    def rate(self, rating: int | None) -> "Tab":
        self.state = self.served.good(f"/api/chats/{self.id}/rate", {"rating": rating})
        return self

    def leave(self) -> None:
        self.served.good(f"/api/chats/{self.id}/leave", {})


@contextmanager
def serving(log: Path, idle_s: float = 900.0, **settings: Any) -> Iterator[Served]:
    """A page that is served until the end of the block, as ``dialogue-gym serve`` does it."""
    values: dict[str, Any] = {"policy": "rule", "seed": 3, **settings}
    if settings.get("role") == "agent":
        del values["policy"]
    open_log(log)
    with listen("127.0.0.1", 0) as listener:
        chats = Chats(Table(ServeSettings(**values)), log, idle_s)
        app = make_app(chats, LOCAL, lambda: server.should_exit)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=3)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(address(listener), chats, server, log)
        finally:
            server.should_exit = True
            thread.join(120)
            assert not thread.is_alive()


def soon(what: Any, seconds: float = 120.0) -> Any:
    """What comes true before long."""
    until = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return value
