"""Concurrent connections: how many a process serves, and which gives way to a new one.

A client could otherwise keep all others out with connections that say nothing, or read nothing. At
the limit one connection gives way: the one that has waited longest for a request, or for the rest
of its head; if there is none, one that has had its response and is kept for a while to let the
client read it; if there is none, the one whose client has left its response unread for longest, at
least two seconds. When all connections are being served, the new one is answered 503.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from app.cli.protocol.deadlines import TimedProtocol, reset
from app.cli.protocol.refusals import Refusal

if TYPE_CHECKING:
    from asyncio import Transport

_UNREAD_SECONDS = 2.0  # in which a response may stay unread without risk
_TOO_MANY = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="too-many-connections",
    detail="The server has as many connections as it serves; nothing was changed. Try again",
    retry_after=1,
)


class Places(Struct, frozen=True, kw_only=True):
    """The connections that have a place, and which of them may give way, the longest first."""

    taken: set[CountedProtocol] = field(default_factory=set)
    waiting: dict[CountedProtocol, None] = field(default_factory=dict)  # perhaps, for a head
    answered: dict[CountedProtocol, None] = field(default_factory=dict)  # and lingering
    unread: dict[CountedProtocol, float] = field(default_factory=dict)  # since when, of the loop

    def leave(self, one: CountedProtocol) -> None:
        """Free the place of a connection, if it has one."""
        self.taken.discard(one)
        self.waiting.pop(one, None)
        self.answered.pop(one, None)
        self.unread.pop(one, None)

    def giving_way(self, now: float) -> CountedProtocol | None:
        """The connection that gives way to a new one; None if all are being served."""
        return self._longest_waiting() or self._first_answered() or self._longest_unread(now)

    def _longest_waiting(self) -> CountedProtocol | None:
        while self.waiting:
            longest = next(iter(self.waiting))
            del self.waiting[longest]
            if longest.has_unsent:
                longest.watch_sending()  # the client may still be reading
            elif longest.is_waiting:  # the others come back with the end of their response
                return longest
        return None

    def _first_answered(self) -> CountedProtocol | None:
        while self.answered:
            first = next(iter(self.answered))
            del self.answered[first]
            if not first.transport.is_closing():
                return first
        return None

    def _longest_unread(self, now: float) -> CountedProtocol | None:
        while self.unread:
            longest, since = next(iter(self.unread.items()))
            if longest.has_unsent:
                return longest if now - since >= _UNREAD_SECONDS else None
            del self.unread[longest]
            if longest.is_waiting:
                return longest
        return None


class CountedProtocol(TimedProtocol):
    """HTTP/1.1 on a limited number of connections."""

    def __init__(self, *args: Any, places: Places, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Find a place for the connection, or refuse it."""
        super().connection_made(transport)
        most = self.limits.connections
        if len(self._places.taken) < most or self._another_gives_way():
            self._places.taken.add(self)
            self.wait()
        elif len(self.connections) > 2 * most:  # even refusals are too many
            transport.abort()
        else:
            self.refuse(_TOO_MANY)

    def _another_gives_way(self) -> bool:
        other = self._places.giving_way(self.loop.time())
        if other is not None:
            other.give_way()
        return other is not None

    def give_way(self) -> None:
        """End the connection at once."""
        self._places.leave(self)
        if self.has_unsent:
            reset(self.transport)
        else:
            self.transport.abort()

    @property
    def is_waiting(self) -> bool:
        """Whether no request of the connection is being served."""
        is_served = self.cycle is not None and not self.cycle.response_complete
        return not (is_served or self._is_refused or self.is_lingering)

    @property
    def has_unsent(self) -> bool:
        """Whether a part of the response waits until the client has read what is before it."""
        return self.transport.get_write_buffer_size() > 0

    def wait(self) -> None:
        """Wait for the next request, behind all that wait already."""
        if self in self._places.taken:
            self._places.waiting.pop(self, None)
            self._places.waiting[self] = None

    def linger(self) -> None:
        """May give way from now on."""
        super().linger()
        if self in self._places.taken:
            self._places.answered.setdefault(self)

    def pause_writing(self) -> None:
        """A response is unread from now on."""
        self._places.unread.pop(self, None)
        super().pause_writing()

    def watch_sending(self) -> None:
        """What the client has to read is unread from now on, unless it was before."""
        super().watch_sending()
        if self.has_unsent and self in self._places.taken:
            self._places.unread.setdefault(self, self.loop.time())

    def resume_writing(self) -> None:
        """The client has read; wait for a request if there is none."""
        self._places.unread.pop(self, None)
        super().resume_writing()
        if self.is_waiting:
            self.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the place to others."""
        self._places.leave(self)
        super().connection_lost(exc)
