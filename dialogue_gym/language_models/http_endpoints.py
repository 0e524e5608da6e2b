"""Several servers of one model: who gets the next request, and who is left alone for a while."""

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_FIRST_REST_S = 1.0
_LONGEST_REST_S = 60.0
_REMEMBERED = 100_000  # dialogues that nobody forgets must not fill the memory


@dataclass(eq=False, slots=True)
class Endpoint:
    """One server.

    Attributes:
        url: up to what stands before ``/completions``.
        in_flight: requests that it is answering.
        dialogues: how many stay with it.
        rests_until: not asked before, while others can be; seconds, by the clock of ``Endpoints``.
        refusals: connections that it refused, one after the other.
    """

    url: str
    in_flight: int = 0
    dialogues: int = 0
    rests_until: float = 0.0
    refusals: int = 0

    @contextmanager
    def busy(self) -> Iterator[None]:
        """One request more."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


class Endpoints:
    """Balances requests over servers; a dialogue stays with one, whose cache knows how it begins.

    Args:
        urls: the servers.
        clock: seconds.

    Attributes:
        met: whether any of them has ever taken a connection.
        absent: whether none has, although somebody has tried as often as is allowed.
    """

    def __init__(self, urls: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.all = [Endpoint(url) for url in urls]
        self.met = self.absent = False
        self._clock = clock
        self._homes: dict[Hashable, Endpoint] = {}
        self._lock = threading.Lock()  # forget is called from any thread

    def pick(self, dialogue_id: Hashable, failed: Endpoint | None = None) -> Endpoint:
        """Where the dialogue is at home; else, or where that rests, who has the fewest requests in flight.

        Args:
            dialogue_id: of the request; None for one that belongs to no dialogue.
            failed: who failed at it just now, asked again only where no one else can be.
        """
        home = self._homes.get(dialogue_id)
        able = self._able(failed)
        if home is None or home not in able:
            home = min(able, key=lambda e: (e.in_flight, e.dialogues))
            self._settle(dialogue_id, home)
        return home

    def others_than(self, endpoint: Endpoint) -> bool:
        """Whether another one can be asked now."""
        return endpoint not in self._able(endpoint)

    def refused(self, endpoint: Endpoint) -> None:
        """It takes no connection: a rest, doubled each time that this happens again."""
        endpoint.refusals += 1
        self.rest(endpoint, min(_FIRST_REST_S * 2.0 ** (endpoint.refusals - 1), _LONGEST_REST_S))

    def rest(self, endpoint: Endpoint, seconds: float) -> None:
        """Ask others for a while."""
        endpoint.rests_until = max(endpoint.rests_until, self._clock() + seconds)

    def answered(self, endpoint: Endpoint) -> None:
        """It works, whatever was before."""
        self.met, self.absent = True, False
        endpoint.refusals, endpoint.rests_until = 0, 0.0

    def given_up(self) -> None:
        """Somebody has tried as often as is allowed."""
        self.absent = not self.met

    def forget(self, dialogue_ids: Iterable[Hashable]) -> None:
        """These dialogues are over; may be called from any thread."""
        with self._lock:
            for dialogue_id in dialogue_ids:
                self._leave(dialogue_id)

    def _able(self, failed: Endpoint | None) -> list[Endpoint]:
        """Who can be asked: no one that rests or failed just now, where there are others; never nobody."""
        now = self._clock()
        awake = [e for e in self.all if e.rests_until <= now] or [min(self.all, key=lambda e: e.rests_until)]
        return [e for e in awake if e is not failed] or awake

    def _settle(self, dialogue_id: Hashable, home: Endpoint) -> None:
        if dialogue_id is None:
            return
        with self._lock:
            self._leave(dialogue_id)
            if len(self._homes) >= _REMEMBERED:
                self._leave(next(iter(self._homes)))
            self._homes[dialogue_id] = home
            home.dialogues += 1

    def _leave(self, dialogue_id: Hashable) -> None:
        home = self._homes.pop(dialogue_id, None)
        if home is not None:
            home.dialogues -= 1
