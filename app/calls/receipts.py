"""Receipts: rows that say which version of an assistant each call ran.

They are not events: there are as many as calls, and they are removed after a time.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from app.assistants import current
from app.calls import digests
from app.storage.tables import receipts
from events import prepared
from events.errors import DomainError
from events.prepared import Prepared
from events.tables import OF_ORGANIZATION, from_micros, rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.transactions.unit_of_work import UnitOfWork
    from events.assistant_key import AssistantKey

_INSERT = prepared.insert(receipts)
_FIND = Prepared(
    lambda _: rows_of(receipts, OF_ORGANIZATION).where(
        receipts.c.call_id == sa.bindparam("call_id", type_=sa.Text)
    )
)


Position = tuple[int, str]
"""Where a receipt is in a list: its moment in microseconds since 1970, and its call."""


class Filter(Struct, frozen=True, kw_only=True):
    """Which receipts of an assistant are listed; those after ``before``, newest first."""

    since: datetime | None = None
    until: datetime | None = None
    version: int | None = None
    before: Position | None = None


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


def of_assistant(
    connection: sa.Connection, key: AssistantKey, filter_: Filter, limit: int
) -> tuple[list[Receipt], Position | None]:
    """The newest receipts of an assistant, and the position of the last one if others follow it.

    The assistant may be deleted; raises ``AssistantNotFound``.
    """
    current.head_outline(connection, key, include_deleted=True)
    column = receipts.c
    order = (column.resolved_at.desc(), column.call_id.desc())
    query = (
        rows_of(receipts, key.organization_id)
        .where(column.assistant_id == key.assistant_id, *_conditions(filter_))
        .order_by(*order)
        .limit(limit + 1)
    )
    found = [_receipt(row) for row in connection.execute(query)]
    page = found[:limit]
    is_last = len(found) <= limit
    return page, None if is_last else (to_micros(page[-1].resolved_at), page[-1].call_id)


def _conditions(filter_: Filter) -> Iterator[sa.ColumnElement[bool]]:
    column = receipts.c
    if filter_.since is not None:
        yield column.resolved_at >= to_micros(filter_.since)
    if filter_.until is not None:
        yield column.resolved_at < to_micros(filter_.until)
    if filter_.version is not None:
        yield column.version == filter_.version
    if filter_.before is not None:
        moment, call_id = filter_.before
        is_same = column.resolved_at == moment
        yield sa.or_(column.resolved_at < moment, sa.and_(is_same, column.call_id < call_id))


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
