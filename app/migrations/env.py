"""Alembic's entry: runs on the connection that ``app.database.migrate`` gives."""

from __future__ import annotations

from alembic import context

from app import vault  # noqa: F401  # its tables, and through it all others, are registered
from events.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
