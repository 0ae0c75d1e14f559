"""With which settings each stored state was folded, and the views of each organization."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # The views are folded again after this, with the digest of today's settings.
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
