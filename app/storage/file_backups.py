"""Backups of an SQLite file: a consistent copy of it, made beside the process that writes it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from app.storage import database_file, private_files
from app.storage.backup_errors import NoRoom, NotEmpty
from app.storage.inodes import beside, size, wal_of
from app.storage.sqlite import SQLITE, SQLite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 1024 * 1024


class FileBackups:
    """Copies a database file by ``VACUUM INTO``, over a read-only connection.

    That reads one snapshot. Writers don't wait for it, it takes no lock of theirs, and it never
    checkpoints. Unlike a copy of pages, the result has no free pages, which could hold what was
    deleted, and needs no write-ahead log beside it.
    """

    engine = "sqlite"
    file_name = "backstory.db"

    def __init__(self, database: SQLite) -> None:
        self._database = database

    @contextmanager
    def copied(self, target: Path, spare: int) -> Iterator[sa.Connection]:
        """See ``Backups``."""
        self._refuse_without_room(target.parent, spare)
        private_files.open_for_writing(target).close()
        _vacuum_into(self._database.path, target)
        private_files.sync(target)
        engine = SQLite(url_of(target)).snapshots()
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def _refuse_without_room(self, folder: Path, spare: int) -> None:
        """Raise ``NoRoom`` where the copy has none, or would leave too little to the server."""
        path = self._database.path.resolve()
        needed = size(path) + size(wal_of(path))
        if folder.stat().st_dev == path.stat().st_dev:
            needed += spare
        if (free := shutil.disk_usage(folder).free) < needed:
            raise NoRoom(folder, free, needed)

    @contextmanager
    def restored(self, copy: Path) -> Iterator[sa.URL]:
        """Copy the file beside its place, and put it there by one step."""
        real = self._database.path.resolve()
        self._refuse_used()  # before anything is touched
        with self._database.hold("backstory restore", make=True):
            self._refuse_used()
            part = beside(real, ".restoring")
            try:
                _copy(copy, part)
                yield url_of(part)
                private_files.replace(part, real)
            finally:
                part.unlink(missing_ok=True)

    def _refuse_used(self) -> None:
        """Raise ``NotEmpty`` for a file, or a write-ahead log that SQLite would add to the copy."""
        path = self._database.path
        if not database_file.is_empty(path) or database_file.has_wal(path):
            raise NotEmpty(self._database.name)


def url_of(path: Path) -> sa.URL:
    """The database that a copy is."""
    return sa.URL.create(SQLITE, database=str(path))


def _vacuum_into(path: Path, target: Path) -> None:
    # As an URI, because the name may not be UTF-8.
    source = f"{path.resolve().as_uri()}?mode=ro"
    statement = "VACUUM INTO ?"
    try:
        with closing(sqlite3.connect(source, uri=True, isolation_level=None)) as connection:
            connection.execute(statement, (target.resolve().as_uri(),))
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error


def _copy(copy: Path, target: Path) -> None:
    with copy.open("rb") as source, private_files.open_for_writing(target) as file:
        shutil.copyfileobj(source, file, _CHUNK)
    private_files.sync(target)
