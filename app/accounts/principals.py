"""Roles, and the principal that an API key stands for."""

from __future__ import annotations

import hmac
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.storage.tables import api_keys, users
from app.transactions.state_cache import Head
from events.changed import Actor
from events.prepared import Prepared
from events.tables import OF_ORGANIZATION, organizations, rows_of
from projections.current import Stamp, assistants

if TYPE_CHECKING:
    from collections.abc import Sequence

# Scopes: no role includes them, a key gets them when it is created.
REVEAL = "secrets:reveal"
RESOLVE = "calls:resolve"
SCOPES = (REVEAL, RESOLVE)


class Role(IntEnum):
    """What a key may do; each role includes the one before."""

    viewer = 1
    editor = 2
    admin = 3


class Principal(Struct, frozen=True, kw_only=True):
    """The caller: an API key with its organization, user, role and scopes."""

    organization_id: int
    organization_name: str
    key_id: int
    key_name: str
    user_id: int
    user_email: str | None
    role: Role
    permissions: dict[str, Any]

    def may(self, scope: str) -> bool:
        """Whether the key has a scope."""
        return self.permissions.get(scope) is True

    @property
    def actor(self) -> Actor:
        """The principal as events name it."""
        return Actor(type="api_key", id=self.key_id, name=self.key_name, user_id=self.user_id)


class RejectedKey(Struct, frozen=True, kw_only=True):
    """A key that names an existing organization, but is unknown or revoked there."""

    organization_id: int
    key_id: int | None  # None for a key that never existed


class Seen(Struct, frozen=True, kw_only=True):
    """What was read together with a key, at one moment: requests need not read it again."""

    read_at: float  # ``time.monotonic`` before
    head: Head  # of the organization's log
    stamps: dict[int, Stamp]  # by id, of the existing ones among the assistants asked for


class KeyRow(NamedTuple):
    """A row of ``KEY``: the key with its user and its organization."""

    digest: bytes
    key_id: int
    is_active: bool
    name: str
    user_id: int
    role: str
    permissions: bytes
    user_email: str | None
    organization_id: int
    organization_name: str
    sequence: int
    frontier: bytes


_OF_KEY = len(KeyRow._fields)  # columns; those behind them are of an assistant


def _keys() -> sa.Select[Any]:
    """Keys with their users and organizations: one query, since a request waits for it."""
    key, user, organization = api_keys.c, users.c, organizations.c
    columns = (key.digest, key.key_id, key.is_active, key.name, key.user_id, key.role)
    of_organization = (organization.organization_id, organization.name)
    head = (organization.sequence, organization.frontier)
    same_user = sa.and_(user.organization_id == key.organization_id, user.user_id == key.user_id)
    return (
        rows_of(
            api_keys,
            OF_ORGANIZATION,
            *columns,
            key.permissions,
            user.email,
            *of_organization,
            *head,
        )
        .join(users, same_user)
        .join(organizations, organization.organization_id == key.organization_id)
    )


def _by_digest() -> sa.Select[Any]:
    digest = sa.bindparam("digest", type_=sa.LargeBinary)
    return _keys().where(api_keys.c.digest == digest)


def _with_stamps() -> sa.Select[Any]:
    column = assistants.c
    ids = sa.bindparam("assistant_ids", type_=sa.ARRAY(sa.Integer))
    is_asked_for = sa.and_(
        column.organization_id == OF_ORGANIZATION,
        column.assistant_id == sa.any_(ids),
        column.deleted.is_(False),
    )
    stamps = (column.assistant_id, column.version, column.updated_at)
    return _by_digest().add_columns(*stamps).outerjoin(assistants, is_asked_for)


KEY = Prepared(lambda _: _by_digest())
"""The key with a digest."""
KEY_AND_STAMPS = Prepared(lambda _: _with_stamps())
"""As ``KEY``, once for each of the existing assistants among some, with its id and stamp.

For PostgreSQL, where several processes write, and a read compares stamps.
"""
_KEY_BY_ID = Prepared(
    lambda _: _keys().where(api_keys.c.key_id == sa.bindparam("key_id", type_=sa.Integer))
)


def caller_of(rows: Sequence[Any], organization_id: int, digest: bytes) -> Principal | RejectedKey:
    """The principal of the key with a digest, from the rows of its query; they may be none."""
    row = KeyRow._make(rows[0][:_OF_KEY]) if rows else None
    if row is None or not hmac.compare_digest(row.digest, digest):
        return RejectedKey(organization_id=organization_id, key_id=None)
    if not row.is_active:
        return RejectedKey(organization_id=organization_id, key_id=row.key_id)
    return _principal(row)


def seen_beside(rows: Sequence[Any], read_at: float) -> Seen:
    """What the rows of an existing key's query say beside it."""
    row = KeyRow._make(rows[0][:_OF_KEY])
    stamps = {row[_OF_KEY]: tuple(row[_OF_KEY + 1 :]) for row in rows if len(row) > _OF_KEY}
    return Seen(read_at=read_at, head=(row.sequence, row.frontier), stamps=stamps)


def principal_of(connection: sa.Connection, organization_id: int, key_id: int) -> Principal:
    """The principal of an existing key."""
    rows = _KEY_BY_ID.run(connection, {"organization_id": organization_id, "key_id": key_id})
    return _principal(KeyRow._make(rows.one()))


def _principal(row: KeyRow) -> Principal:
    permissions = msgspec.json.decode(row.permissions)
    return Principal(
        organization_id=row.organization_id,
        organization_name=row.organization_name,
        key_id=row.key_id,
        key_name=row.name,
        user_id=row.user_id,
        user_email=row.user_email,
        role=effective(Role[row.role], permissions),
        permissions=permissions,
    )


def effective(role: Role, permissions: dict[str, Any]) -> Role:
    """Permissions narrow a role, they never widen it."""
    if permissions.get("write") is False:
        return Role.viewer
    if permissions.get("admin") is False:
        return min(role, Role.editor)
    return role
