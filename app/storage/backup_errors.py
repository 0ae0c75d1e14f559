"""What can prevent a backup or its restoration."""

from __future__ import annotations


class NotEmpty(Exception):
    """A backup is restored only where nothing is."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not empty: restore into a new database")


class ToolMissing(Exception):
    """A tool of PostgreSQL is not on PATH, or older than the server."""

    def __init__(self, tool: str, found: str, needed: int | None) -> None:
        release = f"PostgreSQL {needed} or newer" if needed else "PostgreSQL"
        super().__init__(
            f"{tool} of {release} is needed, and {found}: install the client programs of the"
            f" server's release (Debian: postgresql-client-{needed or 'N'}), and put them on PATH"
        )


class ToolFailed(Exception):
    """A tool of PostgreSQL ended with an error, which the message repeats."""
