"""The file of an embedded database: lock it for one process, and see that it stays in place.

The lock is on the database file itself, so that every name of the file leads to the same lock: a
symbolic link, a hard link, a bind mount. It is a ``flock``, for three reasons. On a local file
system it is independent of the ``fcntl`` locks that SQLite takes on the same file. It belongs to
the open file, so it ends with the process, even a killed one. And Python has it on every system
where SQLite's write-ahead log works. (Network file systems turn it into ``fcntl`` locks, but the
write-ahead log does not work there.)

Beware: when a process closes any descriptor of a file, it loses all its ``fcntl`` locks on it
(https://sqlite.org/howtocorrupt.html, 2.2). So the descriptor is closed after SQLite's connections,
and after a refused lock it stays open until the process ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from app.storage import file_checks, lock_file
from app.storage.inodes import beside, identity, identity_at, size, wal_of
from app.storage.lock_file import DatabaseHeld, FileRefused, Holder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.storage.inodes import Identity

_PRIVATE, _RIGHTS_OF_OTHERS = 0o600, 0o077
_CHUNK = 1024 * 1024
_MAGIC = b"SQLite format 3\0"
_log = structlog.get_logger(__name__)


class _Held:
    """A file that this process holds."""

    def __init__(self, path: Path, file: int, lock: int, holder: Holder) -> None:
        self.path = path
        self.file = file
        self.identity = identity(os.fstat(file))
        self.wal = wal_of(path)
        self.wal_identity: Identity | None = None
        self.holder = holder
        self._lock = lock

    def note(self, *, needs_wal: bool) -> None:
        """Write the lock file, before it is acted on."""
        self.holder = msgspec.structs.replace(self.holder, needs_log=needs_wal)
        lock_file.write(self._lock, self.holder)

    def note_end(self) -> None:
        """Write the lock file at the end: a reader may keep SQLite from emptying the log."""
        if size(self.wal):
            self.note(needs_wal=True)
        else:
            lock_file.write(self._lock, None)


_held: dict[Path, _Held] = {}  # by the name under which the file was opened


@contextmanager
def hold(path: Path, command: str, *, make: bool = False) -> Iterator[None]:
    """Be the only process that writes the file; ``make`` creates a missing one.

    Close all connections to it before this ends. Raises ``DatabaseHeld`` and ``FileRefused``.
    """
    real = path.resolve()  # as SQLite does: the write-ahead log lies beside the file
    if not real.parent.is_dir():  # a typing error, or a disk that is not mounted
        raise FileNotFoundError(f"there is no folder {real.parent}")
    is_new = make and not real.exists()
    file = _lock(real, make=make)
    try:
        with lock_file.locked(real) as lock:
            check(real)
            file_checks.refuse_other_wal(real)
            held = _Held(path.absolute(), file, lock, Holder(pid=os.getpid(), command=command))
            _make_private(held)
            held.note(needs_wal=has_wal(real))
            _held[held.path] = held
            try:
                yield
            finally:
                del _held[held.path]
                held.note_end()
    finally:
        if is_new and not size(real):  # nothing was written
            real.unlink(missing_ok=True)
        os.close(file)


def opened_for_writing(path: Path) -> None:
    """Note, before the first write, that the write-ahead log is needed from now on."""
    held = _held.get(path.absolute())
    if held is None:
        return
    held.wal_identity = identity_at(held.wal)
    if not held.holder.needs_log:
        held.note(needs_wal=True)


def closed_for_writing(path: Path) -> None:
    """Note that no connection writes: the last one to close removes the write-ahead log.

    A reader may create another one, which then counts as replaced only after a new connection for
    writing has noted it.
    """
    held = _held.get(path.absolute())
    if held is not None:
        held.wal_identity = None


def displaced(path: Path) -> str | None:
    """Why the paths of a held file lead elsewhere; None if they do not.

    If the database or its write-ahead log was removed or replaced, later writes are lost when the
    process ends, so they must not be confirmed. Takes a few microseconds.
    """
    held = _held.get(path.absolute())
    if held is None:
        return None
    if identity_at(held.path) != held.identity:
        return f"{path} was removed or replaced while it was open"
    if held.wal_identity is not None and identity_at(held.wal) != held.wal_identity:
        return f"{held.wal} was removed or replaced while it was open"
    return None


def check(path: Path) -> None:
    """Raise ``FileRefused`` if the write-ahead log is missing or would lie elsewhere."""
    file_checks.refuse_second_names(path.resolve())
    file_checks.refuse_without_wal(path.resolve())


def is_empty(path: Path) -> bool:
    """Whether the file is missing or empty."""
    return not size(path)


def has_wal(path: Path) -> bool:
    """Whether there is a write-ahead log that is not empty."""
    return bool(size(wal_of(path)))


def write_wal_again(path: Path) -> None:
    """Write every byte of the write-ahead log in its place again, and sync.

    Nobody else may write meanwhile. SQLite has no locks on this file that closing it would drop.
    """
    if not has_wal(path):
        return
    with wal_of(path).open("r+b", buffering=0) as wal:
        position = 0
        while chunk := os.pread(wal.fileno(), _CHUNK, position):
            position += os.pwrite(wal.fileno(), chunk, position)
        os.fsync(wal.fileno())


def leftovers(path: Path, *suffixes: str) -> list[Path]:
    """Files which show that there was a database, if there is none now."""
    files = [file for file in (beside(path, suffix) for suffix in suffixes) if file.exists()]
    if is_empty(path.resolve()) and has_wal(path):  # SQLite would remove it
        files.append(wal_of(path))
    return files


def _lock(real: Path, *, make: bool) -> int:
    """A descriptor of the file that the name leads to, locked."""
    flags = os.O_RDWR | (os.O_CREAT if make else 0)
    for _ in range(lock_file.ATTEMPTS):
        # Checked first, because opening and closing the file would drop SQLite's locks.
        if (held := _held_at(real)) is not None:
            raise DatabaseHeld(real, held.holder)
        file = os.open(real, flags, _PRIVATE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseHeld(real, lock_file.read_holder(real)) from None
        if identity(os.fstat(file)) == identity_at(real):
            return file
        os.close(file)  # the process that held it removed it
    raise FileRefused(f"{real} is replaced again and again")


def _held_at(real: Path) -> _Held | None:
    here = identity_at(real)
    return next((held for held in _held.values() if held.identity == here), None)


def _make_private(held: _Held) -> None:
    """Remove rights of others, which earlier releases left; SQLite's other files follow them."""
    status = os.fstat(held.file)
    if not status.st_mode & _RIGHTS_OF_OTHERS or status.st_uid != os.geteuid():
        return
    if os.pread(held.file, len(_MAGIC), 0) != _MAGIC:
        return  # not a database, so not ours to change
    os.fchmod(held.file, _PRIVATE)
    for file in (held.wal, beside(held.path.resolve(), "-shm")):
        with suppress(OSError):
            file.chmod(_PRIVATE)
    _log.warning("database_made_private", file=str(held.path), was=f"{status.st_mode & 0o777:o}")
