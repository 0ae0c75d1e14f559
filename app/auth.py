"""Authentication: an ASGI middleware, because a guard for each route costs half the throughput.

A key that was seen is remembered, so that the next request needs no query. Revocation takes
effect at once: it forgets the key before it is answered.
"""

from __future__ import annotations

import hashlib
import secrets as entropy
from http import HTTPStatus
from typing import TYPE_CHECKING

from litestar.enums import ScopeType
from litestar.response.base import ASGIResponse
from msgspec import Struct

from app import accounts
from app.problems import Unauthorized, answer_refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from litestar import Response
    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts import Principal
    from app.database import Database
    from app.unit import Unit
    from app.vault import Vault
    from app.writer import Writer

_PROTECTED = "/api/"
_PUBLIC = frozenset(("/api/v1/assistants/providers",))
_REMEMBERED = 10_000


class _Known(Struct):
    principal: Principal
    uses: int = 0
    last_used: datetime | None = None


class Authenticator:
    """Tells whose a key is, and counts its uses."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._salt = entropy.token_bytes(32)  # no token is kept in memory
        self._forgotten = 0

    async def principal(self, token: str) -> Principal:
        """Whose key this is; raises ``Unauthorized``."""
        if accounts.organization_of(token) is None:
            raise Unauthorized
        digest = hashlib.blake2b(token.encode(), key=self._salt, digest_size=32).digest()
        known = self._known.get(digest)
        if known is None:
            known = await self._look_up(token, digest)
        known.uses += 1
        known.last_used = self._clock()
        return known.principal

    async def _look_up(self, token: str, digest: bytes) -> _Known:
        forgotten = self._forgotten
        found = await self._database.read(accounts.authenticate, self._vault, token)
        if found is None:
            raise Unauthorized
        known = _Known(found)
        # What was read before a key was forgotten may be that key: answer, don't remember.
        if forgotten == self._forgotten and len(self._known) < _REMEMBERED:
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
        counted = [
            (known.principal, known.uses, known.last_used)
            for known in self._known.values()
            if known.uses
        ]
        for known in self._known.values():
            known.uses = 0
        if not counted:
            return

        def work(unit: Unit) -> None:
            for who, uses, last in counted:
                if last is not None:
                    accounts.add_usage(unit.connection, who.organization_id, who.key_id, uses, last)

        await writer.write(work)


class Authentication:
    """Lets requests below ``/api/`` through with their principal, or answers 401."""

    def __init__(self, app: ASGIApp, authenticator: Callable[[], Authenticator]) -> None:
        self._app = app
        self._authenticator = authenticator  # made when the application starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything that needs no key passes through."""
        path = scope.get("path", "")
        if scope["type"] != ScopeType.HTTP or not path.startswith(_PROTECTED) or path in _PUBLIC:
            await self._app(scope, receive, send)
            return
        try:
            who = await self._authenticator().principal(_token(scope))
        except Unauthorized as refusal:
            await _send(answer_refusal(refusal), scope, receive, send)
            return
        scope["principal"] = who  # type: ignore[typeddict-unknown-key]  # ours
        await self._app(scope, receive, send)


async def _send(response: Response[bytes], scope: Scope, receive: Receive, send: Send) -> None:
    answer = ASGIResponse(
        body=response.content,
        status_code=response.status_code or HTTPStatus.UNAUTHORIZED,
        media_type=response.media_type,
        headers=response.headers,
    )
    await answer(scope, receive, send)


def _token(scope: Scope) -> str:
    """The bearer token; '' where there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""
