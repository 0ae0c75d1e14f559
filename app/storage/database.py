"""The open database of a process: where transactions and the schema come from."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
import structlog

from app.storage.engines import SCRUB_ATTEMPTS, engines
from events import log_head, store
from events.codec import NewerEvent
from projections import foldings
from projections.rebuild import count_stale, fold_stale

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))
P = ParamSpec("P")
T = TypeVar("T")

_READ_ATTEMPTS = 2  # the second is for connections that were lost while they waited
_FOLDED_AT_START = 20_000  # events, about a second of work; more is for 'backstory migrate'
_log = structlog.get_logger()


class CommitFailed(Exception):
    """The database did not confirm a commit: what was written may or may not be there."""


class Busy(Exception):
    """The database was locked by somebody else for too long, or away; nothing was written."""


class NotMigrated(Exception):
    """A server's database has the schema of another release, or none."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has not this release's schema; run 'backstory migrate' first")


class NewerSchema(Exception):
    """A newer release has migrated the database: this one does not know what it would do to it."""

    def __init__(self, name: str, revision: str) -> None:
        super().__init__(
            f"{name} has schema {revision!r}, which this release does not know (its newest is"
            f" {_newest()}): run the newer release that made it"
        )


class NotFolded(Exception):
    """The views are those of a release with other settings."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(
            f"{name} holds the views of a release with other settings, of {count} events; run"
            " 'backstory migrate' first, which folds them again"
        )


class NewerSettings(Exception):
    """A newer release has folded the views: this one does not undo that by itself."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a release with other settings has folded the views of {name} after this one; to go"
            " back to the settings of this release, run 'backstory rebuild'"
        )


class DatabaseLost(Exception):
    """There is no database, but there are the files of one: no new one may take its place."""

    def __init__(self, name: str, left: list[Path]) -> None:
        files = ", ".join(map(str, left))
        super().__init__(
            f"{name} is missing or empty, but these files are a database's: {files}. Put the"
            " database back; to begin a new one, move them away"
        )


def migrate(url: sa.URL, progress: Callable[[int], None] = lambda _: None) -> None:
    """Bring a database up to this release's schema and settings; makes a file that is not there.

    ``progress`` hears how many events were folded. Raises ``NewerSchema``, ``NewerSettings`` and
    ``NewerEvent``.
    """
    from alembic import command  # noqa: PLC0415  # a server that finds its schema starts without it
    from alembic.config import Config  # noqa: PLC0415  # as above

    engine = engines(url).commands()
    settings = Config()
    settings.set_main_option("script_location", "app.storage:migrations")
    try:
        with engine.connect() as connection:
            _revision(connection, engines(url).name)
            connection.rollback()  # the migrations begin a transaction of their own
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
            if _is_superseded(connection):
                raise NewerSettings(engines(url).name)
            ids = log_head.organization_ids(connection)
        fold(engine, ids, progress)
    finally:
        engine.dispose()


def prepare(url: sa.URL) -> None:
    """Bring up to date what a process may bring up to date at its start.

    That is the schema of a file, which this process holds, and views that fold fast. Raises
    ``NotMigrated``, ``NotFolded``, ``NewerSchema``, ``NewerEvent`` and ``DatabaseLost``.
    """
    if not is_current(url):
        if not engines(url).is_embedded:
            raise NotMigrated(engines(url).name)
        migrate(url)
        return
    engine = engines(url).commands()
    try:
        with engine.connect() as connection:
            if _is_superseded(connection):
                # This release still answers right: it folds from the events what the newer one
                # wrote. It folds nothing anew, or it would be taken for the newer one itself.
                _log.warning(
                    "settings_superseded",
                    database=engines(url).name,
                    advice="a release with other settings has folded the views: replace this one",
                )
                return
            pending = foldings.pending(connection, log_head.organization_ids(connection))
            count = count_stale(connection, pending)
        if count > _FOLDED_AT_START:
            raise NotFolded(engines(url).name, count)
        fold(engine, pending, lambda _: None)
    finally:
        engine.dispose()


def _is_superseded(connection: sa.Connection) -> bool:
    """Whether a release with other settings has folded the views after this one.

    Raises ``NewerEvent`` where it has written events that this one cannot read.
    """
    superseded = foldings.superseded(connection)
    if superseded and (tag := store.newer_tag(connection)) is not None:
        raise NewerEvent(tag)
    return superseded


def check_folded(connection: sa.Connection, name: str) -> None:
    """See that the views were folded with this release's settings.

    Raises ``NotFolded``, and ``NewerEvent`` where this release could not fold them.
    """
    if count := count_stale(connection, log_head.organization_ids(connection)):
        if (tag := store.newer_tag(connection)) is not None:
            raise NewerEvent(tag)
        raise NotFolded(name, count)


def fold(engine: sa.Engine, organization_ids: list[int], progress: Callable[[int], None]) -> None:
    """Fold again what releases with other settings wrote; servers may go on beside it."""
    for organization_id in organization_ids:
        last: int | None = 0
        while last is not None:
            with engine.begin() as connection:  # short, so that nobody waits long for the lock
                log_head.lock(connection, organization_id)
                last = fold_stale(connection, organization_id, progress, last)


