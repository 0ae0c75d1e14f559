"""Keyframes, labels, reversals, policies, and the answers that a retry gets again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "keyframes",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("assistant_id", sa.Integer, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("blame", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "keyframes_by_time",
        "keyframes",
        ["organization_id", "assistant_id", "occurred_at", "version"],
    )
    op.create_table(
        "labels",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("assistant_id", sa.Integer, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.UniqueConstraint("organization_id", "assistant_id", "label", name="labels_label"),
    )
    op.create_table(
        "reversals",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("assistant_id", sa.Integer, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("first_version", sa.BigInteger, nullable=False),
        sa.Column("last_version", sa.BigInteger, nullable=False),
        sa.Column("paths", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("organization_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "answers",
        sa.Column("organization_id", sa.Integer, primary_key=True),
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("idempotency_key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("answered_at", sa.BigInteger, nullable=False),
    )
    op.create_index("answers_by_time", "answers", ["organization_id", "answered_at"])
