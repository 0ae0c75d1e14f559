"""API keys: list, make, change and revoke them. Each change of a key is an event.

A key is stored as an HMAC, and shown once. The functions that record events work in the
transaction of a ``UnitOfWork``, so that the server and the command line share them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.accounts import permissions
from app.accounts.principals import Role
from app.accounts.tokens import PREFIX_LENGTH, make_token
from app.naming import clean_name
from app.storage.tables import api_keys
from app.vault.sealing import hash_token
from events import pointers
from events.changed import ApiKeyChanged, ApiKeyCreated, ApiKeyRevoked
from events.errors import DomainError
from events.setting_types import Moment
from events.tables import from_micros, rows_of, to_micros

if TYPE_CHECKING:
    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from app.vault.keys import Vault
    from events.pointers import Tree

_RECORDED = ("name", "key_prefix", "role", "user_id", "permissions", "is_active")


class KeyNotFound(DomainError):
    """The caller's organization has no such API key."""

    def __init__(self, key_id: int) -> None:
        super().__init__(key_id)
        self.key_id = key_id


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as the API shows it: without the token."""

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


def list_keys(connection: sa.Connection, organization_id: int) -> list[ApiKey]:
    """All keys of an organization, oldest first, including revoked ones."""
    query = rows_of(api_keys, organization_id).order_by(api_keys.c.key_id)
    return [_shown(row) for row in connection.execute(query)]


def find_key(connection: sa.Connection, organization_id: int, key_id: int) -> ApiKey:
    """One key of an organization; raises ``KeyNotFound``."""
    query = rows_of(api_keys, organization_id).where(api_keys.c.key_id == key_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise KeyNotFound(key_id)
    return _shown(row)


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


def create(
    unit: UnitOfWork,
    caller: Caller,
    *,
    user_id: int,
    name: str,
    role: Role,
    narrowed: dict[str, bool],
) -> tuple[ApiKey, str]:
    """Make a key for a user; returns it with its token, which is shown only once.

    Raises ``InvalidSettings`` for an invalid name.
    """
    name = clean_name(name)
    organization_id = caller.organization_id
    unit.log_head(organization_id)
    key_id, token = unit.write(
        add_key,
        unit.vault,
        organization_id=organization_id,
        user_id=user_id,
        name=name,
        role=role,
        permissions=narrowed,
        now=unit.clock(),
    )
    made = unit.read(find_key, organization_id, key_id)
    unit.record(caller, ApiKeyCreated, key_id=key_id, changes=pointers.diff({}, _members(made)))
    return made, token


def change(unit: UnitOfWork, caller: Caller, key_id: int, values: dict[str, Any]) -> ApiKey:
    """Rename, narrow, revoke or reactivate a key; raises ``KeyNotFound``.

    A change that changes nothing records nothing. Raises ``InvalidSettings`` for an invalid name,
    and for permissions that the key cannot have.
    """
    organization_id = caller.organization_id
    unit.log_head(organization_id)
    before = unit.read(find_key, organization_id, key_id)
    new = dict(values)  # work may run again, after a neighbour's failure
    if "name" in new:
        new["name"] = clean_name(new["name"])
    if "permissions" in new:
        merged = permissions.merge(Role[before.role], before.permissions, new["permissions"])
        new["permissions"] = merged
    after = msgspec.structs.replace(before, **new)
    changes = pointers.diff(_members(before), _members(after))
    if not changes:
        return before
    if "permissions" in new:
        new["permissions"] = msgspec.json.encode(new["permissions"])
    unit.write(change_key, organization_id, key_id, unit.clock(), **new)
    kind = ApiKeyRevoked if before.is_active and not after.is_active else ApiKeyChanged
    unit.record(caller, kind, key_id=key_id, changes=changes)
    return unit.read(find_key, organization_id, key_id)


def _members(key: ApiKey) -> Tree:
    return {name: getattr(key, name) for name in _RECORDED}


def add_key(
    connection: sa.Connection,
    vault: Vault,
    *,
    organization_id: int,
    user_id: int,
    name: str,
    role: Role,
    permissions: dict[str, Any],
    now: datetime,
) -> tuple[int, str]:
    """Insert a key; returns its id and its token, which is shown only once.

    Raises ``InvalidSettings`` for an invalid name.
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
            digest=hash_token(vault.keys(connection, organization_id).pepper, token),
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
    connection: sa.Connection, /, organization_id: int, key_id: int, now: datetime, **values: Any
) -> None:
    """Rename, narrow, revoke or reactivate a key."""
    connection.execute(
        sa.update(api_keys)
        .where(api_keys.c.organization_id == organization_id, api_keys.c.key_id == key_id)
        .values(updated_at=to_micros(now), **values)
    )


class Usage(Struct, frozen=True, kw_only=True):
    """How often a key was used since the last save, and when last."""

    organization_id: int
    key_id: int
    uses: int
    last: datetime


def add_usage(connection: sa.Connection, usage: list[Usage]) -> None:
    """Add uses that were counted in memory to the keys' totals."""
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
                "of_organization": key.organization_id,
                "of_key": key.key_id,
                "uses": key.uses,
                "last": to_micros(key.last),
            }
            for key in usage
        ],
    )
