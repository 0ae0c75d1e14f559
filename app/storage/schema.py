"""The schema of a database and the settings its views were folded with: check, migrate, fold.

A release has a newest migration, and a digest of its settings (``events.shape.DIGEST``). Views
that were folded with other settings are folded again from the events.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from app.storage import citus
from app.storage.engines import engines
from events import log_head, store
from events.codec import NewerEvent
from projections import foldings
from projections.stale import count_stale, fold_stale

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


_VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))
_FOLDED_AT_START = 20_000  # events, about a second of work; 'backstory migrate' folds more
_log = structlog.get_logger(__name__)


class NotMigrated(Exception):
    """The schema of a database on a server is missing or older than this release's."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} does not have this release's schema; run 'backstory migrate' first"
        )


class NewerSchema(Exception):
    """A newer release migrated the database, so this one could damage it."""

    def __init__(self, name: str, revision: str) -> None:
        super().__init__(
            f"{name} has schema {revision!r}, which this release does not know (its newest is"
            f" {newest()}): run the newer release that made it"
        )


class NotFolded(Exception):
    """The views were folded by a release with other settings."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(
            f"{name} holds the views of a release with other settings, of {count} events; run"
            " 'backstory migrate' first, which folds them again"
        )


class NewerSettings(Exception):
    """A release with other settings folded the views later; only ``rebuild`` undoes that."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a release with other settings has folded the views of {name} after this one; to go"
            " back to the settings of this release, run 'backstory rebuild'"
        )


class DatabaseLost(Exception):
    """The database is missing, but its other files exist: no new one may take its place."""

    def __init__(self, name: str, leftovers: list[Path]) -> None:
        files = ", ".join(map(str, leftovers))
        super().__init__(
            f"{name} is missing or empty, but these files are a database's: {files}. Put the"
            " database back; to begin a new one, move them away"
        )


def migrate(url: sa.URL, progress: Callable[[int], None] = lambda _: None) -> None:
    """Bring a database to this release's schema and settings; a missing file is created.

    Calls ``progress`` with the number of events folded. Raises ``NewerSchema``, ``NewerSettings``
    and ``NewerEvent``.
    """
    from alembic import command  # noqa: PLC0415  # slow, and most starts migrate nothing
    from alembic.config import Config  # noqa: PLC0415  # as above

    engine = engines(url).commands()
    alembic = Config()
    alembic.set_main_option("script_location", "app.storage:migrations")
    try:
        with engine.connect() as connection:
            revision(connection, engines(url).name)
            connection.rollback()  # alembic begins its own transaction
            alembic.attributes["connection"] = connection
            command.upgrade(alembic, "head")
            connection.rollback()
            with connection.begin():
                citus.distribute(connection)
            if _is_superseded(connection):
                raise NewerSettings(engines(url).name)
            ids = log_head.organization_ids(connection)
        fold(engine, ids, progress)
    finally:
        engine.dispose()


def prepare(url: sa.URL) -> None:
    """Make a database ready at the start of a process.

    Migrates a file, since this process holds it, and folds views again if that is fast. Raises
    ``NotMigrated``, ``NotFolded``, ``NewerSchema``, ``NewerEvent`` and ``DatabaseLost``.
    """
    if not is_current(url):
        if not engines(url).is_embedded:
            raise NotMigrated(engines(url).name)
        migrate(url)
        return
    # Reading, because a server starts and answers reads where the disk takes no writes.
    reading = engines(url).snapshots()
    try:
        with reading.connect() as connection:
            if _is_superseded(connection):
                # Answers stay right: rows of the newer release are folded from the events when
                # read. Folding them now would make this release look like the newer one.
                _log.warning(
                    "settings_superseded",
                    database=engines(url).name,
                    advice="a release with other settings has folded the views: replace this one",
                )
                return
            pending = foldings.pending(connection, log_head.organization_ids(connection))
            count = count_stale(connection, pending)
    finally:
        reading.dispose()
    if count > _FOLDED_AT_START:
        raise NotFolded(engines(url).name, count)
    if pending:
        _fold(url, pending)


def _fold(url: sa.URL, organization_ids: list[int]) -> None:
    engine = engines(url).commands()
    try:
        fold(engine, organization_ids, lambda _: None)
    finally:
        engine.dispose()


def _is_superseded(connection: sa.Connection) -> bool:
    """Whether a release with other settings folded the views after this one did.

    Raises ``NewerEvent`` if the log has events that this release cannot read.
    """
    superseded = foldings.superseded(connection)
    if superseded and (tag := store.newer_tag(connection)) is not None:
        raise NewerEvent(tag)
    return superseded


def check_folded(connection: sa.Connection, name: str) -> None:
    """Check that the views were folded with this release's settings.

    Raises ``NotFolded``, or ``NewerEvent`` if this release cannot fold them.
    """
    if count := count_stale(connection, log_head.organization_ids(connection)):
        if (tag := store.newer_tag(connection)) is not None:
            raise NewerEvent(tag)
        raise NotFolded(name, count)


def fold(engine: sa.Engine, organization_ids: list[int], progress: Callable[[int], None]) -> None:
    """Fold again the rows that releases with other settings wrote; servers may run meanwhile."""
    for organization_id in organization_ids:
        last: int | None = 0
        while last is not None:
            with engine.begin() as connection:  # short, so that writers wait briefly for the lock
                log_head.lock(connection, organization_id)
                last = fold_stale(connection, organization_id, progress, last)


def find_revision(url: sa.URL) -> str | None:
    """The revision of a database's schema; None if there is none and a new one may be made.

    Raises ``NewerSchema``, ``DatabaseLost``, ``FileRefused`` and ``PoolerRefused``.
    """
    database = engines(url)
    database.check()
    # Before connecting: SQLite would remove the write-ahead log of an empty file.
    leftovers = database.leftovers()
    found = None
    if database.exists():
        engine = database.snapshots()
        try:
            with engine.connect() as connection:
                found = revision(connection, database.name)
        finally:
            engine.dispose()
    if found is None and leftovers:
        raise DatabaseLost(database.name, leftovers)
    return found


def is_current(url: sa.URL) -> bool:
    """Whether the schema is this release's.

    Raises ``NewerSchema`` and ``DatabaseLost``.
    """
    return find_revision(url) == newest()


def revision(connection: sa.Connection, name: str) -> str | None:
    """The revision of a database's schema; None if it has none. Raises ``NewerSchema``."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    revisions = connection.scalars(sa.select(_VERSION.c.version_num)).all()
    for one in revisions:
        if one not in _revisions():
            raise NewerSchema(name, one)
    return max(revisions, default=None)


@cache
def _revisions() -> frozenset[str]:
    """The numbers of this release's migrations, with which their file names begin."""
    names = (path.name for path in (files("app.storage") / "migrations" / "versions").iterdir())
    return frozenset(name.partition("_")[0] for name in names if name.endswith(".py"))


def newest() -> str:
    """The revision of this release's schema."""
    return max(_revisions())
