"""Work that is cancelled when its client leaves: nobody would get what it reads."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from litestar.exceptions import InternalServerException

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar.types import Receive

_WATCHED_AFTER = 0.05  # seconds: most reads have ended by then


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel what runs within when the client leaves. The request's body was read before, if any.

    Then it raises ``InternalServerException``, as the framework does for a body that breaks off.
    """
    watch = _Watch(receive)
    timer = asyncio.get_running_loop().call_later(_WATCHED_AFTER, watch.begin)
    try:
        yield
    except asyncio.CancelledError:
        if watch.take_back():
            raise InternalServerException("the client left") from None
        raise
    finally:
        timer.cancel()
        watch.end()


class _Watch:
    """Cancels the task that made it when the client leaves."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watched = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._has_left = False

    def begin(self) -> None:
        """Wait for the client to leave."""
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        if self._watched is not None:
            self._watched.cancel()

    def take_back(self) -> bool:
        """Take the cancellation back; False if something else has cancelled the task, too."""
        return self._has_left and self._watched is not None and not self._watched.uncancel()

    def end(self) -> None:
        """Cancel nothing any more."""
        if self._watching is not None:
            self._watching.cancel()
