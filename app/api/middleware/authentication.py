"""Authentication as an ASGI middleware: a guard for each route costs half the throughput."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.enums import ScopeType

from app.api.errors import CredentialsRepeated
from app.api.middleware.fast_path import plainly_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.logins import Logins
    from app.accounts.principals import Principal, Seen


class Authentication:
    """Finds the principal of each request, and refuses none.

    ``app.api.access`` refuses, once the route is known. No path decides anything here, so that no
    spelling of a path gets around the key. It only says which assistant a request will read, whose
    stamp is then read together with the key.
    """

    def __init__(self, app: ASGIApp, logins: Callable[[], Logins]) -> None:
        self._app = app
        self._logins = logins  # made when the application starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request with its principal; None without a valid key."""
        if scope["type"] == ScopeType.HTTP:
            scope["seen"] = None  # type: ignore[typeddict-unknown-key]  # ours
            scope["principal"] = None  # type: ignore[typeddict-unknown-key]  # ours
            try:
                await self._find(scope)
            except Exception as error:  # noqa: BLE001  # raised again by app.api.access
                scope["principal_unknown"] = error  # type: ignore[typeddict-unknown-key]  # ours
        await self._app(scope, receive, send)

    async def _find(self, scope: Scope) -> None:
        principal, seen = await log_in(
            self._logins(), scope, bearer_token(scope), plainly_read(scope)
        )
        scope["principal"] = principal  # type: ignore[typeddict-unknown-key]  # ours
        scope["seen"] = seen  # type: ignore[typeddict-unknown-key]  # ours


async def log_in(
    logins: Logins, scope: Scope, token: str, assistant_id: int | None = None
) -> tuple[Principal | None, Seen | None]:
    """The principal of a request with a token; see ``Logins.check``."""
    client = scope["client"]
    request_id: str = scope["request_id"]  # type: ignore[typeddict-item]  # set by RequestLog
    return await logins.check(token, client[0] if client else None, request_id, assistant_id)


def bearer_token(scope: Scope) -> str:
    """The bearer token; '' where there is none. Raises ``CredentialsRepeated``."""
    sent: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if sent is not None:  # we do not guess which one counts
                raise CredentialsRepeated
            sent = value
    scheme, _, token = (sent or b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
