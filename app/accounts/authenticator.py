"""Authentication: an ASGI middleware, because a guard for each route costs half the throughput.

A key that was seen is remembered, so that the next request needs no query. Revocation takes
effect at once: it forgets the key before it is answered. Where other processes revoke keys, too,
each is read anew when it was read longer ago than reads may be stale.
"""

from __future__ import annotations

import hashlib
import secrets as entropy
import time
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from litestar.enums import ScopeType
from msgspec import Struct, structs

from app.accounts import principals
from app.accounts.failed_logins import Attempt
from app.accounts.principals import PREFIX_LENGTH, Principal, Stranger
from app.api.problems import CredentialsRepeated
from app.lru import Bounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.failed_logins import Refusals
    from app.accounts.principals import ApiKey
    from app.storage.database import Database
    from app.transactions.unit_of_work import Unit
    from app.transactions.write_queue import Writer
    from app.vault.store import Vault

_MOST_KNOWN = 10_000  # keys that are cached
_SAVED_AT_ONCE = 100  # keys whose usage is written by one statement, so that writes get between


class _Known(Struct):
    principal: Principal
    read_at: float  # of ``time.monotonic``, which nobody sets back
    key: tuple[int, int]  # the organization's id and the key's


class _Uses(Struct):
    """What is not written yet of a key's usage."""

    count: int
    last: datetime


class Authenticator:
    """Tells whose a key is, and counts its uses."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], datetime],
        staleness: timedelta = timedelta(0),
        most_known: int = _MOST_KNOWN,
    ) -> None:
        self._database = database
        self._staleness = staleness
        self._vault = vault
        self._clock = clock
        self._known: Bounded[bytes, _Known] = Bounded(most_known)
        self._unsaved: dict[tuple[int, int], _Uses] = {}
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
        self._count(known.key)
        return known.principal

    def _count(self, key: tuple[int, int]) -> None:
        uses = self._unsaved.get(key)
        if uses is None:
            self._unsaved[key] = _Uses(1, self._clock())
        else:
            uses.count += 1
            uses.last = self._clock()

    def _is_stale(self, known: _Known) -> bool:
        if self._database.is_embedded:
            return False
        return time.monotonic() - known.read_at >= self._staleness.total_seconds()

    async def _look_up(self, token: str, digest: bytes) -> _Known | Stranger | None:
        if principals.organization_of(token) is None:
            return None
        forgotten, began = self._forgotten, time.monotonic()
        found = await self._database.read(principals.authenticate, self._vault, token)
        if not isinstance(found, Principal):
            return found
        known = _Known(found, began, (found.organization_id, found.key_id))
        # What was read before a key was forgotten may be that key: answer, don't remember.
        if forgotten == self._forgotten:
            self._known.put(digest, known, 1)
        return known

    def forget(self, organization_id: int, key_id: int) -> None:
        """Read a key anew at its next use: it was changed or revoked."""
        self._forgotten += 1
        for digest in list(self._known):
            known = self._known.peek(digest)
            if known is not None and known.key == (organization_id, key_id):
                self._known.drop(digest)

    async def save_usage(self, writer: Writer) -> None:
        """Write the uses that were counted since the last time, some keys at a time."""
        keys = sorted(self._unsaved)  # every process locks the rows in this order
        for start in range(0, len(keys), _SAVED_AT_ONCE):
            portion = keys[start : start + _SAVED_AT_ONCE]
            counted = {key: structs.replace(self._unsaved[key]) for key in portion}
            usage = [
                principals.Usage(organization_id=one, key_id=other, uses=uses.count, last=uses.last)
                for (one, other), uses in counted.items()
            ]
            await writer.write(None, partial(_add_usage, usage))
            for key, uses in counted.items():
                self._forget_saved(key, uses.count)

    def _forget_saved(self, key: tuple[int, int], count: int) -> None:
        """What was counted while it was written stays, to be written the next time."""
        uses = self._unsaved[key]
        uses.count -= count
        if uses.count == 0:
            del self._unsaved[key]

    def with_usage(self, organization_id: int, key: ApiKey) -> ApiKey:
        """A key with the uses that are not written yet."""
        uses = self._unsaved.get((organization_id, key.id))
        if uses is None:
            return key
        return structs.replace(
            key, usage_count=key.usage_count + uses.count, last_used_at=uses.last
        )


def _add_usage(usage: list[principals.Usage], unit: Unit) -> None:
    principals.add_usage(unit.connection, usage)


class Authentication:
    """Finds out who calls, and refuses nobody.

    ``app.api.access`` does refuse, once it is known which route a request is for: no path is judged
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
