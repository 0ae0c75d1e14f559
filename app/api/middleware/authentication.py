"""Authentication as an ASGI middleware: a guard for each route costs half the throughput."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from litestar.enums import ScopeType

from app.accounts.authenticator import Authenticator
from app.accounts.failed_logins import FailedLogin
from app.accounts.principals import RejectedKey
from app.accounts.tokens import PREFIX_LENGTH
from app.api.errors import CredentialsRepeated
from app.api.middleware.fast_path import plainly_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.failed_logins import FailedLogins


class Authentication:
    """Finds the principal of each request, and refuses none.

    ``app.api.access`` refuses, once the route is known. No path decides anything here, so that no
    spelling of a path gets around the key. It only says which assistant a request will read, whose
    stamp is then read together with the key.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Callable[[], Authenticator],
        failed_logins: Callable[[], FailedLogins],
    ) -> None:
        self._app = app
        self._authenticator = authenticator  # made when the application starts
        self._failed_logins = failed_logins  # as above

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
        token = _token(scope)
        found, seen = await self._authenticator().check(token, plainly_read(scope))
        if isinstance(found, RejectedKey):
            self._failed_logins().note(failed_login(scope, token, found))
        else:
            scope["principal"] = found  # type: ignore[typeddict-unknown-key]  # ours
            scope["seen"] = seen  # type: ignore[typeddict-unknown-key]  # ours


def failed_login(scope: Scope, token: str, key: RejectedKey) -> FailedLogin:
    """A call with a rejected key."""
    return FailedLogin(
        key=key,
        key_prefix=token[:PREFIX_LENGTH],
        ip_address=_address(scope),
        request_id=scope["request_id"],  # type: ignore[typeddict-item]  # set by RequestLog
    )


def _address(scope: Scope) -> str | None:
    """The client's IP address; None where a proxy's header has something else."""
    client = scope["client"]
    try:
        return str(ip_address(client[0])) if client else None
    except ValueError:
        return None


def _token(scope: Scope) -> str:
    """The bearer token; '' where there is none. Raises ``CredentialsRepeated``."""
    sent: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if sent is not None:  # we do not guess which one counts
                raise CredentialsRepeated
            sent = value
    scheme, _, token = (sent or b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
