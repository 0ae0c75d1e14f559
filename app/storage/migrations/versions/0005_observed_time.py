"""The time that each organization's servers have seen pass."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "organizations",
        sa.Column("observed_at", sa.BigInteger, nullable=False, server_default="0"),
    )
    # Until a server has seen more, the log says how late it was.
    op.execute("UPDATE organizations SET observed_at = last_occurred_at")
