"""Roles, and the principal that an API key stands for."""

from __future__ import annotations

import hmac
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.accounts.tokens import organization_of
from app.storage.tables import api_keys, users
from app.vault.sealing import hash_token
from events.changed import Actor
from events.tables import organizations, rows_of

if TYPE_CHECKING:
    from app.vault.keys import Vault


REVEAL = "secrets:reveal"  # a scope; no role includes it, a key gets it when it is created


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


# -- the token


# -- reading


def authenticate(
    connection: sa.Connection, vault: Vault, token: str
) -> Principal | RejectedKey | None:
    """The principal of a token; None if it names no existing organization."""
    organization_id = organization_of(token)
    if organization_id is None or (pepper := vault.pepper(connection, organization_id)) is None:
        return None
    digest = hash_token(pepper, token)
    query = _principals(organization_id).where(api_keys.c.digest == digest)
    row = connection.execute(query).one_or_none()
    if row is None or not hmac.compare_digest(row.digest, digest):
        return RejectedKey(organization_id=organization_id, key_id=None)
    if not row.is_active:
        return RejectedKey(organization_id=organization_id, key_id=row.key_id)
    return _principal(row)


def principal_of(connection: sa.Connection, organization_id: int, key_id: int) -> Principal:
    """The principal of an existing key."""
    query = _principals(organization_id).where(api_keys.c.key_id == key_id)
    return _principal(connection.execute(query).one())


def _principals(organization_id: int) -> sa.Select[Any]:
    """Keys joined with their users and organizations: one query, since a request waits for it."""
    same_user = sa.and_(
        users.c.organization_id == api_keys.c.organization_id,
        users.c.user_id == api_keys.c.user_id,
    )
    same_organization = organizations.c.organization_id == api_keys.c.organization_id
    return (
        rows_of(
            api_keys,
            organization_id,
            *api_keys.c,
            users.c.email,
            organizations.c.name.label("organization_name"),
        )
        .join(users, same_user)
        .join(organizations, same_organization)
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


# -- writing, inside a write transaction


# -- sessions of the console
