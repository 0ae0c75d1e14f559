"""Alembic's entry: runs on the connection that ``app.storage.schema.migrate`` gives."""

from __future__ import annotations

from alembic import context

from events.tables import metadata
from projections.rebuild import rebuild

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    migrations = context.get_context()
    before = migrations.get_current_revision()
    context.run_migrations()
    if before not in (None, migrations.get_current_revision()):
        rebuild(connection, lambda _: None)  # a view that is new has no rows yet
