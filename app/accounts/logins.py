"""Logins: whose a token is. Those that fail are limited by address, and recorded."""

from __future__ import annotations

from ipaddress import ip_address

from msgspec import Struct

from app.accounts.authenticator import Authenticator
from app.accounts.failed_logins import FailedLogin, FailedLogins
from app.accounts.login_limit import LoginLimit
from app.accounts.principals import Principal, RejectedKey, Seen
from app.accounts.tokens import PREFIX_LENGTH


class Logins(Struct, frozen=True, kw_only=True):
    """Finds the principals of tokens."""

    authenticator: Authenticator
    failed: FailedLogins
    limit: LoginLimit

    async def check(
        self, token: str, host: str | None, request_id: str, assistant_id: int | None = None
    ) -> tuple[Principal | None, Seen | None]:
        """The principal of a token, and what was read with its key; None without a valid key.

        ``host`` is the client's address, ``assistant_id`` the assistant that the request will
        read. Raises ``LimitExceeded`` before the key is looked up.
        """
        exceeded = self.limit.exceeded(host) if token else None
        if exceeded is not None and not self.authenticator.knows(token):
            raise exceeded
        found, seen = await self.authenticator.check(token, assistant_id)
        if isinstance(found, Principal):
            return found, seen
        if token:
            self.limit.count(host)
        if isinstance(found, RejectedKey):
            self.failed.note(_failed_login(found, token, host, request_id))
        return None, None


def _failed_login(key: RejectedKey, token: str, host: str | None, request_id: str) -> FailedLogin:
    return FailedLogin(
        key=key,
        key_prefix=token[:PREFIX_LENGTH],
        ip_address=_address(host),
        request_id=request_id,
    )


def _address(host: str | None) -> str | None:
    """The client's IP address; None where a proxy's header has something else."""
    try:
        return str(ip_address(host)) if host else None
    except ValueError:
        return None
