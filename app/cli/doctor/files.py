"""The files of an SQLite database: the disk, SQLite itself, the write-ahead log, permissions."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.doctor.finding import Finding, ok, warn, wrong
from app.storage import lock_file
from app.storage.inodes import beside, identity_at, size, wal_of
from app.storage.sqlite import AUDIT_KEY, MASTER_KEY
from app.storage.wal_checkpoints import LARGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.config import Config
    from app.storage.sqlite import SQLite

_MIB = 1024**2
_FAULTY = ((3, 7, 0), (3, 51, 2))  # the first and last SQLite whose logs two processes can corrupt
_PROCESSES = Path("/proc")
_OF_OTHERS, _OF_ALL = 0o077, 0o007


def disk(config: Config, database: SQLite) -> Finding:
    """Free space against the mark below which nothing is written."""
    free, mark = database.free_space(), config.least_free_space
    text = f"{free // _MIB} MiB are free; below {mark // _MIB} MiB nothing is written"
    if free < mark:
        return wrong("disk", f"{text}: make room, or lower BACKSTORY_MIN_FREE_SPACE")
    if free < 2 * mark:
        return warn("disk", f"{text}: make room")
    return ok("disk", text)


def version() -> Finding:
    """SQLite's release, and its fault that concerns a write-ahead log."""
    first, last = _FAULTY
    if first <= sqlite3.sqlite_version_info <= last:
        fault = "two processes that checkpoint can corrupt a file; a server alone does"
        return ok("sqlite", f"{sqlite3.sqlite_version}: {fault}")
    return ok("sqlite", sqlite3.sqlite_version)


def wal(database: SQLite) -> Finding:
    """The size of the write-ahead log, and who empties it."""
    length = size(wal_of(database.path))
    holder = writer(database)
    text = f"{length // 1024} KiB"
    if holder is None:
        return ok("wal", f"{text}; no server runs")
    text += f"; {holder.command} (process {holder.pid}) writes and checkpoints"
    if length > LARGE:
        return warn("wal", f"{text}: a long read, such as a backup, keeps it from being emptied")
    return ok("wal", text)


def writer(database: SQLite) -> lock_file.Holder | None:
    """The process that writes the file, as the lock file says, if that process runs."""
    holder = lock_file.read_once(database.path.resolve())
    if holder is None:
        return None
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it runs, as another user
        pass
    return holder


def other_writers(database: SQLite) -> Iterator[Finding]:
    """Processes beside the server that have the file open for writing; on Linux, if visible."""
    holder = writer(database)
    known = {os.getpid()} | ({holder.pid} if holder else set())
    for pid, command in _writing(database.path):
        if pid not in known:
            yield wrong(
                "writers",
                f"process {pid} ({command}) has the file open for writing, too: stop it, since two"
                " processes that checkpoint can corrupt a file",
            )


def _writing(path: Path) -> Iterator[tuple[int, str]]:
    """The processes that have a file open for writing, with the names of their programs."""
    here = identity_at(path)
    for process in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            numbers = [one.name for one in (process / "fd").iterdir() if identity_at(one) == here]
            if here is not None and any(_writes(process, number) for number in numbers):
                yield int(process.name), (process / "comm").read_text().strip()


def _writes(process: Path, number: str) -> bool:
    text = (process / "fdinfo" / number).read_text()
    flags = next(line.split()[1] for line in text.splitlines() if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def permissions(config: Config, database: SQLite) -> Iterator[Finding]:
    """Whether the files are this user's alone."""
    real = database.path.resolve()
    keys = [
        Path(config.master_key_file or beside(database.path, MASTER_KEY)),
        Path(config.audit_key_file or beside(database.path, AUDIT_KEY)),
    ]
    files = [file for file in (real, wal_of(real), beside(real, "-shm"), *keys) if file.exists()]
    faults = [*_faults(files, keys)]
    yield from faults or [ok("permissions", f"{len(files)} files are this user's alone")]


def _faults(files: list[Path], keys: list[Path]) -> Iterator[Finding]:
    for file in files:
        mode = stat.S_IMODE(file.stat().st_mode)
        if not os.access(file, os.R_OK if file in keys else os.R_OK | os.W_OK):
            yield wrong("permissions", f"{file} is not this user's to use: change its owner")
        elif file in keys and mode & _OF_ALL:
            yield wrong(
                "permissions", f"everybody can read the key {file}: chmod 600, and rotate it"
            )
        elif mode & _OF_OTHERS:
            yield warn("permissions", f"{file} has mode {mode:o}: chmod 600")
