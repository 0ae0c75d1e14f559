"""Destroy the secrets of assistants that were deleted long enough ago."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from app.assistants import secrets
from app.storage.turns import TooManyReads
from app.transactions.caller import system
from events.changed import Cause
from projections import current

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    import sqlalchemy as sa

    from app.storage.database import Database
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue

_log = structlog.get_logger(__name__)


class Purged(Struct, frozen=True, kw_only=True):
    """How many values were destroyed, and how many assistants wait until the time is certain."""

    count: int
    doubted: int


def purge(
    organization_id: int,
    grace: timedelta,
    unit: UnitOfWork,
    candidates: Iterable[int] | None = None,
) -> Purged:
    """Destroy the secrets of assistants that were deleted longer ago than the grace time.

    Assistants that are so old only by an implausible clock wait. ``candidates`` are the assistants
    to look at; None for all.
    """
    unit.log_head(organization_id)  # lock it first, so that no assistant is restored meanwhile
    believed = unit.longer_ago(organization_id, grace)
    unit.save_time(organization_id)
    if candidates is None:
        candidates = unit.read(secrets.with_secrets, organization_id)

    def deleted_before(moment: datetime) -> list[int]:
        return unit.read(_deleted_before, organization_id, candidates, moment)

    claimed, due = deleted_before(unit.clock() - grace), deleted_before(believed)
    caller, cause = system(organization_id, "purge"), Cause(type="purge")
    count = sum(
        secrets.erase_assistant(unit, caller, assistant_id, None, cause) for assistant_id in due
    )
    return Purged(count=count, doubted=len(claimed) - len(due))


async def purge_all(
    database: Database,
    writer: WriteQueue,
    organization_ids: list[int],
    grace: timedelta,
    now: datetime,
) -> int:
    """Purge the organizations, a few assistants at a time: how many values were destroyed."""
    count = 0
    for organization_id in organization_ids:
        try:
            purged = await _purge(database, writer, organization_id, grace, now)
        except TooManyReads:  # its own reads are in the way: that is no reason for others to wait
            _log.warning("purge_put_off", organization=organization_id)
            continue
        count += purged.count
        if purged.doubted:
            _log.warning(
                "purge_waits",
                organization=organization_id,
                assistants=purged.doubted,
                reason="the clock is further ahead than the servers have seen time pass",
                advice="if the clock is right: backstory vault purge --confirm-clock",
            )
    await scrub(database)
    return count


async def _purge(
    database: Database,
    writer: WriteQueue,
    organization_id: int,
    grace: timedelta,
    now: datetime,
) -> Purged:
    """Purge an organization. Whom to look at is found on a snapshot: others don't wait for that."""
    # As an export: no client waits, and there may be many.
    candidates = await database.export(organization_id, _candidates, organization_id, now - grace)
    purged = [
        await writer.write(
            organization_id,
            partial(purge, organization_id, grace, candidates=portion),
            is_background=True,
            is_essential=True,
        )
        for portion in secrets.portions(candidates)
        or [[]]  # without candidates, too, the observed time is saved
    ]
    return Purged(
        count=sum(one.count for one in purged), doubted=sum(one.doubted for one in purged)
    )


async def scrub(database: Database) -> bool:
    """Remove the bytes of destroyed values from the files; False where some remain for now.

    The database records whether any remain, so a process that dies leaves the rest to the next.
    """
    is_done = await database.scrub()
    if not is_done:
        _log.warning("scrub_is_due", advice="a long reader holds the log of writes")
    return is_done


def _candidates(connection: sa.Connection, organization_id: int, moment: datetime) -> list[int]:
    """The assistants with secrets that were deleted before a moment."""
    ids = secrets.with_secrets(connection, organization_id)
    return _deleted_before(connection, organization_id, ids, moment)


def _deleted_before(
    connection: sa.Connection, organization_id: int, ids: Iterable[int], moment: datetime
) -> list[int]:
    return [
        assistant_id
        for assistant_id in ids
        if current.deleted_before(connection, organization_id, assistant_id, moment)
    ]
