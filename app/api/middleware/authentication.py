"""Authentication: an ASGI middleware, because a guard for each route costs half the throughput."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from litestar.enums import ScopeType

from app.accounts.authenticator import Authenticator
from app.accounts.failed_logins import FailedLogin
from app.accounts.principals import RejectedKey
from app.accounts.tokens import PREFIX_LENGTH
from app.api.errors import CredentialsRepeated

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.failed_logins import FailedLogins


class Authentication:
    """Finds out who calls, and refuses nobody.

    ``app.api.access`` does refuse, once it is known which route a request is for: no path is judged
    here, so that no spelling of one gets around the key.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Callable[[], Authenticator],
        refusals: Callable[[], FailedLogins],
    ) -> None:
        self._app = app
        self._authenticator = authenticator  # made when the application starts
        self._refusals = refusals  # as above

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request with its principal, None where no good key came with it."""
        if scope["type"] == ScopeType.HTTP:
            scope["principal"] = None  # type: ignore[typeddict-unknown-key]  # ours
            try:
                await self._find(scope)
            except Exception as error:  # noqa: BLE001  # answered where problems are
                scope["principal_unknown"] = error  # type: ignore[typeddict-unknown-key]  # ours
        await self._app(scope, receive, send)

    async def _find(self, scope: Scope) -> None:
        token = _token(scope)
        who = await self._authenticator().principal(token)
        if isinstance(who, RejectedKey):
            self._refusals().note(attempt(scope, token, who))
        else:
            scope["principal"] = who  # type: ignore[typeddict-unknown-key]  # ours


def attempt(scope: Scope, token: str, key: RejectedKey) -> FailedLogin:
    """A call with a key that is no good, as it is noted."""
    return FailedLogin(
        key=key,
        key_prefix=token[:PREFIX_LENGTH],
        ip_address=_address(scope),
        request_id=scope["request_id"],  # type: ignore[typeddict-item]  # set by app.log
    )


def _address(scope: Scope) -> str | None:
    """Where a call comes from; None for what a proxy's header says and is no address."""
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
            if sent is not None:  # which of them counts is not for us to guess
                raise CredentialsRepeated
            sent = value
    scheme, _, token = (sent or b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
