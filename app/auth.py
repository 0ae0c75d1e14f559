"""Authentication: an ASGI middleware, because a guard for each route costs half the throughput.

A key that was seen is remembered, so that the next request needs no query. Revocation takes
effect at once: it forgets the key before it is answered. Where other processes revoke keys, too,
each is read anew when it was read longer ago than reads may be stale.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets as entropy
import time
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from litestar.enums import ScopeType
from msgspec import Struct, structs

from app import accounts
from app.accounts import PREFIX_LENGTH, Principal, Stranger
from app.problems import CredentialsRepeated
from app.refusals import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts import ApiKey
    from app.database import Database
    from app.refusals import Refusals
    from app.vault import Vault
    from app.writer import Writer

_REMEMBERED = 10_000


class _Known(Struct):
    principal: Principal
    read_at: float  # of ``time.monotonic``, which nobody sets back
    uses: int = 0
    last_used: datetime | None = None


class Authenticator:
    """Tells whose a key is, and counts its uses."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], datetime],
        staleness: timedelta = timedelta(0),
    ) -> None:
        self._database = database
        self._staleness = staleness
        self._vault = vault
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._salt = entropy.token_bytes(32)  # no token is kept in memory
        self._forgotten = 0

    async def principal(self, token: str) -> Principal | Stranger | None:
        """Whose key this is; None where it names no organization."""
        digest = hashlib.blake2b(token.encode(), key=self._salt, digest_size=32).digest()
        known = self._known.get(digest)
        if known is None or self._is_stale(known):
            looked_up = await self._look_up(token, digest)
            if not isinstance(looked_up, _Known):
                return looked_up
            known = looked_up
        known.uses += 1
        known.last_used = self._clock()
        return known.principal

    def _is_stale(self, known: _Known) -> bool:
        if self._database.is_embedded:
            return False
        return time.monotonic() - known.read_at >= self._staleness.total_seconds()

    async def _look_up(self, token: str, digest: bytes) -> _Known | Stranger | None:
        if accounts.organization_of(token) is None:
            return None
        forgotten, began = self._forgotten, time.monotonic()
        found = await self._database.read(accounts.authenticate, self._vault, token)
        if not isinstance(found, Principal):
            return found
        # What was read before a key was forgotten may be that key: answer, don't remember.
        if forgotten != self._forgotten:
            return _Known(found, began)
        if (known := self._known.get(digest)) is not None:  # whose uses are counted already
            known.principal, known.read_at = found, began
            return known
        known = _Known(found, began)
        if len(self._known) < _REMEMBERED:
            self._known[digest] = known
        return known

    def forget(self, organization_id: int, key_id: int) -> None:
        """Read a key anew at its next use: it was changed or revoked."""
        self._forgotten += 1
        for digest, known in list(self._known.items()):
            who = known.principal
            if (who.organization_id, who.key_id) == (organization_id, key_id):
                del self._known[digest]

    async def save_usage(self, writer: Writer) -> None:
        """Write the uses that were counted since the last time."""
        counted = [known for known in self._known.values() if known.uses]
        await asyncio.gather(*(_save(writer, known, known.uses) for known in counted))

    def with_usage(self, organization_id: int, key: ApiKey) -> ApiKey:
        """A key with the uses that are not written yet."""
        for known in self._known.values():
            who = known.principal
            if (who.organization_id, who.key_id) == (organization_id, key.id) and known.uses:
                return structs.replace(
                    key, usage_count=key.usage_count + known.uses, last_used_at=known.last_used
                )
        return key


async def _save(writer: Writer, known: _Known, uses: int) -> None:
    who, last = known.principal, known.last_used
    if last is not None:
        await writer.write(
            who.organization_id,
            lambda unit: accounts.add_usage(
                unit.connection, who.organization_id, who.key_id, uses, last
            ),
        )
        known.uses -= uses


class Authentication:
    """Finds out who calls, and refuses nobody.

    ``app.access`` does refuse, once it is known which route a request is for: no path is judged
    here, so that no spelling of one gets around the key.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Callable[[], Authenticator],
        refusals: Callable[[], Refusals],
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
        if isinstance(who, Stranger):
            self._refusals().note(attempt(scope, token, who))
        else:
            scope["principal"] = who  # type: ignore[typeddict-unknown-key]  # ours


def attempt(scope: Scope, token: str, stranger: Stranger) -> Attempt:
    """A call with a key that is no good, as it is noted."""
    return Attempt(
        stranger=stranger,
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
