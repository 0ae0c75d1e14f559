"""Pipelined requests: a client may send further ones before it reads the answer to the first.

uvicorn parses all that has arrived, and after each answer reads more. A client that never reads its
answers could fill the memory with requests. Here bytes are parsed slice by slice. When a request
waits for the answers before it, the rest of what was read is kept unparsed, and no more is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl

from app.cli.protocol.unread import UnreadProtocol

if TYPE_CHECKING:
    from asyncio import Transport

_SLICE = 1024  # bytes; longer than most requests, and no more than some dozens of the shortest


class _Gate(FlowControl):
    """Flow control that resumes reading only when it is opened."""

    is_shut = False

    def shut(self) -> None:
        """Pause reading."""
        self.is_shut = True
        self.pause_reading()

    def open(self) -> None:
        """Resume reading."""
        self.is_shut = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Resume reading, unless the gate is shut."""
        if not self.is_shut:
            super().resume_reading()


class PipelinedProtocol(UnreadProtocol):
    """HTTP/1.1 that reads no further than one slice behind a request that waits."""

    _gate: _Gate

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: bytes | memoryview = b""  # was read and is not parsed yet

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Control the flow by a gate."""
        super().connection_made(transport)
        self._gate = self.flow = _Gate(transport)

    def data_received(self, data: bytes | memoryview) -> None:
        """Parse slice by slice, up to a request that waits."""
        if self._left is not None:
            super().data_received(data)
            return
        if len(data) <= _SLICE:
            self.feed(data)
        else:
            self._feed_slices(memoryview(data))
        if self.pipeline:
            self._gate.shut()
        self.after_read(len(data))

    def _feed_slices(self, view: memoryview) -> None:
        """Parse; what is surely the body of one request is one slice."""
        start = 0
        while start < len(view):
            if self.pipeline:
                self._kept = _without_rest(view[start:])
                return
            end = start + max(self.expected, _SLICE)
            self.feed(view[start:end])
            start = end

    def feed(self, piece: bytes | memoryview) -> None:
        """Parse one slice."""
        self.parse(piece)

    def after_read(self, count: int) -> None:
        """Look at what has arrived in so many bytes, once they are parsed or kept."""

    def on_response_complete(self) -> None:
        """Go on with what was kept when no request waits any more."""
        super().on_response_complete()
        if self._gate.is_shut and not self.pipeline:
            # The end of this response is written only after this call.
            self.loop.call_soon(self.read_on)

    def read_on(self) -> None:
        """Parse what was kept, and read again."""
        if self.pipeline or self.is_lingering or self.transport.is_closing():
            return
        kept, self._kept = self._kept, b""
        self._gate.open()
        if kept:
            self.data_received(kept)

    def linger(self) -> None:
        """Drop what was kept, and read what is to be discarded."""
        super().linger()
        self._kept = b""
        if not self.transport.is_closing():
            self._gate.open()


def _without_rest(view: memoryview) -> bytes | memoryview:
    """A part of what was read, which is copied if the whole would take much more memory."""
    return view if 2 * len(view) > len(view.obj) else bytes(view)  # type: ignore[arg-type]  # bytes
