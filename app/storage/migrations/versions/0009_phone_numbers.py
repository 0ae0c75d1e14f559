"""Phone numbers: which assistant has each, and which one had it after each of its events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "phone_numbers",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("phone_number_id", sa.Integer, primary_key=True),
        sa.Column("phone_number", sa.Text, nullable=False),
        sa.Column("friendly_name", sa.Text),
        sa.Column("assistant_id", sa.Integer),
        sa.Column("assigned_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("organization_id", "phone_number", name="phone_numbers_number"),
    )
    op.create_index(
        "phone_numbers_of_assistant", "phone_numbers", ["organization_id", "assistant_id"]
    )
    op.create_table(
        "phone_number_events",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("phone_number_id", sa.Integer, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("assistant_id", sa.Integer),
    )
