"""Backups of a database: a file that holds one snapshot of it, taken while servers write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.storage import file_backups, server_backups
from app.storage.engines import engines
from app.storage.file_backups import FileBackups
from app.storage.server_backups import ServerBackups
from app.storage.sqlite import SQLite

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import sqlalchemy as sa


class Backups(Protocol):
    """How one kind of database is copied into a file, and put back."""

    engine: str
    """The kind of the database, as a manifest names it."""
    file_name: str
    """The name of the copy in a backup's folder."""

    def copied(self, target: Path, spare: int) -> AbstractContextManager[sa.Connection]:
        """Copy the database into a new file; yields a connection that reads what is in the copy.

        ``spare`` bytes stay free on the disk of an embedded database. Raises ``NoRoom``,
        ``ToolMissing``, ``ToolFailed``, and SQLAlchemy's errors.
        """
        ...

    def restored(self, copy: Path) -> AbstractContextManager[sa.URL]:
        """Restore a copy into this empty database; yields the database to prove.

        A file takes its place only if nothing is raised inside. A server has what was restored
        from then on. Raises ``NotEmpty``, ``DatabaseHeld``, ``FileRefused``, ``ToolMissing`` and
        ``ToolFailed``.
        """
        ...


def backups(url: sa.URL) -> Backups:
    """The backups of the database at a URL."""
    database = engines(url)
    return FileBackups(database) if isinstance(database, SQLite) else ServerBackups(url)


def readable_copy(engine: str, copy: Path) -> sa.URL | None:
    """The database that a copy is by itself; None where it must be restored to be read.

    Such a copy is listed; raises ``ToolMissing`` and ``ToolFailed`` if it cannot be.
    """
    if engine != server_backups.ENGINE:
        return file_backups.url_of(copy)
    server_backups.check_dump(copy)
    return None
