"""The lock file beside a database: which process writes the database.

It also says whether the write-ahead log is needed. It is locked too, because earlier releases
locked it instead of the database.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from app.escaping import printable
from app.storage.inodes import beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ATTEMPTS = 20  # while another process starts or ends
PAUSE = 0.01  # seconds
_MOST_BYTES = 4096  # that are read


class Holder(Struct, frozen=True, kw_only=True):
    """The process that has a database file open for writing, or had it last."""

    pid: int
    command: str
    needs_log: bool = False
    """Whether the write-ahead log may hold changes that the file lacks: then it must be there."""


class DatabaseHeld(Exception):
    """Another process writes this database file."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        process = f"process {holder.pid} ({printable(holder.command)})" if holder else None
        super().__init__(f"{path} is held by {process or 'another process'}")
        self.path = path
        self.holder = holder


class FileRefused(Exception):
    """Using this file as it is could lose data; the message says why and what to do."""


@contextmanager
def locked(real: Path) -> Iterator[int]:
    """Lock the lock file of a database, and give its descriptor.

    Raises ``DatabaseHeld``, and ``FileRefused`` for a file that another program wrote.
    """
    # Opened without truncation: until the lock is ours, the text in it is the holder's.
    lock = os.open(_path(real), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseHeld(real, read_holder(real)) from None
        _decode(_path(real), os.pread(lock, _MOST_BYTES, 0))
        yield lock
    finally:
        os.close(lock)


def write(lock: int, holder: Holder | None) -> None:
    """Write down who holds the database, None for no process, and sync it to the disk."""
    text = msgspec.json.encode(holder) if holder is not None else b""
    # In this order, so that a full disk leaves the old text complete.
    os.pwrite(lock, text, 0)
    os.ftruncate(lock, len(text))
    os.fsync(lock)


def read_holder(real: Path) -> Holder | None:
    """The process that holds a database; None if its lock file does not say."""
    for _ in range(ATTEMPTS):  # the holder writes its name just after it takes the lock
        if (holder := read_once(real)) is not None:
            return holder
        time.sleep(PAUSE)
    return None


def needs_wal(real: Path) -> bool:
    """Whether the lock file says that the write-ahead log is needed.

    False for an unreadable file: the process that locks it refuses it.
    """
    holder = read_once(real)
    return holder is not None and holder.needs_log


def read_once(real: Path) -> Holder | None:
    """The process that the lock file names; None if it names none, or cannot be read."""
    with suppress(OSError, FileRefused):
        return _decode(_path(real), _path(real).read_bytes()[:_MOST_BYTES])
    return None


def _path(real: Path) -> Path:
    return beside(real, ".lock")


def _decode(lock: Path, text: bytes) -> Holder | None:
    """The last holder; raises ``FileRefused`` for text of another program."""
    if not text.strip(b"\0 \r\n"):
        return None
    try:
        return msgspec.json.decode(text, type=Holder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FileRefused(
            f"{lock} holds text that backstory did not write: if no other program needs it,"
            " remove it"
        ) from None
