"""HTTP/1.1 trailer fields, which uvicorn's own HTTP/1.1 protocols do not send.

The ASGI extension ``http.response.trailers``: a response that starts with ``trailers`` ends with
a message that holds them, after its last chunk (RFC 9112, 7.1.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.api.streaming import EXTENSION
from app.cli.protocol.endless import EndlessCycle
from app.cli.protocol.upgrades import SameProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_ENDLESS = 2**62  # bytes; stands for a body of unknown length


class _Cycle(EndlessCycle):
    """A request and its response, which may end with trailers."""

    has_trailers = False

    async def send(self, message: ASGISendEvent) -> None:
        event: Any = message
        match event["type"]:
            case "http.response.start":
                self.has_trailers = event.get("trailers", False)
            case "http.response.body" if self.has_trailers and not event.get("more_body"):
                message = event | {"more_body": True}  # not the end yet
            case "http.response.trailers":
                if self.chunked_encoding and not self.disconnected:
                    fields = b"".join(b"%b: %b\r\n" % field for field in event["headers"])
                    self.transport.write(b"0\r\n%b\r\n" % fields)
                # The end was written already, whether the body has chunks or a length.
                self.chunked_encoding, self.expected_content_length = False, 0
                message = {"type": "http.response.body", "body": b"", "more_body": False}
        await super().send(message)


class _OldCycle(EndlessCycle):
    """For HTTP/1.0, which has no chunks: the body ends with the connection."""

    async def send(self, message: ASGISendEvent) -> None:
        event: Any = message
        if event["type"] == "http.response.start":
            names = {name.lower() for name, _ in event["headers"]}
            if b"content-length" not in names:
                self.chunked_encoding, self.expected_content_length = False, _ENDLESS
        elif self.expected_content_length > _ENDLESS // 2 and not event.get("more_body"):
            self.expected_content_length = len(event.get("body", b""))
        await super().send(message)


class TrailersProtocol(SameProtocol):
    """uvicorn's HTTP/1.1 with trailers: give it as ``http`` to ``uvicorn.Config``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unfinished: list[EndlessCycle] = []

    def on_headers_complete(self) -> None:
        """Begin a response that may end with trailers."""
        before = self.cycle
        super().on_headers_complete()
        # The new cycle runs from the next turn of the event loop on.
        if self.cycle is not before:
            if self.scope["http_version"] == "1.0":
                self.cycle.__class__ = _OldCycle
            else:
                self.cycle.__class__ = _Cycle
                self.scope["extensions"] = {EXTENSION: {}}
            waiting = [cycle for cycle in self._unfinished if not cycle.response_complete]
            self._unfinished = [*waiting, self.cycle]  # type: ignore[list-item]  # by its class

    def shutdown(self) -> None:
        """Begin to stop: a response without an end is ended, the others end in their time."""
        for cycle in self._unfinished:
            cycle.end()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Mark every response of the connection as disconnected, also one that others wait for."""
        for cycle in self._unfinished:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)
