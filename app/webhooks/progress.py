"""How far an endpoint has come, in the database: who delivers, up to where, and when next.

A process delivers to an endpoint while it owns it, for a time that each save extends. If the
process dies, another one takes over when that time is over, and goes on after the last save: what
was sent since is sent again. Each save checks that the endpoint is still owned, and that nobody
moved its cursor.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.metrics import catalog
from app.storage.tables import webhooks
from app.transactions.caller import system
from app.webhooks import deliveries
from app.webhooks.endpoints import Confidential, unsealed, update
from app.webhooks.messages import Format
from events.changed import WebhookDisabled
from events.pointers import Change
from events.tables import organizations, rows_of, to_micros

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork
    from app.webhooks.deliveries import Made
    from app.webhooks.sending import Attempt

OWNED = timedelta(seconds=45)  # much longer than one attempt and the pause between two saves
_MINUTES = (5 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440)
RETRIES = tuple(timedelta(minutes=minutes) for minutes in _MINUTES)
_JITTER = 0.1  # a retry comes at most so much later, so that many don't come at once
_MOST_DUE = 1000  # endpoints that one look considers


class Due(Struct, frozen=True, kw_only=True):
    """An endpoint for which there may be something to do. ``last`` is the last of its log."""

    organization_id: int
    webhook_id: int
    cursor: int
    updated_at: int
    last: int
    is_asked: bool
    is_on: bool  # whether events of the log may be delivered now
    event_types: frozenset[str]
    assistant_ids: frozenset[int]
    paths: tuple[str, ...]

    @property
    def key(self) -> tuple[int, int]:
        """Names it."""
        return self.organization_id, self.webhook_id


class Claimed(Struct, frozen=True, kw_only=True):
    """An endpoint that this process owns."""

    due: Due
    format: Format
    origin: str  # names the log
    failures: int
    confidential: Confidential


class Progress(Struct, frozen=True, kw_only=True):
    """What is saved: attempts that were made, and the cursor after them."""

    before: int  # the cursor that was saved last
    updated_at: int  # of the endpoint that was read
    cursor: int
    failures: int = 0
    made: tuple[Made, ...] = ()


def find_due(connection: sa.Connection, now: datetime, owner: str) -> tuple[list[Due], int]:
    """The endpoints with something to do, those that waited longest first; and a lag.

    That is how many events of its log the last of those lacks that wait for a retry.
    """
    column, log = webhooks.c, organizations.c
    behind = sa.and_(column.enabled, column.cursor < log.sequence)
    is_on = sa.and_(behind, column.due_at <= to_micros(now))
    joined = webhooks.join(organizations, column.organization_id == log.organization_id)
    query = (
        sa.select(webhooks, log.sequence, is_on.label("is_on"))
        .select_from(joined)
        .where(
            sa.or_(column.is_asked, is_on),
            sa.or_(column.owner == owner, column.owned_until <= to_micros(now)),
        )
        .order_by(column.owned_until)
        .limit(_MOST_DUE)
    )
    lag = sa.select(sa.func.max(log.sequence - column.cursor)).select_from(joined)
    waiting = connection.scalar(lag.where(behind, column.failures > 0)) or 0
    return [_due(row) for row in connection.execute(query)], waiting


def _due(row: sa.Row[Any], *, is_on: bool | None = None, last: int | None = None) -> Due:
    return Due(
        organization_id=row.organization_id,
        webhook_id=row.webhook_id,
        cursor=row.cursor,
        updated_at=row.updated_at,
        last=row.sequence if last is None else last,
        is_asked=row.is_asked,
        is_on=bool(row.is_on) if is_on is None else is_on,
        event_types=frozenset(msgspec.json.decode(row.event_types)),
        assistant_ids=frozenset(msgspec.json.decode(row.assistant_ids)),
        paths=tuple(msgspec.json.decode(row.paths)),
    )


def claim(unit: UnitOfWork, key: tuple[int, int], owner: str) -> Claimed | None:
    """Own an endpoint; None if another process does, or if it is gone."""
    organization_id, webhook_id = key
    head = unit.log_head(organization_id)
    row = unit.read(_find, organization_id, webhook_id)
    now = unit.clock()
    if row is None or (row.owner != owner and row.owned_until > to_micros(now)):
        return None
    unit.write(update, organization_id, webhook_id, _owning(owner, now))
    return Claimed(
        due=_due(row, is_on=row.enabled and row.due_at <= to_micros(now), last=head.sequence),
        format=row.format,
        origin=head.origin,
        failures=row.failures,
        confidential=unsealed(unit.keys(organization_id), row),
    )


def release(unit: UnitOfWork, key: tuple[int, int], owner: str) -> None:
    """Let any process own an endpoint; the time of it orders who is next."""
    row = unit.read(_find, *key)
    if row is not None and row.owner == owner:
        unit.write(update, *key, {"owned_until": to_micros(unit.clock())})


def save(unit: UnitOfWork, key: tuple[int, int], owner: str, progress: Progress) -> bool:
    """Save what was done; False if the endpoint is another's now, was changed or ended."""
    unit.log_head(key[0])
    row = unit.read(_find, *key)
    if row is None:
        return False
    if progress.made:
        unit.write(deliveries.add, *key, [one.columns for one in progress.made])
    if row.owner != owner or row.cursor != progress.before:
        return False
    now = unit.clock()
    values = _owning(owner, now) | {"cursor": progress.cursor, "failures": progress.failures}
    if progress.failures:
        last = progress.made[-1].outcome
        values |= _after_failure(unit, key, progress.failures, last, is_on=row.enabled)
    unit.write(update, *key, values)
    return bool(row.enabled) and row.updated_at == progress.updated_at


def settle(
    unit: UnitOfWork, key: tuple[int, int], owner: str, delivery_id: int, outcome: Attempt
) -> None:
    """Save how a delivery ended that was asked for."""
    unit.log_head(key[0])
    values = deliveries.result(outcome, unit.clock())
    unit.write(deliveries.settle, *key, delivery_id, values)
    row = unit.read(_find, *key)
    if row is not None and row.owner == owner:
        unit.write(update, *key, _owning(owner, unit.clock()))


def _after_failure(
    unit: UnitOfWork, key: tuple[int, int], failures: int, last: Attempt, *, is_on: bool
) -> dict[str, Any]:
    """When to try again; or switch the endpoint off, which is an event."""
    if failures <= len(RETRIES) and not last.is_gone:
        pause = RETRIES[failures - 1] * random.uniform(1, 1 + _JITTER)  # noqa: S311  # jitter
        pause = max(pause, timedelta(seconds=last.retry_after))
        return {"due_at": to_micros(unit.clock() + pause)}
    if is_on:
        catalog.WEBHOOKS_DISABLED.add()
        organization_id, webhook_id = key
        times = "1 attempt" if failures == 1 else f"{failures} attempts"
        unit.record(
            system(organization_id, "webhooks"),
            WebhookDisabled,
            reason=f"Switched off after {times} to deliver. {last.error}",
            webhook_id=webhook_id,
            changes={"/enabled": Change(before=True, after=False)},
        )
    return {"enabled": False, "updated_at": to_micros(unit.clock())}


def _owning(owner: str, now: datetime) -> dict[str, Any]:
    return {"owner": owner, "owned_until": to_micros(now + OWNED)}


def _find(connection: sa.Connection, organization_id: int, webhook_id: int) -> sa.Row[Any] | None:
    query = rows_of(webhooks, organization_id).where(webhooks.c.webhook_id == webhook_id)
    return connection.execute(query).one_or_none()
