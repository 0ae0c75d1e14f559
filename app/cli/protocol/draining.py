"""Draining: when the server stops, what was accepted is answered, for as long as that is allowed.

Idle connections are closed at once. One that waits for its client, for the rest of a body or until
a response is read, is ended when its client did nothing for a second. What is left at the end of
the drain time is cut off, and one line of the log says how much that was.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from app.cli.protocol.bodies import BodyMemory
from app.cli.protocol.connections import CountedProtocol, Places
from app.cli.protocol.deadlines import unsent
from app.cli.protocol.refusals import Part

if TYPE_CHECKING:
    from asyncio import Task, Transport

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from app.cli.protocol.limits import Limits

_log = structlog.get_logger(__name__)

_STILL_SECONDS = 1.0  # in which a client must read or send something
_NOTICE_SECONDS = 0.1  # in which requests end because their client is gone


class Drain:
    """The last seconds of a process's connections."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.has_begun = False

    def begin(self, loop: AbstractEventLoop, state: ServerState) -> None:
        """Let the drain time run, if it does not yet."""
        if not self.has_begun:
            self.has_begun = True
            loop.call_later(self._seconds, self._end, loop, state)

    def _end(self, loop: AbstractEventLoop, state: ServerState) -> None:
        connections: list[Any] = list(state.connections)
        if connections or state.tasks:
            _log.warning(
                "drain_time_over",
                connections=len(connections),
                requests=len(state.tasks),
                seconds=self._seconds,
            )
        for connection in connections:
            connection.give_way()
        loop.call_later(_NOTICE_SECONDS, _cancel, state.tasks)


def _cancel(tasks: set[Task[None]]) -> None:
    for task in tasks:
        task.cancel()


class DrainingProtocol(CountedProtocol):
    """HTTP/1.1 that ends with the server, as soon as its clients allow."""

    def __init__(self, *args: Any, drain: Drain, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._drain = drain
        self._resumed = 0  # how often its client made room for more of the response

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """End at once a connection that came when the server had begun to stop."""
        super().connection_made(transport)
        if self._drain.has_begun:
            self.shutdown()

    def on_headers_complete(self) -> None:
        """Close the connection after the response to a pipelined request."""
        super().on_headers_complete()
        if self._drain.has_begun and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End the connection, or after the response to what was accepted."""
        self._drain.begin(self.loop, self.server_state)
        if not self.is_lingering:
            super().shutdown()
        self._end_when_still(None)

    def _end_when_still(self, before: object) -> None:
        """End the connection if only its client could go on, and has done nothing since."""
        if self not in self.connections:
            return
        now = (unsent(self.transport), self._resumed, self._received, self._left, self._awaited)
        if self._waits_for_client and now == before:
            self.give_way()
        else:
            self.loop.call_later(_STILL_SECONDS, self._end_when_still, now)

    @property
    def _waits_for_client(self) -> bool:
        return self.has_unsent or self.is_lingering or self._awaited is not Part.NOTHING

    def resume_writing(self) -> None:
        """The client has read."""
        self._resumed += 1
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, partial(_unless_cut_off, cycle, app))


async def _unless_cut_off(
    cycle: RequestResponseCycle, app: Any, scope: Any, receive: Any, send: Any
) -> None:
    """Serve a request; it may be cancelled once its connection is gone, which is no error."""
    try:
        await app(scope, receive, send)
    except CancelledError:
        if not cycle.disconnected:
            raise


def limited_protocol(limits: Limits) -> Any:
    """What uvicorn calls for each connection of a process, given as ``http`` to its ``Config``."""
    return partial(
        DrainingProtocol,
        limits=limits,
        memory=BodyMemory(limits.body_memory),
        places=Places(),
        drain=Drain(limits.drain_seconds),
    )
