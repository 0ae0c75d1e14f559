"""Deadlines: how long a head, a body and the reader of a response may take.

A head has a time in all. A transfer, of a body or of a response, may take as long as it keeps a
least speed: in each period of its time as many bytes must pass as that speed needs.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from app.cli.protocol.bodies import BodiesProtocol
from app.cli.protocol.refusals import Part, Refusal

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

_TOO_SLOW = {
    Part.HEAD: "The head of a request must arrive within {0.header_seconds:g} seconds",
    Part.BODY: (
        "A body must arrive with at least {0.speed} bytes a second, measured over"
        " {0.body_seconds:g} seconds"
    ),
}


class TimedProtocol(BodiesProtocol):
    """HTTP/1.1 that ends a connection which is idle, or too slow."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaited = Part.NOTHING  # what the deadline is for,
        self._awaited_of: Any = None  # and the scope of its request
        self._deadline: TimerHandle | None = None
        self._received = 0  # bytes since the deadline was set
        self._sending: TimerHandle | None = None
        self._unsent = 0  # bytes when that timer was set

    # -- idle

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Be idle until the first request as between two."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose client does not read the last response."""
        super().timeout_keep_alive_handler()
        self.watch_sending()

    # -- receiving

    def after_read(self, count: int) -> None:
        """Set a deadline for what has not arrived wholly."""
        super().after_read(count)
        cycle = self.cycle
        is_served = cycle is not None and not cycle.response_complete
        if is_served and self._whole is self.scope and self._deadline is None:
            return  # as nearly always: all of a request has come at once
        self._received += count
        awaited = self._what_is_awaited()
        is_set = awaited is Part.NOTHING or self._awaited_of is self.scope
        if awaited is not self._awaited or not is_set:
            self._cancel_deadline()
            self._set_deadline(awaited)

    def on_response_complete(self) -> None:
        """Keep the deadline of what is arriving in place of the idle time."""
        super().on_response_complete()
        if self._whole is not self.scope:
            self._unset_keepalive_if_required()
        if self.transport.is_closing():
            self.watch_sending()
        else:
            self.wait()

    def wait(self) -> None:
        """A response has ended, and the connection has not."""

    def _set_deadline(self, awaited: Part) -> None:
        if awaited is not Part.NOTHING:
            limits = self.limits
            seconds = limits.header_seconds if awaited is Part.HEAD else limits.body_seconds
            self._awaited, self._awaited_of, self._received = awaited, self.scope, 0
            self._deadline = self.loop.call_later(seconds, self._on_deadline)

    def _what_is_awaited(self) -> Part:
        if self._is_refused or self._left is not None:
            return Part.NOTHING
        part, cycle = self.part, self.cycle
        if part is Part.NOTHING and (cycle is None or cycle.response_complete):
            return Part.HEAD  # something came, if only line ends
        return part

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._awaited, self._awaited_of = Part.NOTHING, None

    def _on_deadline(self) -> None:
        late, limits = self._awaited, self.limits
        is_fast = late is Part.BODY and self._received >= limits.speed * limits.body_seconds
        self._cancel_deadline()
        if is_fast or self.flow.read_paused:
            self._set_deadline(late)
            return
        detail = _TOO_SLOW[late].format(limits)
        self.refuse(
            Refusal(status=HTTPStatus.REQUEST_TIMEOUT, code="request-timeout", detail=detail)
        )

    # -- sending

    def pause_writing(self) -> None:
        """Give the client a time to read what was written."""
        super().pause_writing()
        self.watch_sending()

    def resume_writing(self) -> None:
        """The client has read; go on."""
        super().resume_writing()
        self._stop_watching()
        if self.transport.is_closing():
            self.watch_sending()

    def linger(self) -> None:
        """Give the client a time to read the last response."""
        super().linger()
        self._cancel_deadline()
        self.watch_sending()

    def watch_sending(self) -> None:
        """Give the client a time to read what it has not, if there is something."""
        if self._sending is None and self.transport.get_write_buffer_size():
            self._unsent = unsent(self.transport)
            self._sending = self.loop.call_later(self.limits.send_seconds, self._on_unsent)

    def _stop_watching(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _on_unsent(self) -> None:
        self._sending = None
        limits = self.limits
        is_fast = self._unsent - unsent(self.transport) >= limits.speed * limits.send_seconds
        if is_fast or not self.transport.get_write_buffer_size():
            self.watch_sending()
        else:
            reset(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._cancel_deadline()
        self._stop_watching()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


def unsent(transport: Transport) -> int:
    """The bytes that the client's system has not confirmed.

    Those in the kernel count, too: it takes more only when much of what it has is sent.
    """
    in_kernel = bytearray(4)
    with suppress(OSError):  # where the system cannot tell
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, in_kernel)
    return transport.get_write_buffer_size() + int.from_bytes(in_kernel, sys.byteorder)


def reset(transport: Transport) -> None:
    """End a connection; the kernel, too, drops what was not sent."""
    at_once = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    transport.abort()
