"""Responses without an end, which a server that stops must end itself.

uvicorn waits for open responses, and only then tells the application that it stops. Here a response
whose first message says that it is ``endless`` ends at once: the client gets the last chunk, and
the application sees that its client left. A client that does not read is cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.protocol.joined import JoinedCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_LAST_CHUNK = b"0\r\n\r\n"


class EndlessCycle(JoinedCycle):
    """A request and its response, which may be endless."""

    is_endless = False

    async def send(self, message: ASGISendEvent) -> None:
        """Write a piece of the response."""
        event: Any = message
        if event["type"] == "http.response.start":
            self.is_endless = event.get("endless", False)
        await super().send(message)

    def end(self) -> None:
        """End the response if it has no end of its own."""
        if not self.is_endless or self.response_complete or self.disconnected:
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            if self.chunked_encoding:
                self.transport.write(_LAST_CHUNK)
            self.transport.close()
        self.disconnected = True
        self.message_event.set()
