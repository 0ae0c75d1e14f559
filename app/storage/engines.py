"""Which databases there are: the protocol of their differences, and the choice by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from app.storage.postgresql import PostgreSQL
from app.storage.sqlite import SQLITE, SQLite

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa

    from app.storage.glances import Glances
    from app.storage.wal_checkpoints import Checkpoint


class Engines(Protocol):
    """How one kind of database is opened, and what its errors mean."""

    is_embedded: bool
    """Whether it is a file. Then one process holds it, migrates it, and suspends writing if a
    commit fails. Otherwise several processes write, and memory may be out of date."""
    name: str
    """Path or URL for messages, without the password."""
    longest: float | None
    """Seconds without an answer after which a server counts as unavailable; None for no limit."""
    is_standby: sa.Select[tuple[bool]]
    """A query: whether the database is a standby, which takes no writes."""

    def exists(self) -> bool:
        """Whether the database exists, as far as is known without opening it."""
        ...

    def check(self) -> None:
        """Raise ``FileRefused`` or ``PoolerRefused`` for a setup that could lose data."""
        ...

    def leftovers(self) -> list[Path]:
        """Files which show that there was a database, if there is none now."""
        ...

    def displaced(self) -> str | None:
        """Why writes no longer reach the database that others open; None if they do."""
        ...

    def key_file(self, suffix: str) -> Path | None:
        """The default path of a key; None if the key must be configured."""
        ...

    def hold(self, command: str, *, make: bool = False) -> Any:
        """A context in which no other process writes, where two would corrupt the database.

        ``make`` creates a missing file. Raises ``DatabaseHeld`` and ``FileRefused``.
        """
        ...

    def commands(self) -> sa.Engine:
        """The engine of the operator's commands, which write."""
        ...

    def snapshots(
        self, *, connections: int | None = None, longest: float | None = None
    ) -> sa.Engine:
        """Read-only; all statements of a connection see one snapshot.

        A serving process has at most so many ``connections``. There a server ends a statement
        that takes ``longest``, in seconds; by default as in other transactions.
        """
        ...

    def interrupt(self, driver: Any) -> None:
        """Let the statement that runs on the driver's connection fail, which another thread uses.

        The connection must not be used for another transaction.
        """
        ...

    def writer(self) -> sa.Engine:
        """One connection, with durable commits."""
        ...

    def abort(self, driver: Any) -> None:
        """Break off the driver's connection that another thread waits for; it then fails there."""
        ...

    def readers(self) -> sa.Engine:
        """Read-only; each statement sees everything that was committed before it.

        Its driver is awaited, so it is used within ``greenlet_spawn`` alone. SQLAlchemy's own
        engine for that is in a package that imports the ORM, a tenth of what a start takes.
        """
        ...

    def glances(self) -> Glances:
        """Read-only, for the short reads of hot requests."""
        ...

    def needs_scrub(self, connection: sa.Connection) -> bool:
        """Whether destroyed bytes may still be in files that this process looks after."""
        ...

    def scrub(self, connection: sa.Connection) -> bool:
        """Remove destroyed bytes from the files; False if a reader prevents it.

        The connection must be able to write, and in no transaction.
        """
        ...

    def checkpoint(self, connection: sa.Connection) -> Checkpoint | None:
        """Copy the write-ahead log into the file; None where a server looks after it.

        The connection must be able to write, and in no transaction.
        """
        ...

    def free_space(self) -> int | None:
        """The bytes that are free on the disk of the files; None where a server looks after it."""
        ...

    def prove_durable(self, connection: sa.Connection) -> None:
        """Make durable what is in the files, and commit a transaction; raises what prevents it.

        The connection must be able to write, and in no transaction.
        """
        ...

    def is_full(self, error: Exception) -> bool:
        """Whether the disk has no room; then nothing of the transaction was committed."""
        ...

    def is_disk_error(self, error: Exception) -> bool:
        """Whether the disk of an embedded database could not be read or written."""
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether a transaction was rolled back because of another one: it can be retried."""
        ...

    def is_too_long(self, error: Exception) -> bool:
        """Whether a statement took longer than it may, so that the server ended it."""
        ...

    def is_unavailable(self, error: Exception) -> bool:
        """Whether the database could not be reached, or the connection was lost."""
        ...


def engines(url: sa.URL) -> Engines:
    """The engines for the database at a URL."""
    return SQLite(url) if url.drivername == SQLITE else PostgreSQL(url)
