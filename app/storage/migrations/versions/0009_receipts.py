"""Receipts: which version of an assistant each call ran."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("receipt_id", sa.Text, nullable=False),
        sa.Column("assistant_id", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("resolved_at", sa.BigInteger, nullable=False),
        sa.Column("caller_hash", sa.LargeBinary),
    )
    op.create_index(
        "receipts_of_assistant",
        "receipts",
        ["organization_id", "assistant_id", "resolved_at", "call_id"],
    )
    op.create_index("receipts_by_time", "receipts", ["organization_id", "resolved_at"])
