"""The database: reachable, of this release, and its times against the clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from app.cli.doctor.finding import Finding, ok, warn, wrong
from app.services import utc_now
from app.storage.engines import engines
from app.storage.schema import find_revision, newest
from events import log_head
from projections import foldings
from projections.stale import count_stale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.config import Config
    from events.log_head import LogHead

_MOST_APART = timedelta(seconds=5)
_LATE = timedelta(minutes=10)
_SERVER_TIME = sa.text("SELECT clock_timestamp()")


def schema(config: Config) -> Finding:
    """Whether the database is there, with this release's schema."""
    database = engines(config.url)
    try:
        revision = find_revision(config.url)
    except SQLAlchemyError as error:
        first_line = str(error).partition("\n")[0]
        advice = "restore a backup" if database.is_embedded else "start it, or correct its URL"
        return wrong("database", f"{database.name}: {first_line}: {advice}")
    if revision is None:
        text = f"{database.name} is missing or empty: 'backstory keys create' makes one"
        return wrong("database", text)
    if revision != newest():
        text = f"{database.name} has schema {revision}, and this release {newest()}"
        return wrong("database", f"{text}: run 'backstory migrate'")
    return ok("database", f"{database.name}, schema {revision}")


def heads(connection: sa.Connection) -> list[LogHead]:
    """The heads of all logs."""
    return [log_head.head_of(connection, one) for one in log_head.organization_ids(connection)]


def views(connection: sa.Connection) -> Finding:
    """Whether the views are folded with this release's settings."""
    ids = log_head.organization_ids(connection)
    events = sum(log_head.head_of(connection, one).sequence for one in ids)
    if foldings.superseded(connection):
        return warn("views", "a release with other settings folded them later: replace this one")
    if count := count_stale(connection, ids):
        return warn(
            "views", f"{count} events are folded with other settings: run 'backstory migrate'"
        )
    return ok("views", f"organizations: {len(ids)}, events: {events}")


def clock(config: Config, connection: sa.Connection, logs: list[LogHead]) -> Finding:
    """The clock against the newest event, and against that of a server."""
    now = utc_now()
    newest_event = max((log.last_occurred_at for log in logs), default=now)
    if newest_event - now > _MOST_APART:
        return warn(
            "clock", f"{now:%F %T} UTC is before the newest event, {newest_event:%F %T}: set it"
        )
    if not engines(config.url).is_embedded:
        apart = abs(connection.execute(_SERVER_TIME).scalar_one() - now)
        if apart > _MOST_APART:
            return warn(
                "clock", f"{apart.total_seconds():.0f} s from the database's: set both by NTP"
            )
    return ok("clock", f"{now:%F %T} UTC, after the newest event")


def checkpoints(config: Config, logs: list[LogHead]) -> Iterator[Finding]:
    """Whether the logs that have grown were signed in time."""
    latest = utc_now() - 2 * config.between_checkpoints - _LATE
    late = [
        log for log in logs if log.sequence > log.checkpoint_sequence and log.checkpoint_at < latest
    ]
    if late:
        oldest = min(log.checkpoint_at for log in late)
        text = (
            f"{len(late)} logs have grown, the first since {oldest:%F %T} UTC, and are not signed"
        )
        yield warn("checkpoint", f"{text}: a running server signs them")
        return
    newest_one = max((log.checkpoint_at for log in logs if log.checkpoint_sequence), default=None)
    yield ok("checkpoint", f"the last at {newest_one:%F %T} UTC" if newest_one else "none is due")
