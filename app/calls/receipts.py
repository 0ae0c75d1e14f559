"""Receipts: rows that say which version of an assistant each call ran.

They are not events: there are as many as calls, and they are removed after a time.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from app.calls import digests
from app.storage.tables import receipts
from events import prepared
from events.errors import DomainError
from events.prepared import Prepared
from events.tables import OF_ORGANIZATION, from_micros, rows_of, to_micros

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

_INSERT = prepared.insert(receipts)
_FIND = Prepared(
    lambda _: rows_of(receipts, OF_ORGANIZATION).where(
        receipts.c.call_id == sa.bindparam("call_id", type_=sa.Text)
    )
)


class CallNotFound(DomainError):
    """The caller's organization has no receipt of this call."""

    def __init__(self, call_id: str) -> None:
        super().__init__(call_id)
        self.call_id = call_id


class Receipt(Struct, frozen=True, kw_only=True):
    """Which version a call ran, since when, and why that one."""

    call_id: str
    receipt_id: str
    assistant_id: int
    version: int
    digest: str  # of the settings as they were answered: ``sha256:<hex>``
    reason: str
    resolved_at: datetime
    caller_hash: str | None = None  # hexadecimal


def find(unit: UnitOfWork, organization_id: int, call_id: str) -> Receipt | None:
    """The receipt of a call, if there is one; the organization must be locked."""
    row = unit.execute(_FIND, {"organization_id": organization_id, "call_id": call_id}).first()
    return None if row is None else _receipt(row)


def add(unit: UnitOfWork, organization_id: int, receipt: Receipt) -> None:
    """Store the receipt of a call that has none."""
    unit.execute(_INSERT, _row(organization_id, receipt))


def load(connection: sa.Connection, organization_id: int, call_id: str) -> Receipt:
    """The receipt of a call; raises ``CallNotFound``."""
    key = {"organization_id": organization_id, "call_id": call_id}
    row = _FIND.run(connection, key).first()
    if row is None:
        raise CallNotFound(call_id)
    return _receipt(row)


def caller_hash(unit: UnitOfWork, organization_id: int, caller: str) -> str:
    """A keyed hash of who calls: equal for equal callers of one organization alone.

    Its key is derived from the pepper, which is in the vault; rotation and erasure keep it.
    """
    pepper = unit.vault.known_pepper(organization_id) or unit.keys(organization_id).pepper
    key = hmac.digest(pepper.secret, b"backstory callers", "sha256")
    return hmac.digest(key, caller.encode(), "sha256").hex()


def _row(organization_id: int, receipt: Receipt) -> dict[str, Any]:
    hashed = receipt.caller_hash
    return {
        "organization_id": organization_id,
        "call_id": receipt.call_id,
        "receipt_id": receipt.receipt_id,
        "assistant_id": receipt.assistant_id,
        "version": receipt.version,
        "digest": digests.to_bytes(receipt.digest),
        "reason": receipt.reason,
        "resolved_at": to_micros(receipt.resolved_at),
        "caller_hash": None if hashed is None else bytes.fromhex(hashed),
    }


def _receipt(row: Any) -> Receipt:
    hashed = row.caller_hash
    return Receipt(
        call_id=row.call_id,
        receipt_id=row.receipt_id,
        assistant_id=row.assistant_id,
        version=row.version,
        digest=digests.to_text(row.digest),
        reason=row.reason,
        resolved_at=from_micros(row.resolved_at),
        caller_hash=None if hashed is None else bytes(hashed).hex(),
    )
