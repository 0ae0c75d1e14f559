"""The file of an embedded database: which process may write it, and whether it is all there.

The lock is on the database file itself, so that another name of the file leads to the same lock:
a symbolic link, a hard link, a bind mount. It is ``flock``, for three reasons. On a local file
system it has nothing to do with the ``fcntl`` locks that SQLite takes on the same file. It belongs
to the open file, so that it ends with the process, also when that is killed. And Python has it on
every system that has SQLite's log of writes. (Network file systems make ``fcntl`` locks of it, but
SQLite's log of writes does not work on those.)

One thing is to be kept in mind: when a process closes any descriptor of a file, it loses all its
``fcntl`` locks on it (https://sqlite.org/howtocorrupt.html, 2.2). So the descriptor is closed after
SQLite's connections are, and where the lock is refused it stays open until the process ends.

The lock file beside the database says who holds it, and whether the log of writes is needed.
Earlier releases locked it in the database's place, so it is locked as well.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from msgspec import Struct

from app.escaping import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    Identity = tuple[int, int]  # device and inode

_ATTEMPTS = 20  # where another process is just about to begin or to end
_PAUSE = 0.01  # seconds
_MOUNTS = Path("/proc/self/mountinfo")
_BROKEN_OFF = """
    SELECT 1 FROM organizations WHERE sequence <> coalesce((SELECT max(sequence) FROM events
    WHERE events.organization_id = organizations.organization_id), 0) LIMIT 1
"""
_PRIVATE, _RIGHTS_OF_OTHERS = 0o600, 0o077
_LONGEST = 4096  # bytes of a lock file that are read
_log = structlog.get_logger(__name__)


class Holder(Struct, frozen=True, kw_only=True):
    """Which process has a database file open for writing, or had it last."""

    pid: int
    command: str
    needs_log: bool = False
    """Whether the log of writes may hold what is not in the file yet: then it must be there."""


class DatabaseHeld(Exception):
    """Another process writes this database file."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        who = f"process {holder.pid} ({printable(holder.command)})" if holder else None
        super().__init__(f"{path} is held by {who or 'another process'}")
        self.path = path
        self.holder = holder


class FileRefused(Exception):
    """To work with this file as it is could lose data; the message says why and what to do."""


class _Held:
    """A file that this process holds."""

    def __init__(self, path: Path, file: int, lock: int, holder: Holder) -> None:
        self.path = path
        self.file = file
        self.identity = _identity(os.fstat(file))
        self.log = _log_of(path)
        self.log_identity: Identity | None = None
        self._lock = lock
        self._holder = holder

    @property
    def holder(self) -> Holder:
        return self._holder

    def say(self, *, needs_log: bool) -> None:
        """Write down who holds the file, and see it on the disk."""
        self._holder = msgspec.structs.replace(self._holder, needs_log=needs_log)
        self._write(msgspec.json.encode(self._holder))

    def say_that_it_ends(self) -> None:
        """Where a reader keeps SQLite from emptying the log of writes, it is still needed."""
        if _size(self.log):
            self.say(needs_log=True)
        else:
            self._write(b"")

    def _write(self, text: bytes) -> None:
        # In this order, so that a disk that is full takes nothing away.
        os.pwrite(self._lock, text, 0)
        os.ftruncate(self._lock, len(text))
        os.fsync(self._lock)


_held: dict[Path, _Held] = {}  # by the name under which the file was opened


@contextmanager
def hold(path: Path, command: str, *, make: bool = False) -> Iterator[None]:
    """Be the only process that writes the file; ``make`` makes it where there is none.

    Close all connections to it before this ends. Raises ``DatabaseHeld`` and ``FileRefused``.
    """
    real = path.resolve()  # as SQLite does it: the log of writes lies beside the file
    if not real.parent.is_dir():  # a typing error, or a disk that is not there
        raise FileNotFoundError(f"there is no folder {real.parent}")
    is_new = make and not real.exists()
    file = _locked(real, make=make)
    try:
        with _lock_file(real) as lock:
            check(real)
            _refuse_other_log(real)
            held = _Held(path.absolute(), file, lock, Holder(pid=os.getpid(), command=command))
            _make_private(held)
            held.say(needs_log=bool(_size(_log_of(real))))
            _held[held.path] = held
            try:
                yield
            finally:
                del _held[held.path]
                held.say_that_it_ends()
    finally:
        if is_new and not _size(real):  # nothing came of it
            real.unlink(missing_ok=True)
        os.close(file)


