"""The memory of bodies: a process holds only so much of requests that it has not answered.

Bodies arrive on many connections at a time, each as long as the limit of one. What each has beyond
64 KiB is counted, so that short bodies never wait for long ones, and a body beyond what all may
hold is refused. Bytes that nobody will read do not count: they are dropped.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from app.cli.protocol.limits import LimitedProtocol
from app.cli.protocol.refusals import Refusal, Refused

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_UNCOUNTED = 64 * 1024  # bytes of each body, and of what a connection keeps unparsed
_TOO_MUCH = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="too-many-bodies",
    detail=(
        "The server holds as many long bodies as it may; nothing was changed. Try again, or send"
        " one of at most 64 KiB"
    ),
    retry_after=1,
)


class BodyMemory:
    """How many bytes of bodies a process holds, beyond 64 KiB of each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[object, int] = {}
        self._total = 0

    def hold(self, holder: object, size: int) -> bool:
        """Count what a holder has in all; returns False, and counts none of it, if too much."""
        counted = max(0, size - _UNCOUNTED)
        self.release(holder)
        if self._total + counted > self._most:
            return False
        if counted:
            self._held[holder] = counted
            self._total += counted
        return True

    def release(self, holder: object) -> None:
        """Count nothing of the holder any more."""
        self._total -= self._held.pop(holder, 0)


class BodiesProtocol(LimitedProtocol):
    """HTTP/1.1 with a limit on the memory of all bodies together."""

    def __init__(self, *args: Any, memory: BodyMemory, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._memory = memory
        self._arrived = 0  # bytes of the body that is arriving
        self._long: list[RequestResponseCycle] = []  # requests whose bodies are counted

    def on_message_begin(self) -> None:
        """Count the next body."""
        super().on_message_begin()
        self._arrived = 0

    def on_body(self, body: bytes) -> None:
        """Hold a part of a body, or refuse the request."""
        super().on_body(body)
        self._arrived += len(body)
        if self._arrived > _UNCOUNTED and not self.cycle.response_complete:
            self._hold_body(self.cycle)

    def _hold_body(self, cycle: RequestResponseCycle) -> None:
        if not self._memory.hold(cycle, self._arrived):
            self.drop_body(cycle)
            raise Refused(_TOO_MUCH)
        if cycle not in self._long:
            self._long.append(cycle)

    def drop_body(self, cycle: RequestResponseCycle) -> None:
        """Forget what has arrived of a body that nobody will read."""
        super().drop_body(cycle)
        self._memory.release(cycle)

    def after_read(self, count: int) -> None:
        """Hold what is kept until the responses before it were read, or refuse it."""
        super().after_read(count)
        if len(self._kept) > _UNCOUNTED and not self._memory.hold(self, len(self._kept)):
            self._kept = b""
            self.refuse(_TOO_MUCH)

    def read_on(self) -> None:
        """Parse what was kept."""
        self._memory.release(self)
        super().read_on()

    def linger(self) -> None:
        """Release what was kept."""
        super().linger()
        self._memory.release(self)

    def on_response_complete(self) -> None:
        """Release the bodies of what was answered."""
        super().on_response_complete()
        if self._long:
            self._release_answered()

    def _release_answered(self) -> None:
        for cycle in self._long:
            if cycle.response_complete or cycle.disconnected:
                self._memory.release(cycle)
        self._long = [c for c in self._long if not (c.response_complete or c.disconnected)]

    def connection_lost(self, exc: Exception | None) -> None:
        """Release all."""
        super().connection_lost(exc)
        self._memory.release(self)
        for cycle in self._long:
            self._memory.release(cycle)
