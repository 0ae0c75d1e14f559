"""Files that only their owner may read, whatever the umask: exports, archives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_FILE = 0o600
_FOLDER = 0o700


def open_for_writing(path: Path, *, keep: int = 0) -> BinaryIO:
    """Open a file for writing after its first ``keep`` bytes; the rest is cut off."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, _FILE)
    file = os.fdopen(handle, "r+b")
    file.truncate(keep)
    file.seek(keep)
    return file


def write(path: Path, data: bytes) -> None:
    """Write a whole file and sync it to the disk."""
    with open_for_writing(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Make a missing folder."""
    path.mkdir(_FOLDER, parents=True, exist_ok=True)


def sync(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(part: Path, path: Path) -> None:
    """Give a written file its name, so that whoever finds it finds all of it."""
    os.replace(part, path)  # noqa: PTH105  # one step, and a path stays a path
    sync(path.parent)
