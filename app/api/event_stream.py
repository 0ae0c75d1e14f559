"""A stream of events (text/event-stream) of those who follow a log.

Litestar's ``ServerSentEvent`` has neither a heartbeat nor a check of the key, and passes each event
through regular expressions. Its streaming response, which is used here, sends a chunk only when the
one before was taken, and stops when the client leaves.

A comment, and the time to wait before a new connection, are lines without an empty one behind them:
some clients take an empty line for the end of an event, even of one without data.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar import Response
from litestar.response.streaming import ASGIStreamingResponse

from app.accounts.principals import Principal, Role
from app.api import methods
from app.api.media_types import EVENT_STREAM
from app.storage.database import Busy, ReadFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from litestar.response.base import ASGIResponse
    from litestar.types import Message as ASGIMessage
    from litestar.types import Receive, Scope, Send

    from app.accounts.authenticator import Caller
    from app.audit.following import Follower
    from projections.messages import Message

_PIECE = 64 * 1024  # bytes that are sent at once
_RETRY = b"retry: 3000\n"  # milliseconds
_HEARTBEAT = b": heartbeat\n"


class EventStream(Response[bytes]):
    """What a follower is given, as it comes, until the client leaves or its key is revoked."""

    def __init__(
        self,
        following: AbstractContextManager[Follower],
        *,
        check: Callable[[], Awaitable[Caller]],
        heartbeat: float,
        until: int | None,
        with_values: bool,
        headers: dict[str, str],
    ) -> None:
        super().__init__(b"", media_type=EVENT_STREAM, headers=headers)
        self._following = following
        self._check = check  # whose the key is now
        self._heartbeat = heartbeat  # seconds
        self._until = until  # the sequence with which it ends, if it does
        self._with_values = with_values

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """What sends it."""
        return cast("ASGIResponse", self._send)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_endless(message: ASGIMessage) -> None:
            if message["type"] == "http.response.start":
                message["endless"] = True  # type: ignore[typeddict-unknown-key]  # ours
            await send(message)

        with self._following as follower:
            chunks = _none() if methods.is_head(scope) else self._chunks(follower)
            stream = ASGIStreamingResponse(
                iterator=chunks,
                media_type=EVENT_STREAM,
                headers=dict(self.headers),
                status_code=200,
            )
            await stream(scope, receive, send_endless)

    async def _chunks(self, follower: Follower) -> AsyncIterator[bytes]:
        yield _RETRY
        due = time.monotonic() + self._heartbeat
        while self._until is None or follower.reached < self._until:
            try:
                messages = await follower.next(due - time.monotonic())
                for piece in self._pieces(messages):
                    yield piece
                if time.monotonic() >= due:
                    if not await self._may_go_on(follower):
                        return
                    yield _HEARTBEAT
                    due = time.monotonic() + self._heartbeat
            except (Busy, ReadFailed):  # the client connects again, and goes on where it was
                return

    def _pieces(self, messages: list[Message]) -> Iterator[bytes]:
        """The messages as few pieces, each encoded when the one before was taken."""
        lines: list[bytes] = []
        size = 0
        for message in messages:
            lines.append(self._encoded(message))
            size += len(lines[-1])
            if size >= _PIECE:
                yield b"".join(lines)
                lines, size = [], 0
        if lines:
            yield b"".join(lines)

    def _encoded(self, message: Message) -> bytes:
        body = message.encoded(with_values=self._with_values)
        return b"id: %d\nevent: message\ndata: %b\n\n" % (message.sequence, body)

    async def _may_go_on(self, follower: Follower) -> bool:
        """Whether the key is still good. Its role may have been narrowed."""
        principal = await self._check()
        if not isinstance(principal, Principal):
            return False
        only_open = principal.role < Role.admin
        follower.chosen = msgspec.structs.replace(follower.chosen, only_open=only_open)
        return True


async def _none() -> AsyncIterator[bytes]:
    """No chunks."""
    for _ in range(0):
        yield b""
