"""A PostgreSQL whose tables Citus distributes over several nodes, by organization.

Known by Citus' function for it: plain PostgreSQL has none of this name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.storage.engines import engines
from events.tables import metadata, organizations

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = "organization_id"
_VERSION = "alembic_version"
_FUNCTION = sa.text("SELECT to_regproc('create_distributed_table') IS NOT NULL")
_DISTRIBUTED = sa.text("SELECT logicalrelid::text FROM pg_dist_partition")
# The guards of the log are triggers, which Citus takes where it is told that they are safe: these
# read no other row. In parallel, several tables of one transaction would not wait for each other.
_SETTINGS = (
    "SET LOCAL citus.enable_unsafe_triggers = on",
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
)
_DISTRIBUTE = sa.text(
    f"SELECT create_distributed_table(CAST(:table AS regclass), '{_KEY}', colocate_with => :with)"
)
_EVERYWHERE = sa.text("SELECT create_reference_table(CAST(:table AS regclass))")
_ON_NODES = sa.text("SELECT nodename, result FROM run_command_on_workers(:command)")


def is_installed(connection: sa.Connection) -> bool:
    """Whether the database has the extension."""
    if connection.dialect.name != "postgresql":
        return False
    found: bool = connection.execute(_FUNCTION).scalar_one()
    return found


def is_distributed(url: sa.URL) -> bool:
    """As ``is_installed``, of the database at a URL. A file is on one machine."""
    if engines(url).is_embedded:
        return False
    engine = engines(url).snapshots()
    try:
        with engine.connect() as connection:
            return is_installed(connection)
    finally:
        engine.dispose()


def distribute(connection: sa.Connection) -> list[str]:
    """Distribute the tables that are not yet, and return their names; within a transaction.

    An organization's rows of all tables are on one node. Does nothing without the extension.
    """
    if not is_installed(connection):
        return []
    for setting in _SETTINGS:
        connection.exec_driver_sql(setting)
    done = set(connection.scalars(_DISTRIBUTED))
    missing = [table for table in _tables() if table not in done]
    for table in missing:
        first = table == organizations.name
        colocated = "none" if first else organizations.name
        connection.execute(_DISTRIBUTE, {"table": table, "with": colocated})
    if _VERSION not in done:
        connection.execute(_EVERYWHERE, {"table": _VERSION})
    return missing


def settings_of_nodes(connection: sa.Connection, name: str) -> dict[str, str]:
    """A setting of the server on each node that holds rows, by the node's name."""
    rows = connection.execute(_ON_NODES, {"command": f"SHOW {name}"})
    return {row.nodename: row.result for row in rows}


def _tables() -> Iterator[str]:
    """All tables: the one first that the others are placed beside."""
    yield organizations.name
    for table in metadata.sorted_tables:
        if table is organizations:
            continue
        if _KEY not in table.c:
            raise TypeError(f"{table.name} belongs to no organization")
        yield table.name
