"""Destroy the keys that fingerprints of secrets were made with.

With such a key, a fingerprint in an old event confirms a guess of the secret, even of one that
was erased since. New references have no fingerprint, so nothing needs the key any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.storage.sqlite import mark_for_scrub

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    connection = op.get_bind()
    gone = connection.execute(sa.text("DELETE FROM vault_keys WHERE purpose = 'fingerprint'"))
    if gone.rowcount:
        mark_for_scrub(connection)
