"""What every answer of the console passes through: its security headers, and compression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.config.compression import CompressionConfig
from litestar.datastructures import MutableScopeHeaders
from litestar.middleware import ASGIMiddleware, DefineMiddleware
from litestar.middleware.compression import CompressionMiddleware

from app.api.vary import note_varying

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Middleware, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
NO_STORE = "no-store"
UNCOMPRESSED = "is_uncompressed"  # an ``opt``: the route's answer is not compressed here


class SecurityHeaders(ASGIMiddleware):
    """Adds the security headers to every answer, and ``no-store`` where it names no cache."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request. Compression depends on ``Accept-Encoding``, so the answer varies."""
        note_varying(scope, "Accept-Encoding")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                for name, value in SECURITY.items():
                    headers[name] = value
                headers.setdefault("cache-control", NO_STORE)
            await send(message)

        await next_app(scope, receive, send_with_headers)


# The fastest level: pages are compressed on the loop.
_GZIP = CompressionConfig(backend="gzip", gzip_compress_level=1, exclude_opt_key=UNCOMPRESSED)
# Compressing a page with its form's token is safe: a request of another site has no cookie.
MIDDLEWARE: list[Middleware] = [
    SecurityHeaders(),
    DefineMiddleware(CompressionMiddleware, config=_GZIP),
]
