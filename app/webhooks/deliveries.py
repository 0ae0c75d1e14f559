"""The attempts of an endpoint: the last ones that were made, and those that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from msgspec import Struct

from app.storage.tables import webhook_deliveries, webhooks
from app.webhooks.endpoints import Webhook, find_row, find_webhook, update
from events.changed import WebhookAsked
from events.errors import DomainError, FieldError, InvalidSettings
from events.setting_types import Moment
from events.tables import from_micros, rows_of, to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from app.webhooks.sending import Attempt

KEPT = 100  # attempts of each endpoint
_MOST_ASKED = 20
State = Literal["queued", "delivered", "failed"]


class TooManyDeliveries(DomainError):
    """As many deliveries were asked for as may wait."""

    most = _MOST_ASKED


class Delivery(Struct, frozen=True, kw_only=True):
    """One attempt; ``sequence`` null is a test. ``attempt`` 0 is one that was asked for."""

    id: int
    sequence: int | None = None
    state: State
    attempt: int
    at: Moment
    milliseconds: int
    status: int | None = None
    error: str | None = None


class Made(Struct, frozen=True, kw_only=True):
    """An attempt that was made, to be stored."""

    sequence: int
    attempt: int
    at: datetime
    outcome: Attempt

    @property
    def columns(self) -> dict[str, Any]:
        """Its row, without the keys."""
        return {"sequence": self.sequence, "attempt": self.attempt} | result(self.outcome, self.at)


def result(outcome: Attempt, at: datetime) -> dict[str, Any]:
    """The columns that say how an attempt ended."""
    return {
        "state": "failed" if outcome.error else "delivered",
        "at": to_micros(at),
        "milliseconds": outcome.milliseconds,
        "status": outcome.status,
        "error": outcome.error,
    }


def list_deliveries(
    connection: sa.Connection, organization_id: int, webhook_id: int, limit: int
) -> list[Delivery]:
    """The last attempts of an endpoint, newest first; raises ``WebhookNotFound``."""
    find_row(connection, organization_id, webhook_id)
    query = _of(organization_id, webhook_id).order_by(webhook_deliveries.c.delivery_id.desc())
    return [_shown(row) for row in connection.execute(query.limit(limit))]


def queued(connection: sa.Connection, organization_id: int, webhook_id: int) -> list[Delivery]:
    """The deliveries that were asked for and not made yet, oldest first."""
    query = _of(organization_id, webhook_id).where(webhook_deliveries.c.state == "queued")
    rows = connection.execute(query.order_by(webhook_deliveries.c.delivery_id))
    return [_shown(row) for row in rows]


def ask(unit: UnitOfWork, caller: Caller, webhook_id: int, sequence: int | None) -> Delivery:
    """Queue one more delivery of an event, or of a test; the next round makes one attempt.

    Raises ``WebhookNotFound``, ``InvalidSettings`` and ``TooManyDeliveries``.
    """
    organization_id = caller.organization_id
    last = unit.log_head(organization_id).sequence
    unit.read(find_row, organization_id, webhook_id)
    if sequence is not None:
        _check("sequence", sequence, 1, last)
    if len(unit.read(queued, organization_id, webhook_id)) >= _MOST_ASKED:
        raise TooManyDeliveries(webhook_id)
    asked = {
        "sequence": sequence,
        "state": "queued",
        "attempt": 0,
        "at": to_micros(unit.clock()),
        "milliseconds": 0,
        "status": None,
        "error": None,
    }
    unit.write(add, organization_id, webhook_id, [asked])
    unit.write(update, organization_id, webhook_id, {"is_asked": True})
    unit.record(
        caller,
        WebhookAsked,
        webhook_id=webhook_id,
        delivery="test" if sequence is None else "redeliver",
        from_sequence=sequence,
    )
    return unit.read(queued, organization_id, webhook_id)[-1]


def replay(unit: UnitOfWork, caller: Caller, webhook_id: int, after: int) -> Webhook:
    """Let an endpoint go on after a sequence, an earlier or a later one than it had reached.

    Raises ``WebhookNotFound`` and ``InvalidSettings``.
    """
    organization_id = caller.organization_id
    last = unit.log_head(organization_id).sequence
    unit.read(find_row, organization_id, webhook_id)
    now = to_micros(unit.clock())
    _check("after", after, 0, last)
    values = {"cursor": after, "failures": 0, "due_at": now}
    unit.write(update, organization_id, webhook_id, values | {"updated_at": now})
    unit.record(caller, WebhookAsked, webhook_id=webhook_id, delivery="replay", from_sequence=after)
    return unit.read(find_webhook, organization_id, webhook_id)


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        rule = f"Input should be from {least} to {most}: the log has no other"
        raise InvalidSettings((FieldError(loc=("body", name), msg=rule, type="beyond_log"),))


def add(
    connection: sa.Connection, organization_id: int, webhook_id: int, rows: list[dict[str, Any]]
) -> None:
    """Store attempts, and drop the oldest ones that are too many."""
    column = webhook_deliveries.c
    last = connection.scalar(
        _of(organization_id, webhook_id).with_only_columns(sa.func.max(column.delivery_id))
    )
    first = (last or 0) + 1
    own = {"organization_id": organization_id, "webhook_id": webhook_id}
    numbered = [own | row | {"delivery_id": number} for number, row in enumerate(rows, first)]
    connection.execute(sa.insert(webhook_deliveries), numbered)
    connection.execute(
        sa.delete(webhook_deliveries).where(
            column.organization_id == organization_id,
            column.webhook_id == webhook_id,
            column.delivery_id <= first + len(rows) - 1 - KEPT,
        )
    )


def settle(
    connection: sa.Connection,
    organization_id: int,
    webhook_id: int,
    delivery_id: int,
    values: dict[str, Any],
) -> None:
    """Say how a queued delivery ended."""
    column = webhook_deliveries.c
    connection.execute(
        sa.update(webhook_deliveries)
        .where(
            column.organization_id == organization_id,
            column.webhook_id == webhook_id,
            column.delivery_id == delivery_id,
        )
        .values(**values)
    )
    is_asked = bool(queued(connection, organization_id, webhook_id))
    connection.execute(
        sa.update(webhooks)
        .where(webhooks.c.organization_id == organization_id, webhooks.c.webhook_id == webhook_id)
        .values(is_asked=is_asked)
    )


def _of(organization_id: int, webhook_id: int) -> sa.Select[Any]:
    query = rows_of(webhook_deliveries, organization_id)
    return query.where(webhook_deliveries.c.webhook_id == webhook_id)


def _shown(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        id=row.delivery_id,
        sequence=row.sequence,
        state=row.state,
        attempt=row.attempt,
        at=from_micros(row.at),
        milliseconds=row.milliseconds,
        status=row.status,
        error=row.error,
    )
