"""Organizations and their users: find, name, make when missing."""

from __future__ import annotations

import secrets as entropy
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct

from app.naming import clean_email, clean_name, spellings
from app.storage.tables import users
from events.tables import organizations, rows_of, to_micros
from projections import foldings

if TYPE_CHECKING:
    from app.vault.keys import Vault


class User(Struct, frozen=True, kw_only=True):
    """A person or a program that owns API keys; names are unique in an organization."""

    id: int
    name: str
    email: str | None


def list_users(connection: sa.Connection, organization_id: int) -> list[User]:
    """The users of an organization, oldest first."""
    query = rows_of(users, organization_id).order_by(users.c.user_id)
    return [
        User(id=row.user_id, name=row.name, email=row.email) for row in connection.execute(query)
    ]


def emails(connection: sa.Connection, organization_id: int) -> dict[int, str | None]:
    """The e-mail addresses of an organization's users, by user id."""
    query = rows_of(users, organization_id, users.c.user_id, users.c.email)
    return {row.user_id: row.email for row in connection.execute(query)}


def organization_name(connection: sa.Connection, organization_id: int) -> str:
    """The name of an existing organization."""
    query = rows_of(organizations, organization_id, organizations.c.name)
    return str(connection.scalars(query).one())


def find_organization(connection: sa.Connection, name: str) -> int | None:
    """The organization of this name. For operators' commands; a request never looks up a name."""
    query = sa.select(organizations.c.organization_id, organizations.c.name).where(
        organizations.c.name.in_(spellings(name))  # an earlier release may not have trimmed it
    )
    rows = {row.name: row.organization_id for row in connection.execute(query)}
    return next((rows[spelling] for spelling in spellings(name) if spelling in rows), None)


def ensure_organization(connection: sa.Connection, vault: Vault, name: str, now: datetime) -> int:
    """The organization of this name; created, with its encryption keys, if it is missing.

    Raises ``InvalidSettings`` for an invalid name.
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
            # Random, since ids repeat across databases: no log can pass for another.
            origin=f"backstory/organizations/{organization_id}/{entropy.token_hex(16)}",
            frontier=b"",
            checkpoint_at=to_micros(now),
            checkpoint_sequence=0,
            observed_at=to_micros(now),
        )
    )
    vault.make_keys(connection, organization_id, now)
    foldings.record(connection, organization_id)
    return organization_id


def ensure_user(
    connection: sa.Connection, organization_id: int, name: str, email: str | None
) -> int:
    """The user of this name; created if missing. Stores the e-mail address, if one is given.

    Raises ``InvalidSettings`` for an invalid name or address.
    """
    name, email = clean_name(name), clean_email(email)
    query = rows_of(users, organization_id).where(users.c.name.in_(spellings(name)))
    rows = {row.name: row for row in connection.execute(query)}
    user = next((rows[spelling] for spelling in spellings(name) if spelling in rows), None)
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
