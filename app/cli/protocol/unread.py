"""Unread bodies: a request may be answered before its body has arrived.

uvicorn reads all of such a body, however long, to keep the connection. Here a long body ends the
connection. The connection is not closed at once: a client that is still sending would get a reset
instead of its response. So the server reads and discards some of the body, slowly, for a while. The
response is delayed, too, so that a client that sends one long body after another leaves time for
other clients.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from app.api.lengths import declared
from app.cli.protocol.trailers import TrailersProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Awaitable, Callable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_KEPT_FOR = 64 * 1024  # bytes: a body as short as this is read, and the connection is kept
_MOST = 1024 * 1024  # bytes that are discarded
_ANSWERED_AFTER = (0.5, 1.0)  # seconds by which the response is delayed, at random
_PAUSE = 0.02  # seconds between two reads, in which other clients are served
_SECONDS = 5.0  # until the connection is closed, whatever still comes


class UnreadProtocol(TrailersProtocol):
    """HTTP/1.1 that ends the connection instead of reading a long body that is not needed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left: int | None = None  # bytes that may still be discarded; None before that begins
        self._timers: list[TimerHandle] = []
        self.expected = 0  # bytes of the body that are still to come, as far as they are declared

    def on_headers_complete(self) -> None:
        """Watch the response to a request with a body."""
        before = self.cycle
        length = _length(self.headers)
        super().on_headers_complete()
        if self.cycle is before:
            return
        self.expected = length or 0
        if length is None or length > 0:
            watched = partial(self._send, self.cycle, self.cycle.send, length)
            self.cycle.send = watched  # type: ignore[method-assign]  # for this one request

    def on_body(self, body: bytes) -> None:
        """Expect less from now on."""
        self.expected -= len(body)
        super().on_body(body)

    async def _send(
        self,
        cycle: RequestResponseCycle,
        send: Callable[[Any], Awaitable[None]],
        length: int | None,
        message: Any,
    ) -> None:
        # A client that waits for "100 Continue" may send its body or not: the server cannot know.
        is_long = length is None or length > _KEPT_FOR or cycle.waiting_for_100_continue
        if message["type"] == "http.response.start" and cycle.more_body and is_long:
            cycle.keep_alive = False
            self.drop_body(cycle)
            await asyncio.sleep(random.uniform(*_ANSWERED_AFTER))  # noqa: S311  # jitter
            cycle.transport = Lingering(self.transport, self.linger)  # type: ignore[assignment]  # as far as it is used
        await send(message)
        if cycle.response_complete:
            vars(cycle).pop(
                "send", None
            )  # it refers to the cycle, and only the garbage collector could free both

    def drop_body(self, cycle: RequestResponseCycle) -> None:
        """Forget what has arrived of a body that nobody will read; read on when it lingers."""
        cycle.body = bytearray()
        self.flow.pause_reading()

    def linger(self) -> None:
        """Send nothing more, and discard what arrives, up to a limit of bytes and of time."""
        if self._left is not None or self.transport.is_closing():
            return
        self._left = _MOST
        self.pipeline.clear()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timers = [self.loop.call_later(_SECONDS, self.transport.close)]

    @property
    def is_lingering(self) -> bool:
        """Whether nothing more is sent, and what arrives is discarded."""
        return self._left is not None

    def data_received(self, data: bytes | memoryview) -> None:
        """Parse, or discard."""
        if self._left is None:
            super().data_received(data)
            return
        self._left -= len(data)
        if self._left < 0:
            self.transport.close()
            return
        self.transport.pause_reading()
        self._timers[1:] = [self.loop.call_later(_PAUSE, self._read_on)]

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what was to happen later."""
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)


class Lingering:
    """A transport that lingers when it is closed."""

    def __init__(self, transport: Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self.close = close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The declared length of a body, 0 without a body; None if no length is declared."""
    length: int | None = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = declared(value)
    return length
