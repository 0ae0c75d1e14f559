"""The tree over each organization's log, and what the audit log is searched by."""

from __future__ import annotations

import json
import secrets as entropy

import sqlalchemy as sa
from alembic import op

from app.storage.migrations import guards
from events import merkle

revision = "0002"
down_revision = "0001"

_ROWS_AT_ONCE = 500
_SEARCHED = {
    "events_of_type": "type",
    "events_of_assistant": "assistant_id",
    "events_of_key": "key_id",
    "events_of_user": "user_id",
}


def upgrade() -> None:
    """Every event that is there gets its leaf: the log is written anew, byte for byte."""
    connection = op.get_bind()
    _add_to_organizations(connection)
    op.rename_table("events", "old_events")
    guards.drop("old_events")
    if connection.dialect.name == "postgresql":  # where names of keys are the whole schema's
        for name in ("events_pkey", "events_stream"):
            op.execute(f"ALTER TABLE old_events RENAME CONSTRAINT {name} TO old_{name}")
    _create_events()
    organizations = connection.execute(sa.text("SELECT organization_id FROM organizations"))
    for organization_id in organizations.scalars().all():
        _copy_events(connection, organization_id)
    op.drop_table("old_events")
    for name, column in _SEARCHED.items():
        op.create_index(name, "events", ["organization_id", column, "sequence"])
    guards.create()


def _add_to_organizations(connection: sa.Connection) -> None:
    for column in (
        sa.Column("origin", sa.Text, nullable=False, server_default=""),
        sa.Column("frontier", sa.LargeBinary, nullable=False, server_default=""),
        sa.Column("checkpoint_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("checkpoint_sequence", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("organizations", column)
    named = sa.text(
        "UPDATE organizations SET origin = :origin, frontier = :frontier,"
        " checkpoint_at = created_at WHERE organization_id = :organization_id"
    )
    ids = connection.execute(sa.text("SELECT organization_id FROM organizations")).scalars().all()
    for organization_id in ids:
        origin = f"backstory/organizations/{organization_id}/{entropy.token_hex(16)}"
        given = {"origin": origin, "frontier": b"", "organization_id": organization_id}
        connection.execute(named, given)


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("assistant_id", sa.Integer),
        sa.Column("version", sa.BigInteger),
        sa.Column("key_id", sa.Integer),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("organization_id", "assistant_id", "version", name="events_stream"),
    )


def _copy_events(connection: sa.Connection, organization_id: int) -> None:
    page = sa.text(
        "SELECT * FROM old_events WHERE organization_id = :organization_id AND sequence > :after"
        " ORDER BY sequence LIMIT :count"
    )
    insert = sa.text(
        "INSERT INTO events (organization_id, sequence, assistant_id, version, user_id, type,"
        " occurred_at, body, hashes) VALUES (:organization_id, :sequence, :assistant_id, :version,"
        " :user_id, :type, :occurred_at, :body, :hashes)"
    )
    frontier, after = b"", 0
    while True:
        given = {"organization_id": organization_id, "after": after, "count": _ROWS_AT_ONCE}
        rows = [dict(row) for row in connection.execute(page, given).mappings()]
        if not rows:
            break
        for row in rows:
            frontier, row["hashes"] = merkle.add(frontier, row["sequence"] - 1, row["body"])
            row["user_id"] = json.loads(row["body"])["actor"]["user_id"]
        connection.execute(insert, rows)
        after = rows[-1]["sequence"]
    connection.execute(
        sa.text("UPDATE organizations SET frontier = :frontier WHERE organization_id = :id"),
        {"frontier": frontier, "id": organization_id},
    )
