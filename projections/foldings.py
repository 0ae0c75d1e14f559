"""Foldings: with which versions of the settings each organization's views were folded.

A release folds the views again before it serves, unless there is a folding with its own settings.
If a folding with other settings follows its own, a newer release runs beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from events.shape import DIGEST
from events.tables import metadata, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

foldings = sa.Table(
    "foldings",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("settings_digest", sa.Text, primary_key=True),  # ``events.shape.DIGEST``
    sa.Column("position", sa.Integer, nullable=False),
)


def load(connection: sa.Connection, organization_id: int) -> list[str]:
    """The digests of the settings with which an organization's views were folded, newest last."""
    query = rows_of(foldings, organization_id, foldings.c.settings_digest)
    return list(connection.scalars(query.order_by(foldings.c.position)))


def record(connection: sa.Connection, organization_id: int) -> None:
    """Record that the views are folded with the settings of this release."""
    known = load(connection, organization_id)
    if known[-1:] == [DIGEST]:
        return
    earlier = (foldings.c.organization_id == organization_id, foldings.c.settings_digest == DIGEST)
    connection.execute(sa.delete(foldings).where(*earlier))
    last = rows_of(foldings, organization_id, sa.func.max(foldings.c.position))
    row = {
        "organization_id": organization_id,
        "settings_digest": DIGEST,
        "position": (connection.scalar(last) or 0) + 1,
    }
    connection.execute(sa.insert(foldings), [row])


def pending(connection: sa.Connection, organization_ids: Iterable[int]) -> list[int]:
    """Those of the organizations whose views were never folded with this release's settings."""
    query = sa.select(foldings.c.organization_id).where(foldings.c.settings_digest == DIGEST)
    return sorted(set(organization_ids).difference(connection.scalars(query)))


def superseded(connection: sa.Connection) -> bool:
    """Whether a release with other settings folded views after this release."""
    newer = foldings.alias()
    query = (
        sa.select(foldings.c.organization_id)
        .join(newer, newer.c.organization_id == foldings.c.organization_id)
        .where(
            foldings.c.settings_digest == DIGEST,
            newer.c.position > foldings.c.position,
        )
        .limit(1)
    )
    return connection.scalar(query) is not None
