"""Triggers that make the events append-only, for every program that connects."""

from __future__ import annotations

from alembic import op

_SQLITE = {
    "events_are_not_updated": "BEFORE UPDATE ON events",
    "events_are_not_deleted": "BEFORE DELETE ON events",
    # INSERT OR REPLACE deletes without firing a delete trigger.
    "events_are_not_replaced": "BEFORE INSERT ON events WHEN EXISTS ("
    "SELECT 1 FROM events WHERE organization_id = NEW.organization_id "
    "AND sequence = NEW.sequence) OR EXISTS ("
    "SELECT 1 FROM events WHERE organization_id = NEW.organization_id "
    "AND assistant_id = NEW.assistant_id AND version = NEW.version) "
    "OR EXISTS (SELECT 1 FROM events WHERE rowid = NEW.rowid)",
}
_POSTGRESQL = {
    "events_are_not_updated": "BEFORE UPDATE ON events FOR EACH ROW",
    "events_are_not_deleted": "BEFORE DELETE ON events FOR EACH ROW",
    "events_are_not_truncated": "BEFORE TRUNCATE ON events FOR EACH STATEMENT",
}


def create() -> None:
    """Make the table ``events`` refuse everything except new rows."""
    if op.get_context().dialect.name == "sqlite":
        for name, moment in _SQLITE.items():
            op.execute(
                f"CREATE TRIGGER {name} {moment} "
                "BEGIN SELECT RAISE(ABORT, 'events are immutable'); END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION events_are_immutable() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'events are immutable'; END $$"
    )
    for name, moment in _POSTGRESQL.items():
        op.execute(f"CREATE TRIGGER {name} {moment} EXECUTE FUNCTION events_are_immutable()")


def drop(table: str) -> None:
    """Drop the triggers of the table, under its present name."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    for name in _SQLITE if is_sqlite else _POSTGRESQL:
        op.execute(f"DROP TRIGGER {name}" + ("" if is_sqlite else f" ON {table}"))
