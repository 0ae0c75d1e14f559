"""Organizations, users and their API keys.

A key is ``bks_`` + 30 base62 characters + 6 of CRC32, so that junk is turned away without a
query. The last 6 of the 30 say the organization, so that a look-up stays inside it; the other
24 are random (142 bits). A key is stored as an HMAC and shown once.
"""

from __future__ import annotations

import hmac
import secrets as entropy
import string
import zlib
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.naming import clean_email, clean_name, spellings
from app.storage.tables import api_keys, ended_sessions, users
from app.vault import store
from events.changed import Actor
from events.errors import Refusal
from events.settings import Moment
from events.tables import from_micros, organizations, rows_of, to_micros
from projections import foldings

if TYPE_CHECKING:
    from app.vault.store import Vault


_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_MARK = "bks_"
_RANDOM, _ORGANIZATION, _CHECKSUM = 24, 6, 6
_LENGTH = len(_MARK) + _RANDOM + _ORGANIZATION + _CHECKSUM
PREFIX_LENGTH = 12
REVEAL = "secrets:reveal"  # a scope that no role has: it is given to a key when it is made
MAX_ID = 2**31 - 1


class KeyNotFound(Refusal):
    """No such API key in the caller's organization."""

    def __init__(self, key_id: int) -> None:
        super().__init__(key_id)
        self.key_id = key_id


class Role(IntEnum):
    """What a key may do; each role includes the one before."""

    viewer = 1
    editor = 2
    admin = 3


class Principal(Struct, frozen=True, kw_only=True):
    """Who is calling, as the key says."""

    organization_id: int
    organization_name: str
    key_id: int
    key_name: str
    user_id: int
    user_email: str | None
    role: Role
    permissions: dict[str, Any]

    def may(self, scope: str) -> bool:
        """Whether the key was made with a scope."""
        return self.permissions.get(scope) is True

    @property
    def actor(self) -> Actor:
        """The principal as events name it."""
        return Actor(type="api_key", id=self.key_id, name=self.key_name, user_id=self.user_id)


