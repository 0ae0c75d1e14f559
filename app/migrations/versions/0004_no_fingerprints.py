"""Destroy the keys that fingerprints of secrets were made with.

With such a key, a fingerprint in an old event confirms a guess of the secret, even of one that
was erased since. New references have no fingerprint, so nothing needs the key any more.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("DELETE FROM vault_keys WHERE purpose = 'fingerprint'")
