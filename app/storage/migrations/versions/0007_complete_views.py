"""With which settings each state was folded, and names and descriptions as they are compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


_FOLDED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    # The views are folded again after this. The defaults are for processes of the release before,
    # which may be writing rows beside.
    for table in ("assistants", "keyframes"):
        op.add_column(
            table, sa.Column("settings_digest", sa.Text, nullable=False, server_default="")
        )
    op.create_table(
        "foldings",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("settings_digest", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    for name in ("folded_name", "folded_description"):
        op.add_column("assistants", sa.Column(name, _FOLDED, nullable=False, server_default=""))
    op.create_index("assistants_by_name", "assistants", ["organization_id", "folded_name"])
