"""Names and descriptions as they are searched and sorted by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from projections.folding import fold

revision = "0007"
down_revision = "0006"

_AT_ONCE = 500
_FOLDED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_assistants = sa.table(
    "assistants",
    sa.column("organization_id", sa.Integer),
    sa.column("assistant_id", sa.Integer),
    sa.column("name", sa.Text),
    sa.column("description", sa.Text),
    sa.column("folded_name", sa.Text),
    sa.column("folded_description", sa.Text),
)


def upgrade() -> None:
    for name in ("folded_name", "folded_description"):
        # With a default, because processes of the release before may be writing rows beside.
        op.add_column("assistants", sa.Column(name, _FOLDED, nullable=False, server_default=""))
    _fill(op.get_bind())
    op.create_index("assistants_by_name", "assistants", ["organization_id", "folded_name"])


def _fill(connection: sa.Connection) -> None:
    column = _assistants.c
    key = (column.organization_id, column.assistant_id)
    filled = (
        sa.update(_assistants)
        .where(key[0] == sa.bindparam("of_organization"), key[1] == sa.bindparam("of_assistant"))
        .values(
            folded_name=sa.bindparam("of_name"), folded_description=sa.bindparam("of_description")
        )
    )
    query = sa.select(*key, column.name, column.description).order_by(*key).limit(_AT_ONCE)
    last = (0, 0)
    while rows := connection.execute(query.where(sa.tuple_(*key) > last)).all():
        connection.execute(
            filled,
            [
                {
                    "of_organization": row.organization_id,
                    "of_assistant": row.assistant_id,
                    "of_name": fold(row.name),
                    "of_description": fold(row.description or ""),
                }
                for row in rows
            ],
        )
        last = (rows[-1].organization_id, rows[-1].assistant_id)
