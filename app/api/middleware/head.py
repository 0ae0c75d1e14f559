"""HEAD is answered as GET is, with the same headers and no body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.enums import HttpMethod, ScopeType

from app.api.methods import IS_HEAD

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Answers HEAD as GET is answered, with the same headers and no body.

    The answer ends with its headers; a stream is never read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every other method passes through."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.HEAD:
            await self._app(scope, receive, send)
            return
        # A copy: the server reads the method in its own scope.
        as_get: Any = {**scope, "method": "GET", IS_HEAD: True}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send({k: v for k, v in message.items() if k != "trailers"})  # type: ignore[arg-type]  # the same message
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(as_get, receive, send_head)
