"""What can prevent a backup or its restoration."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 1024**2


class NotEmpty(Exception):
    """A backup is restored only where nothing is."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not empty: restore into a new database")


class NoRoom(Exception):
    """A copy would fill the disk; servers must be able to go on."""

    def __init__(self, folder: Path, free: int, needed: int) -> None:
        most = needed // _MIB + 1
        super().__init__(
            f"{folder} has {free // _MIB} MiB of free space, and {most} MiB are needed"
        )


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