class RejectedKey(Struct, frozen=True, kw_only=True):
    """Somebody whose key names an organization that there is, and is no good there."""

    organization_id: int
    key_id: int | None  # of a revoked key; None for one that never was


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as the API shows it: never the key itself."""

    id: int
    user_id: int
    name: str
    key_prefix: str
    role: str
    permissions: dict[str, Any]
    is_active: bool
    usage_count: int
    last_used_at: Moment | None
    rate_limit: dict[str, int] | None = None
    created_at: Moment
    updated_at: Moment


# -- the token


def make_token(organization_id: int) -> str:
    """A new key for an organization."""
    body = "".join(entropy.choice(_ALPHABET) for _ in range(_RANDOM))
    body += _base62(organization_id, _ORGANIZATION)
    return _MARK + body + _checksum(body)


def organization_of(token: str) -> int | None:
    """The organization that a key says it belongs to; None for what cannot be a key."""
    if len(token) != _LENGTH or not token.startswith(_MARK) or not token.isascii():
        return None
    body, checksum = token[len(_MARK) : -_CHECKSUM], token[-_CHECKSUM:]
    if not body.isalnum() or checksum != _checksum(body):
        return None
    organization_id = 0
    for character in body[_RANDOM:]:
        organization_id = organization_id * len(_ALPHABET) + _DIGITS[character]
    return organization_id if organization_id <= MAX_ID else None


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


# -- reading


def authenticate(
    connection: sa.Connection, safe: Vault, token: str
) -> Principal | RejectedKey | None:
    """Whose key this is; None where it names no organization."""
    organization_id = organization_of(token)
    if organization_id is None or (pepper := safe.pepper(connection, organization_id)) is None:
        return None
    digest = store.digest(pepper, token)
    found = _principals(organization_id).where(api_keys.c.digest == digest)
    row = connection.execute(found).one_or_none()
    if row is None or not hmac.compare_digest(row.digest, digest):
        return RejectedKey(organization_id=organization_id, key_id=None)
    if not row.is_active:
        return RejectedKey(organization_id=organization_id, key_id=row.key_id)
    return _principal(row)


def principal_of(connection: sa.Connection, organization_id: int, key_id: int) -> Principal:
    """The principal that an existing key stands for."""
    found = _principals(organization_id).where(api_keys.c.key_id == key_id)
    return _principal(connection.execute(found).one())


def _principals(organization_id: int) -> sa.Select[Any]:
    """Keys with whose they are: one query, because a request may wait for it."""
    mine = users.c.organization_id == api_keys.c.organization_id
    ours = organizations.c.organization_id == api_keys.c.organization_id
    return (
        rows_of(
            api_keys,
            organization_id,
            *api_keys.c,
            users.c.email,
            organizations.c.name.label("organization_name"),
        )
        .join(users, sa.and_(mine, users.c.user_id == api_keys.c.user_id))
        .join(organizations, ours)
    )


def _principal(row: sa.Row[Any]) -> Principal:
    permissions = msgspec.json.decode(row.permissions)
    return Principal(
        organization_id=row.organization_id,
        organization_name=row.organization_name,
        key_id=row.key_id,
        key_name=row.name,
        user_id=row.user_id,
        user_email=row.email,
        role=_effective(Role[row.role], permissions),
        permissions=permissions,
    )


def _effective(role: Role, permissions: dict[str, Any]) -> Role:
    """Permissions narrow a role, they never widen it."""
    if permissions.get("write") is False:
        return Role.viewer
    if permissions.get("admin") is False:
        return min(role, Role.editor)
    return role


def list_keys(connection: sa.Connection, organization_id: int) -> list[ApiKey]:
    """Every key of an organization, oldest first, revoked ones too."""
    query = rows_of(api_keys, organization_id).order_by(api_keys.c.key_id)
    return [_shown(row) for row in connection.execute(query)]


def find_key(connection: sa.Connection, organization_id: int, key_id: int) -> ApiKey:
    """One key of an organization; raises ``KeyNotFound``."""
    query = rows_of(api_keys, organization_id).where(api_keys.c.key_id == key_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise KeyNotFound(key_id)
    return _shown(row)


def emails(connection: sa.Connection, organization_id: int) -> dict[int, str | None]:
    """The addresses of an organization's users, by user id."""
    query = rows_of(users, organization_id, users.c.user_id, users.c.email)
    return {row.user_id: row.email for row in connection.execute(query)}


def organization_name(connection: sa.Connection, organization_id: int) -> str:
    """The name of an organization that there is."""
    query = rows_of(organizations, organization_id, organizations.c.name)
    return str(connection.scalars(query).one())


def find_organization(connection: sa.Connection, name: str) -> int | None:
    """The organization of this name: for the operator's commands, never for a request."""
    query = sa.select(organizations.c.organization_id, organizations.c.name).where(
        organizations.c.name.in_(spellings(name))  # an earlier release may not have trimmed it
    )
    found = {row.name: row.organization_id for row in connection.execute(query)}
    return next((found[one] for one in spellings(name) if one in found), None)


def _shown(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.key_id,
        user_id=row.user_id,
        name=row.name,
        key_prefix=row.prefix,
        role=row.role,
        permissions=msgspec.json.decode(row.permissions),
        is_active=row.is_active,
        usage_count=row.usage_count,
        last_used_at=None if row.last_used_at is None else from_micros(row.last_used_at),
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )


# -- writing, inside a write transaction


def ensure_organization(connection: sa.Connection, safe: Vault, name: str, now: datetime) -> int:
    """The organization of this name, made with its keys when it is missing.

    Raises ``InvalidSettings`` for a name that is none.
    """
    if (known := find_organization(connection, name)) is not None:
        return known
    name = clean_name(name, ("body", "organization"))
    last = connection.scalar(sa.select(sa.func.max(organizations.c.organization_id)))
    organization_id = (last or 0) + 1
    connection.execute(
        sa.insert(organizations).values(
            organization_id=organization_id,
            name=name,
            created_at=to_micros(now),
            sequence=0,
            last_assistant_id=0,
            last_occurred_at=to_micros(now),
            # Random, because ids count alike in every database: no log passes for another.
            origin=f"backstory/organizations/{organization_id}/{entropy.token_hex(16)}",
            frontier=b"",
            checkpoint_at=to_micros(now),
            checkpoint_sequence=0,
            observed_at=to_micros(now),
        )
    )
    safe.make_keys(connection, organization_id, now)
    foldings.record(connection, organization_id)
    return organization_id


