"""Calls that can be cut short; a rollout that is interrupted does not wait for a slow server's answer."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Cancellable(Protocol):
    """A language model, policy or user simulator whose calls may take long and can be given up."""

    def cancel(self) -> None:
        """Calls that run return at once, with an error for each row; later calls work as before."""
        ...


def cancel(part: object) -> None:
    """Cut short the calls of a part, where it is ``Cancellable``; else they go on to their end."""
    if isinstance(part, Cancellable):
        part.cancel()
