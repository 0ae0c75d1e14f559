"""Concurrent connections: how many a process serves, and which gives way to a new one.

At the limit the connection gives way that has waited longest for a request, or for the rest of its
head: a client could otherwise keep all others out with connections that say nothing. After these,
one gives way that has had its response and is kept for a while to let the client read it. When all
connections are being served, the new one is answered 503.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from app.cli.protocol.deadlines import TimedProtocol
from app.cli.protocol.refusals import Refusal

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Iterable

    from app.cli.protocol.limits import Limits

_TOO_MANY = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="too-many-connections",
    detail="The server has as many connections as it serves; nothing was changed. Try again",
    retry_after=1,
)


class CountedProtocol(TimedProtocol):
    """HTTP/1.1 on a limited number of connections."""

    def __init__(self, *args: Any, waiting: dict[CountedProtocol, None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting = waiting  # all that may wait for a head, the longest first

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Find a place for the connection, or refuse it."""
        super().connection_made(transport)
        surplus = len(self.connections) - self.limits.connections
        if surplus > self.limits.connections:  # even refusals are too many
            transport.abort()
        elif surplus <= 0 or self._another_gives_way():
            self._waiting[self] = None
        else:
            self.refuse(_TOO_MANY)

    def _another_gives_way(self) -> bool:
        """Close the connection that waits longest, or else one whose response was sent."""
        if (longest := self._longest_waiting()) is not None:
            longest.timeout_keep_alive_handler()
            return True
        others: Iterable[Any] = self.connections
        for other in others:
            if other.is_answered and not other.transport.is_closing():
                other.transport.abort()
                return True
        return False

    @property
    def is_answered(self) -> bool:
        """Whether a response was sent, and the connection only waits for its client to read it."""
        return self.is_lingering and not self._is_refused

    def _longest_waiting(self) -> CountedProtocol | None:
        """The connection that gives way; it is taken out."""
        while self._waiting:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            if longest.is_waiting:  # the others come back with the end of their response
                return longest
        return None

    @property
    def is_waiting(self) -> bool:
        """Whether no request of the connection is being served."""
        is_served = self.cycle is not None and not self.cycle.response_complete
        return not (is_served or self._is_refused or self.is_lingering)

    def wait(self) -> None:
        """Wait for the next request, behind all that wait already."""
        self._waiting.pop(self, None)
        self._waiting[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the place to others."""
        self._waiting.pop(self, None)
        super().connection_lost(exc)


def limited_protocol(limits: Limits) -> Any:
    """What uvicorn calls for each connection of a process, given as ``http`` to its ``Config``."""
    return partial(CountedProtocol, limits=limits, waiting={})
