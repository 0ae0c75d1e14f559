"""Remove the receipts that are older than their time, some in each transaction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.storage.tables import receipts
from events.tables import rows_of, to_micros

if TYPE_CHECKING:
    from datetime import timedelta

    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue

_AT_ONCE = 500


async def remove_expired(
    writer: WriteQueue, organization_ids: list[int], lifetime: timedelta
) -> None:
    """Remove the expired receipts of organizations."""
    for organization_id in organization_ids:
        remove = partial(_remove_some, organization_id, lifetime)
        removed = _AT_ONCE
        while removed >= _AT_ONCE:  # essential, since it makes room on the disk
            removed = await writer.write(
                organization_id, remove, is_background=True, is_essential=True
            )


def _remove_some(organization_id: int, lifetime: timedelta, unit: UnitOfWork) -> int:
    """Remove the first expired receipts; return how many there were."""
    # By plausible time: a clock set ahead must not remove what is young.
    until = to_micros(unit.longer_ago(organization_id, lifetime))
    column = receipts.c
    expired = (
        rows_of(receipts, organization_id, column.call_id)
        .where(column.resolved_at <= until)
        .order_by(column.resolved_at)
        .limit(_AT_ONCE)
    )
    calls = unit.execute(expired).scalars().all()
    is_theirs = column.organization_id == organization_id
    if calls:
        unit.execute(sa.delete(receipts).where(is_theirs, column.call_id.in_(calls)))
    return len(calls)
