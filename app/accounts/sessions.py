"""Sessions of the console, and the one-time codes that start them.

A session is a text that holds an API key; the console keeps it in a cookie. It is sealed
(AES-256-GCM) under keys that are derived from the master keys, so workers and restarts agree. The
database only records that a session was ended. Litestar's client-side session fixes its key and
``Secure`` before the vault is open and before there is a request, and answers some forged cookies
with 500; hence this one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets as entropy
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from app.storage.tables import ended_sessions
from app.transactions.clock import TOLERANCE
from events.tables import rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


LIFETIME = timedelta(hours=12)
# An expired session opens nothing. Its row is kept longer, in case the clock was ahead.
SESSIONS_KEPT = timedelta(days=30)
CODE_LIFETIME = timedelta(minutes=10)
_NONCE_BYTES = 12
_BOUND = b"backstory console session"


class Session(Struct, frozen=True, kw_only=True):
    """The content of the cookie. It ends when it expires, is ended, or its key is revoked."""

    key: str
    token: str  # each form of the session carries it
    expires_at: datetime

    def __repr__(self) -> str:
        return "Session()"

    @property
    def digest(self) -> bytes:
        """What the database stores of the session; it does not open it."""
        return hashlib.sha256(self.token.encode()).digest()


class Sessions:
    """Seals new sessions, and opens those that come back."""

    def __init__(self, keys: Iterable[bytes], clock: Callable[[], datetime]) -> None:
        self._keys = tuple(AESGCM(key) for key in keys)
        self._clock = clock

    def seal(self, key: str) -> str:
        """A new session of a valid API key, as the cookie holds it."""
        session = Session(
            key=key, token=entropy.token_urlsafe(32), expires_at=self._clock() + LIFETIME
        )
        nonce = entropy.token_bytes(_NONCE_BYTES)
        sealed = self._keys[0].encrypt(nonce, msgspec.json.encode(session), _BOUND)
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def unseal(self, text: str) -> Session | None:
        """The session that a text holds; None if it has ended, or is forged."""
        try:
            sealed = base64.urlsafe_b64decode(text.encode())
        except (binascii.Error, ValueError):
            return None
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for key in self._keys:
            with suppress(InvalidTag, ValueError):
                session = msgspec.json.decode(key.decrypt(nonce, rest, _BOUND), type=Session)
                return session if self._is_running(session) else None
        return None

    def _is_running(self, session: Session) -> bool:
        """A session that outlasts one started now was started by a wrong clock."""
        left = session.expires_at - self._clock()
        return timedelta(0) < left <= LIFETIME + TOLERANCE


class Codes:
    """One-time codes for keys. They live shortly, in this process's memory only."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._keys: dict[str, tuple[str, datetime]] = {}

    def issue(self, key: str) -> str:
        """A new code for a key."""
        code = entropy.token_urlsafe(32)
        self._keys[code] = (key, self._clock() + CODE_LIFETIME)
        return code

    def look(self, code: str) -> str | None:
        """The key of a code; None for an unknown or expired code."""
        key, expires_at = self._keys.get(code, (None, self._clock()))
        return key if self._clock() < expires_at else None

    def redeem(self, code: str) -> str | None:
        """As ``look``, and the code is used up."""
        key = self.look(code)
        self._keys.pop(code, None)
        return key


def is_session_ended(connection: sa.Connection, organization_id: int, digest: bytes) -> bool:
    """Whether a session was ended, by any process."""
    query = rows_of(ended_sessions, organization_id, ended_sessions.c.digest)
    return connection.scalar(query.where(ended_sessions.c.digest == digest)) is not None


def end_session(
    connection: sa.Connection,
    organization_id: int,
    digest: bytes,
    expires_at: datetime,
    long_ago: datetime,
) -> None:
    """End a session; delete the rows of those that expired before ``long_ago``.

    A session whose row is deleted too early opens again: take the moment from
    ``UnitOfWork.longer_ago``.
    """
    connection.execute(
        sa.delete(ended_sessions).where(
            ended_sessions.c.organization_id == organization_id,
            ended_sessions.c.expires_at < to_micros(long_ago),
        )
    )
    if not is_session_ended(connection, organization_id, digest):
        connection.execute(
            sa.insert(ended_sessions).values(
                organization_id=organization_id, digest=digest, expires_at=to_micros(expires_at)
            )
        )
