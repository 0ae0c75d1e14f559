"""How many answers each organization has stored for its idempotency keys, and their size in bytes.

The servers count those that are stored already.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "answer_totals",
        sa.Column("organization_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
