"""Paths and inodes of a database's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path

    Identity = tuple[int, int]  # device and inode


def beside(path: Path, suffix: str) -> Path:
    """The file in the same folder whose name has ``suffix`` after it."""
    return path.with_name(path.name + suffix)


def wal_of(path: Path) -> Path:
    """The write-ahead log, which SQLite puts beside the file that the name leads to."""
    return beside(path.resolve(), "-wal")


def size(path: Path) -> int:
    """Bytes; 0 for a missing file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def identity_at(path: Path) -> Identity | None:
    """Which file a path leads to; None for a missing one."""
    try:
        return identity(path.stat())
    except OSError:
        return None


def identity(status: os.stat_result) -> Identity:
    """Which file this is, whatever its name."""
    return status.st_dev, status.st_ino