def ensure_user(
    connection: sa.Connection, organization_id: int, name: str, email: str | None
) -> int:
    """The user of this name, made when missing; an e-mail address that is given is kept.

    Raises ``InvalidSettings`` for a name or an address that is none.
    """
    name, email = clean_name(name), clean_email(email)
    query = rows_of(users, organization_id).where(users.c.name.in_(spellings(name)))
    found = {row.name: row for row in connection.execute(query)}
    user = next((found[one] for one in spellings(name) if one in found), None)
    if user is None:
        last = connection.scalar(rows_of(users, organization_id, sa.func.max(users.c.user_id)))
        row = {"organization_id": organization_id, "user_id": (last or 0) + 1}
        connection.execute(sa.insert(users).values(row | {"name": name, "email": email}))
        return row["user_id"]
    if email is not None and email != user.email:
        connection.execute(
            sa.update(users)
            .where(users.c.organization_id == organization_id, users.c.user_id == user.user_id)
            .values(email=email)
        )
    return int(user.user_id)


def add_key(
    connection: sa.Connection,
    safe: Vault,
    *,
    organization_id: int,
    user_id: int,
    name: str,
    role: Role,
    permissions: dict[str, Any],
    now: datetime,
) -> tuple[int, str]:
    """Make a key: its id, and the token that is shown this once.

    Raises ``InvalidSettings`` for a name that is none.
    """
    token = make_token(organization_id)
    last = connection.scalar(rows_of(api_keys, organization_id, sa.func.max(api_keys.c.key_id)))
    key_id = (last or 0) + 1
    connection.execute(
        sa.insert(api_keys).values(
            organization_id=organization_id,
            key_id=key_id,
            user_id=user_id,
            name=clean_name(name),
            prefix=token[:PREFIX_LENGTH],
            digest=store.digest(safe.keys(connection, organization_id).pepper, token),
            role=role.name,
            permissions=msgspec.json.encode(permissions),
            is_active=True,
            created_at=to_micros(now),
            updated_at=to_micros(now),
            usage_count=0,
        )
    )
    return key_id, token


def change_key(
    connection: sa.Connection, organization_id: int, key_id: int, now: datetime, **values: Any
) -> None:
    """Rename, narrow, revoke or bring back a key."""
    connection.execute(
        sa.update(api_keys)
        .where(api_keys.c.organization_id == organization_id, api_keys.c.key_id == key_id)
        .values(updated_at=to_micros(now), **values)
    )


class Usage(Struct, frozen=True, kw_only=True):
    """Requests that a key made."""

    organization_id: int
    key_id: int
    uses: int
    last: datetime


def add_usage(connection: sa.Connection, usage: list[Usage]) -> None:
    """Count requests of some keys; counted in memory, written now and then."""
    connection.execute(
        sa.update(api_keys)
        .where(
            api_keys.c.organization_id == sa.bindparam("of_organization"),
            api_keys.c.key_id == sa.bindparam("of_key"),
        )
        .values(
            usage_count=api_keys.c.usage_count + sa.bindparam("uses"),
            last_used_at=sa.bindparam("last"),
        ),
        [
            {
                "of_organization": one.organization_id,
                "of_key": one.key_id,
                "uses": one.uses,
                "last": to_micros(one.last),
            }
            for one in usage
        ],
    )


# -- sessions of the console

# An expired session opens nothing. It is kept longer, in case the clock was ahead for a while.
SESSIONS_KEPT = timedelta(days=30)


def is_session_ended(connection: sa.Connection, organization_id: int, digest: bytes) -> bool:
    """Whether a session was ended, by whichever process."""
    query = rows_of(ended_sessions, organization_id, ended_sessions.c.digest)
    return connection.scalar(query.where(ended_sessions.c.digest == digest)) is not None


def end_session(
    connection: sa.Connection,
    organization_id: int,
    digest: bytes,
    expires_at: datetime,
    long_ago: datetime,
) -> None:
    """End a session for good; forget those that expired before ``long_ago``.

    A session that is forgotten too early opens again: let ``UnitOfWork.longer_ago`` say the moment.
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