def opened_for_writing(path: Path) -> None:
    """Note, before the first write, that from here on the log of writes is needed."""
    held = _held.get(path.absolute())
    if held is None:
        return
    held.log_identity = _found(held.log)
    if not held.holder.needs_log:
        held.say(needs_log=True)


_MAGIC = b"SQLite format 3\0"


def _make_private(held: _Held) -> None:
    """Take away the rights that an earlier release left to others; SQLite's files follow it."""
    status = os.fstat(held.file)
    if not status.st_mode & _RIGHTS_OF_OTHERS or status.st_uid != os.geteuid():
        return
    if os.pread(held.file, len(_MAGIC), 0) != _MAGIC:
        return  # it is no database, and so is not ours to change
    os.fchmod(held.file, _PRIVATE)
    for file in (held.log, _beside(held.path.resolve(), "-shm")):
        with suppress(OSError):
            file.chmod(_PRIVATE)
    _log.warning("database_made_private", file=str(held.path), was=f"{status.st_mode & 0o777:o}")


def displaced(path: Path) -> str | None:
    """What is wrong where the names of a file that this process holds lead elsewhere, else None.

    Somebody removed or replaced the database or its log of writes: what was written since is lost
    when the process ends, so it must not be answered as done. Takes a few microseconds.
    """
    held = _held.get(path.absolute())
    if held is None:
        return None
    if _found(held.path) != held.identity:
        return f"{path} was removed or replaced while it was open"
    if held.log_identity is not None and _found(held.log) != held.log_identity:
        return f"{held.log} was removed or replaced while it was open"
    return None


def check(path: Path) -> None:
    """Raise ``FileRefused`` where the log of writes is not there, or lies elsewhere."""
    _refuse_second_names(path.resolve())
    _refuse_without_log(path.resolve())


def _refuse_without_log(real: Path) -> None:
    """Raise ``FileRefused`` where the log of writes is needed and is not there.

    SQLite removes it only when the last connection has copied it into the file. Its index, which
    ends in ``-shm``, goes first: an index without a log says the same as the lock file.
    """
    log, index, lock = _log_of(real), _beside(real, "-shm"), _beside(real, ".lock")
    for _ in range(_ATTEMPTS):  # a process that ends removes the log, then says so
        if log.exists() or not (index.exists() or _needs_log(lock)):
            return
        time.sleep(_PAUSE)
    raise FileRefused(
        f"{log} is missing: the last changes to {real} may have been in it. Put it back; to go on"
        f" without them, or if you restored {real.name} from a backup, remove {lock} and {index}"
    )


def _refuse_other_log(real: Path) -> None:
    """Raise ``FileRefused`` where the log of writes is that of a later or another file.

    SQLite would take it: a log names no file. Only what is left of a process that was killed is
    looked at, so that an ordinary start is fast. The connection cannot write.
    """
    log, index = _log_of(real), _beside(real, "-shm")
    if not (_size(real) and _size(log)):
        return
    with closing(sqlite3.connect(f"{real.as_uri()}?mode=ro", uri=True)) as connection:
        if (found := _damage(connection)) is None:
            return
    raise FileRefused(
        f"{real} and {log} do not belong together ({found}). If you restored {real.name} from a"
        f" backup, move {log} and {index} away; else restore a backup"
    )


