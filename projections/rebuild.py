"""Fold the log again and write the views anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from projections import foldings, views

if TYPE_CHECKING:
    from collections.abc import Callable

_BATCH = 200  # rows


def rebuild(connection: sa.Connection, progress: Callable[[int], None]) -> None:
    """Delete the rows of the views and write them again from the log, for every organization.

    ``progress`` is called with numbers of events that are folded.
    """
    for organization_id in views.organization_ids(connection):
        for table in views.TABLES:
            connection.execute(sa.delete(table).where(table.c.organization_id == organization_id))
        rows = views.fold(connection, organization_id, progress)
        for table, batch in views.batches(rows, _BATCH):
            connection.execute(sa.insert(table), batch)
        foldings.record(connection, organization_id)
