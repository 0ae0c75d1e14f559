"""With which settings each organization's views were folded whole, the newest last.

A release whose settings are not among them folds the views again before it serves. One whose
settings stand before others is the older of two that run beside each other.
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
    """The digests of the settings that an organization's views were folded with."""
    query = rows_of(foldings, organization_id, foldings.c.settings_digest)
    return list(connection.scalars(query.order_by(foldings.c.position)))


def record(connection: sa.Connection, organization_id: int) -> None:
    """Say that the views are folded with the settings of this release."""
    known = load(connection, organization_id)
    if known[-1:] == [DIGEST]:
        return
    ours = (foldings.c.organization_id == organization_id, foldings.c.settings_digest == DIGEST)
    connection.execute(sa.delete(foldings).where(*ours))
    last = rows_of(foldings, organization_id, sa.func.max(foldings.c.position))
    row = {
        "organization_id": organization_id,
        "settings_digest": DIGEST,
        "position": (connection.scalar(last) or 0) + 1,
    }
    connection.execute(sa.insert(foldings), [row])


def pending(connection: sa.Connection, organization_ids: Iterable[int]) -> list[int]:
    """The organizations whose views were never folded with the settings of this release."""
    query = sa.select(foldings.c.organization_id).where(foldings.c.settings_digest == DIGEST)
    return sorted(set(organization_ids).difference(connection.scalars(query)))


def superseded(connection: sa.Connection) -> bool:
    """Whether a release with other settings has folded views after this one."""
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
