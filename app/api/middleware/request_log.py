"""One log line for each request, without bodies, headers and query; and its metrics."""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING

from litestar.enums import ScopeType

from app.api import methods
from app.log import RequestLine, Requests
from app.metrics import catalog

if TYPE_CHECKING:
    from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

    from app.accounts.principals import Principal


_CLIENT_LEFT = 499  # the client left before its body ended; nginx logs the same
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestLog:
    """Gives each request an id, sends it in the answer, logs one line at the end, and counts it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything that is not HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]  # ours
        status, has_left = 0, False

        async def receive_noting() -> HTTPReceiveMessage:
            nonlocal has_left
            message = await receive()
            # A disconnect after the answer has begun is its normal end.
            has_left |= message["type"] == "http.disconnect" and not status
            return message  # type: ignore[return-value]  # HTTP

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive_noting, send_with_id)
        finally:
            logged = _CLIENT_LEFT if has_left else status
            seconds = time.perf_counter() - started
            route = scope.get("path_template", catalog.UNROUTED)
            catalog.served(route, methods.sent_method(scope), logged, seconds)
            Requests.log(_line(scope, request_id, logged, seconds))


def _line(scope: Scope, request_id: str, status: int, seconds: float) -> RequestLine:
    line = RequestLine(
        method=methods.sent_method(scope),
        path=scope["path"],
        status=status,
        ms=round(seconds * 1000, 2),
        request_id=request_id,
    )
    principal: Principal | None = scope.get("principal")  # type: ignore[assignment]  # by Authentication
    if principal is not None:
        line.organization_id = principal.organization_id
        line.key_id = principal.key_id
    return line


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return text
    return secrets.token_hex(16)
