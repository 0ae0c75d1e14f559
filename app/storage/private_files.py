"""Files that commands make: their owner's alone, whatever the umask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_FILE = 0o600
_FOLDER = 0o700


def open_for_writing(path: Path, *, keep: int = 0) -> BinaryIO:
    """A file that is empty, or holds the first bytes of what it held."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, _FILE)
    file = os.fdopen(handle, "r+b")
    file.truncate(keep)
    file.seek(keep)
    return file


def write(path: Path, data: bytes) -> None:
    """Write a file whole, and see it on the disk."""
    with open_for_writing(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Make a folder where it is missing."""
    path.mkdir(_FOLDER, parents=True, exist_ok=True)
