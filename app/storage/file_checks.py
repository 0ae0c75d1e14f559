"""Checks of a database file and its write-ahead log, before they are opened.

Each refuses a state in which SQLite would go on, and lose or mix up changes.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from app.escaping import printable
from app.storage import lock_file
from app.storage.inodes import beside, size, wal_of
from app.storage.lock_file import FileRefused

_MOUNTS = Path("/proc/self/mountinfo")
_WRONG_END = """
    SELECT 1 FROM organizations WHERE sequence <> coalesce((SELECT max(sequence) FROM events
    WHERE events.organization_id = organizations.organization_id), 0) LIMIT 1
"""


def refuse_second_names(real: Path) -> None:
    """Raise ``FileRefused`` for a file with two names, which would have two write-ahead logs.

    SQLite names the log after the file.
    """
    count = real.stat().st_nlink if real.exists() else 0
    if count > 1:
        raise FileRefused(
            f"{real} has {count} names (hard links), and each would have a write-ahead log of its"
            " own: keep one name and remove the others"
        )
    if _is_mounted(real):
        raise FileRefused(
            f"{real} is mounted as a single file, and its write-ahead log would not lie beside the"
            " original: mount the folder that holds it"
        )


def _is_mounted(real: Path) -> bool:
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return False
    return str(real) in (_unescaped(mount.split()[4]) for mount in mounts)


def _unescaped(place: str) -> str:
    """A path of ``mountinfo``, which writes blanks and backslashes as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place)


def refuse_without_wal(real: Path) -> None:
    """Raise ``FileRefused`` if the write-ahead log is needed but missing.

    SQLite removes it only after the last connection has copied it into the file. It removes the
    index, ``-shm``, first: so an index without a log means the same as the lock file's word.
    """
    wal, index, lock = wal_of(real), beside(real, "-shm"), beside(real, ".lock")
    for _ in range(lock_file.ATTEMPTS):  # an ending process removes the log, then updates the lock
        if wal.exists() or not (index.exists() or lock_file.needs_wal(real)):
            return
        time.sleep(lock_file.PAUSE)
    raise FileRefused(
        f"{wal} is missing: the last changes to {real} may have been in it. Put it back; to go on"
        f" without them, or if you restored {real.name} from a backup, remove {lock} and {index}"
    )


def refuse_other_wal(real: Path) -> None:
    """Raise ``FileRefused`` for the write-ahead log of another file, or of a later state.

    SQLite would use it, since a log names no file. Only a log that a killed process left is
    checked, so that an ordinary start is fast. The check is read-only.
    """
    wal, index = wal_of(real), beside(real, "-shm")
    if not (size(real) and size(wal)):
        return
    with closing(sqlite3.connect(f"{real.as_uri()}?mode=ro", uri=True)) as connection:
        damage = _damage(connection)
    if damage is not None:
        raise FileRefused(
            f"{real} and {wal} do not belong together ({damage}). If you restored {real.name} from"
            f" a backup, move {wal} and {index} away; else restore a backup"
        )


def _damage(connection: sqlite3.Connection) -> str | None:
    """What another file's log breaks, as far as a check shows that does not read every row."""
    try:
        ((answer,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if answer != "ok":
            return printable(answer)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if {"organizations", "events"} <= tables and connection.execute(_WRONG_END).fetchone():
            return "its log of changes ends elsewhere than the organization says"
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return str(error)
    return None  # opening the file raises any other error
