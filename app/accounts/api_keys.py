"""What callers and operators do with API keys: make, change, revoke. Each is an event.

The functions work in the transaction of a ``UnitOfWork``, so that the server and the command line
share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.accounts import permissions, principals
from app.accounts.principals import ApiKey, Role
from app.naming import clean_name
from events import pointers
from events.changed import ApiKeyChanged, ApiKeyCreated, ApiKeyRevoked

if TYPE_CHECKING:
    from app.accounts.authenticator import Authenticator
    from app.storage.database import Database
    from app.transactions.unit_of_work import Caller, UnitOfWork
    from events.pointers import Tree

_RECORDED = ("name", "key_prefix", "role", "user_id", "permissions", "is_active")


def create(
    unit: UnitOfWork,
    caller: Caller,
    *,
    user_id: int,
    name: str,
    role: Role,
    narrowed: dict[str, bool],
) -> tuple[ApiKey, str]:
    """Make a key for a user: as it is shown, and the token itself, which nobody sees again.

    Raises ``InvalidSettings`` for a name that is none.
    """
    name = clean_name(name)
    organization_id = caller.organization_id
    unit.counter(organization_id)
    key_id, token = principals.add_key(
        unit.connection,
        unit.vault,
        organization_id=organization_id,
        user_id=user_id,
        name=name,
        role=role,
        permissions=narrowed,
        now=unit.clock(),
    )
    made = principals.find_key(unit.connection, organization_id, key_id)
    unit.record(caller, ApiKeyCreated, key_id=key_id, changes=pointers.diff({}, _members(made)))
    return made, token


def change(unit: UnitOfWork, caller: Caller, key_id: int, values: dict[str, Any]) -> ApiKey:
    """Rename, narrow, revoke or bring back a key; raises ``KeyNotFound``.

    A change that changes nothing records nothing. Raises ``InvalidSettings`` for a name that is
    none, and for permissions that the key cannot have.
    """
    organization_id = caller.organization_id
    unit.counter(organization_id)
    before = principals.find_key(unit.connection, organization_id, key_id)
    wanted = dict(values)  # work may run again, after a neighbour's failure
    if "name" in wanted:
        wanted["name"] = clean_name(wanted["name"])
    if "permissions" in wanted:
        merged = permissions.merge(Role[before.role], before.permissions, wanted["permissions"])
        wanted["permissions"] = merged
    after = msgspec.structs.replace(before, **wanted)
    changes = pointers.diff(_members(before), _members(after))
    if not changes:
        return before
    if "permissions" in wanted:
        wanted["permissions"] = msgspec.json.encode(wanted["permissions"])
    principals.change_key(unit.connection, organization_id, key_id, unit.clock(), **wanted)
    kind = ApiKeyRevoked if before.is_active and not after.is_active else ApiKeyChanged
    unit.record(caller, kind, key_id=key_id, changes=changes)
    return principals.find_key(unit.connection, organization_id, key_id)


def _members(key: ApiKey) -> Tree:
    return {name: getattr(key, name) for name in _RECORDED}


class ApiKeys:
    """The keys of the caller's organization, to read."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    async def list(self, organization_id: int) -> list[ApiKey]:
        """Every key, oldest first, with the uses that were counted until now."""
        keys = await self._database.read(principals.list_keys, organization_id)
        return [self._authenticator.with_usage(organization_id, key) for key in keys]
