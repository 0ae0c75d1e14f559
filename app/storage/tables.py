"""The tables of accounts, API keys, the vault, stored answers and receipts.

The log's tables are in ``events.tables``; each view's table is in its module in ``projections``.
"""

from __future__ import annotations

import sqlalchemy as sa

from events.tables import metadata

MAX_ID = 2**31 - 1  # of organizations, keys and assistants: what an Integer column holds

users = sa.Table(
    "users",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("email", sa.Text),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("key_id", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("permissions", sa.LargeBinary, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("last_used_at", sa.BigInteger),
    sa.Column("usage_count", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("organization_id", "digest", name="api_keys_digest"),
)

# Sessions of the console that were ended before they expired. Nothing else of a session is kept.
ended_sessions = sa.Table(
    "ended_sessions",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)

vault_keys = sa.Table(
    "vault_keys",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

sealed_secrets = sa.Table(
    "sealed_secrets",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("secret_id", sa.Text, primary_key=True),
    sa.Column("assistant_id", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    sa.Index("sealed_secrets_of", "organization_id", "assistant_id"),
)

answers = sa.Table(
    "answers",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("caller", sa.Text, primary_key=True),  # a key is its caller's own
    sa.Column("idempotency_key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("answered_at", sa.BigInteger, nullable=False),
    sa.Index("answers_by_time", "organization_id", "answered_at"),
)

answer_totals = sa.Table(
    "answer_totals",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("answers", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)

# Which version each call ran. Not in the log: there is one for each call, for a time.
receipts = sa.Table(
    "receipts",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("call_id", sa.Text, primary_key=True),  # the caller's own name of the call
    sa.Column("receipt_id", sa.Text, nullable=False),
    sa.Column("assistant_id", sa.Integer, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("resolved_at", sa.BigInteger, nullable=False),
    sa.Column("caller_hash", sa.LargeBinary),
    sa.Index("receipts_of_assistant", "organization_id", "assistant_id", "resolved_at", "call_id"),
    sa.Index("receipts_by_time", "organization_id", "resolved_at"),
)