def _damage(connection: sqlite3.Connection) -> str | None:
    """What a log of another file leaves, as far as it is found without reading every row."""
    try:
        ((said,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if said != "ok":
            return printable(said)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if {"organizations", "events"} <= tables and connection.execute(_BROKEN_OFF).fetchone():
            return "its log of changes ends elsewhere than the organization says"
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return str(error)
    return None  # what else is wrong is said when it is opened


def is_empty(path: Path) -> bool:
    """Whether there is no file, or one without a byte."""
    return not _size(path)


def has_log(path: Path) -> bool:
    """Whether there is a log of writes with something in it."""
    return bool(_size(_log_of(path)))


def leftovers(path: Path, *suffixes: str) -> list[Path]:
    """The files that show that there was a database where there is none now."""
    real = path.resolve()
    found = [file for file in (_beside(path, suffix) for suffix in suffixes) if file.exists()]
    if is_empty(real) and _size(_log_of(real)):  # SQLite would remove it
        found.append(_log_of(real))
    return found


# -- the lock


def _locked(real: Path, *, make: bool) -> int:
    """A descriptor of the file that the name leads to, locked."""
    flags = os.O_RDWR | (os.O_CREAT if make else 0)
    for _ in range(_ATTEMPTS):
        if (here := _held_here(real)) is not None:  # before it is opened, and closed again
            raise DatabaseHeld(real, here.holder)
        file = os.open(real, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseHeld(real, _read_holder(real)) from None
        if _identity(os.fstat(file)) == _found(real):
            return file
        os.close(file)  # the process that held it removed it
    raise FileRefused(f"{real} is replaced again and again")


def _held_here(real: Path) -> _Held | None:
    identity = _found(real)
    return next((held for held in _held.values() if held.identity == identity), None)


def _refuse_second_names(real: Path) -> None:
    """SQLite names the log of writes after the file: with two names, there would be two logs."""
    count = real.stat().st_nlink if real.exists() else 0
    if count > 1:
        raise FileRefused(
            f"{real} has {count} names (hard links), and each would have a log of writes of its"
            " own: keep one name and remove the others"
        )
    if _is_mounted(real):
        raise FileRefused(
            f"{real} is mounted as a single file, and its log of writes would not lie beside the"
            " original: mount the folder that holds it"
        )


def _is_mounted(real: Path) -> bool:
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return False
    places = (re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), m.split()[4]) for m in mounts)
    return str(real) in places


# -- the lock file


@contextmanager
def _lock_file(real: Path) -> Iterator[int]:
    """The lock file, locked; what stands in it is the work of this or an earlier release."""
    # Opened without truncation: until the lock is ours, the text in it is the holder's.
    lock = os.open(_beside(real, ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseHeld(real, _read_holder(real)) from None
        _decode(_beside(real, ".lock"), os.pread(lock, _LONGEST, 0))
        yield lock
    finally:
        os.close(lock)


def _decode(lock: Path, text: bytes) -> Holder | None:
    """The last holder; raises ``FileRefused`` for what was not written here."""
    if not text.strip(b"\0 \r\n"):
        return None
    try:
        return msgspec.json.decode(text, type=Holder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FileRefused(
            f"{lock} holds text that backstory did not write: if no other program needs it,"
            " remove it"
        ) from None


def _needs_log(lock: Path) -> bool:
    """What a lock file says; one that says nothing sensible is the matter of who writes."""
    with suppress(OSError, FileRefused):
        holder = _decode(lock, lock.read_bytes()[:_LONGEST])
        return holder is not None and holder.needs_log
    return False


def _read_holder(real: Path) -> Holder | None:
    """Who holds the file, where its lock file says so."""
    # The holder writes its name just after it takes the lock: give it that moment.
    lock = _beside(real, ".lock")
    for _ in range(_ATTEMPTS):
        with suppress(OSError, FileRefused):
            holder = _decode(lock, lock.read_bytes()[:_LONGEST])
            if holder is not None:
                return holder
        time.sleep(_PAUSE)
    return None


# -- names and inodes


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _log_of(path: Path) -> Path:
    """The log of writes, which SQLite calls WAL."""
    return _beside(path.resolve(), "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _found(path: Path) -> Identity | None:
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
