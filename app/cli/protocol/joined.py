"""The head of a response and the first piece of its body, in one write.

uvicorn writes them apart, and each write is a call of the system. ASGI has a server send nothing
before the body begins, so the head waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from asyncio import Transport

    from uvicorn._types import ASGISendEvent


class JoinedCycle(RequestResponseCycle):
    """A request and its response, whose head is written with what follows it."""

    _head: _Head | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Write a piece of the response; the head is kept until then."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = _Head(self.transport)
            self.transport = self._head  # type: ignore[assignment]  # as far as it is used
            await super().send(message)
            return
        await super().send(message)
        if self._head is not None:
            self.transport = self._head.release()
            self._head = None


class _Head:
    """A transport that keeps what is written to it until it is released or closed."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kept: list[bytes] = []
        self.write = self._kept.append

    def release(self) -> Transport:
        """Write what was kept; returns the transport that takes all that follows."""
        if self._kept and not self._transport.is_closing():
            self._transport.writelines(self._kept)
        self._kept.clear()
        return self._transport

    def close(self) -> None:
        """As a transport that has written all that it was given."""
        self.release().close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