def find_revision(url: sa.URL) -> str | None:
    """The schema of a database; None for none, where a new one may be made.

    Raises ``NewerSchema`` and ``DatabaseLost``, ``FileRefused`` and ``PoolerRefused``.
    """
    database = engines(url)
    database.check()
    left = database.leftovers()  # SQLite would remove the log of a file that is empty
    found = None
    if database.exists():
        engine = database.snapshots()
        try:
            with engine.connect() as connection:
                found = _revision(connection, database.name)
        finally:
            engine.dispose()
    if found is None and left:
        raise DatabaseLost(database.name, left)
    return found


def is_current(url: sa.URL) -> bool:
    """Whether the schema is the one that this release works with.

    Raises ``NewerSchema`` and ``DatabaseLost``.
    """
    return find_revision(url) == _newest()


def _revision(connection: sa.Connection, name: str) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    found = connection.scalars(sa.select(_VERSION.c.version_num)).all()
    for revision in found:
        if revision not in _revisions():
            raise NewerSchema(name, revision)
    return max(found, default=None)


@cache
def _revisions() -> frozenset[str]:
    """The migrations of this release, whose files begin with their numbers."""
    names = (path.name for path in (files("app.storage") / "migrations" / "versions").iterdir())
    return frozenset(name.partition("_")[0] for name in names if name.endswith(".py"))


def _newest() -> str:
    return max(_revisions())


class Database:
    """The open database of a serving process."""

    def __init__(self, url: sa.URL) -> None:
        self._engines = engines(url)
        self.is_embedded = self._engines.is_embedded
        self._writer = self._engines.writer()
        self._readers = self._engines.readers()
        self._snapshots = self._engines.snapshots(serving=True)

    async def read(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work``, whose every statement sees all that was committed before it.

        What needs several statements to agree takes ``snapshot``. Raises ``Busy``.
        """

        async def run() -> T:
            async with self._readers.connect() as connection:
                return await connection.run_sync(work, *args, **kwargs)

        return await self._reached(run)

    async def snapshot(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work`` on one snapshot of all that was committed so far, in a thread of its own.

        Keep it short: until it ends, SQLite's log of writes can't be copied into the file. Who
        reads many rows takes them in pages, each a snapshot. Raises ``Busy``.
        """

        def run() -> T:
            with self._snapshots.connect() as connection:
                return work(connection, *args, **kwargs)

        return await self._reached(lambda: asyncio.to_thread(run))

    async def _reached(self, run: Callable[[], Awaitable[T]]) -> T:
        """What reading gives, read again where the connection was lost."""
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                async with asyncio.timeout(self._engines.longest):
                    return await run()
            except TimeoutError as error:
                raise Busy("the database did not answer in time") from error
            except Exception as error:
                if not self._engines.is_unavailable(error):
                    raise
                if attempt == _READ_ATTEMPTS:
                    raise Busy from error
        raise AssertionError("an attempt ends with an answer or an error")

    async def check(self) -> None:
        """Raise ``Busy`` where the database answers, but is one that takes no writes."""
        if (displaced := self._engines.displaced()) is not None:
            raise Busy(displaced)
        if await self.read(lambda connection: connection.scalar(self._engines.is_standby)):
            raise Busy("the database is a standby")

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in one durable transaction; it is rolled back if ``work`` raises.

        Raises ``Busy`` where somebody else was in the way, or nobody there, and nothing was
        written: it may be tried again. Raises ``CommitFailed`` where the outcome is unknown.
        """
        is_committing = False
        try:
            async with (
                asyncio.timeout(self._engines.longest),
                self._writer.connect() as connection,
            ):
                await connection.begin()
                result = await connection.run_sync(work)
                is_committing = True
                await self._commit(connection)
        except TimeoutError as error:
            if is_committing:
                raise CommitFailed("the database did not answer in time") from error
            raise Busy("the database did not answer in time") from error
        except Exception as error:
            if self._engines.is_conflict(error) or self._engines.is_unavailable(error):
                raise Busy(str(error)) from error
            raise
        return result

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            await connection.commit()
        except Exception as error:
            await connection.invalidate()  # its transaction may still be open
            if not self.is_embedded and self._engines.is_conflict(error):
                raise  # the server says that it is undone
            raise CommitFailed(str(error)) from error
        # After the commit, or it could be replaced in between, and be answered as done.
        if (displaced := self._engines.displaced()) is not None:
            raise CommitFailed(displaced)

    async def scrub(self) -> bool:
        """Take what was erased out of the files; False where readers were in the way for long.

        Between the attempts the writer goes on.
        """
        for _ in range(SCRUB_ATTEMPTS):
            async with self._writer.connect() as connection:
                if await connection.run_sync(self._engines.scrub):
                    return True
        return False

    async def close(self) -> None:
        """Close the readers, then the writer, whose close is SQLite's last checkpoint."""
        self._snapshots.dispose()
        await self._readers.dispose()
        await self._writer.dispose()
