"""The manifest of a backup: what its file holds, and which keys it needs. It is written last."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from app.storage import private_files
from events import log_head, merkle
from events.setting_types import Moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from app.storage.backups import Backups

_NAME = "manifest.json"
_PART = ".part"


class BackupRefused(Exception):
    """The folder holds no whole backup, or may not be written; the message says why."""


class LogState(Struct, frozen=True, kw_only=True):
    """Where the log of an organization ends."""

    organization_id: int
    origin: str  # names the log in checkpoints
    sequence: int  # of the last event
    tree_size: int  # leaves of its Merkle tree
    root: str  # of that tree, in base64


class Manifest(Struct, frozen=True, kw_only=True):
    """A backup: its file, what the file holds, and the fingerprints of the keys it needs."""

    format: Literal[1] = 1
    release: str  # of Backstory
    engine: str
    schema: str  # the revision
    settings: str  # the digest of the settings' shape, with which the views are folded
    taken_at: Moment  # when it began: the file holds all that was answered before
    organizations: list[LogState]
    file: str
    size: int  # bytes
    sha256: str
    master_keys: list[str]  # fingerprints of those that open the file's sealed keys
    unknown_keys: int  # sealed keys that no master key opened which was configured
    audit_key: str | None  # the fingerprint of the key that signed checkpoints then

    @property
    def events(self) -> int:
        """How many events the logs hold."""
        return sum(log.sequence for log in self.organizations)


def log_states(connection: sa.Connection) -> list[LogState]:
    """Where the logs of all organizations end, as a snapshot shows it."""
    return [_log_state(connection, number) for number in log_head.organization_ids(connection)]


def _log_state(connection: sa.Connection, organization_id: int) -> LogState:
    head = log_head.head_of(connection, organization_id)
    return LogState(
        organization_id=organization_id,
        origin=head.origin,
        sequence=head.sequence,
        tree_size=head.sequence,
        root=base64.b64encode(merkle.root(head.frontier)).decode(),
    )


# -- write


@contextmanager
def prepared(folder: Path, backups: Backups) -> Iterator[Path]:
    """A folder for a new backup, which no other process fills meanwhile; yields the copy's path.

    What an interrupted backup left in it is replaced. Raises ``BackupRefused``.
    """
    private_files.make_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        _refuse_used(folder, backups.file_name)
        part = folder / (backups.file_name + _PART)
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)  # what failed must not fill the disk
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BackupRefused(f"another backup is being written to {folder}") from None
    except OSError:  # a network's file system, which may not lock folders
        pass


def _refuse_used(folder: Path, file_name: str) -> None:
    if (folder / _NAME).exists():
        raise BackupRefused(f"{folder} holds a backup; name a new folder")
    left = {file_name, file_name + _PART, _NAME + _PART}
    if other := sorted({entry.name for entry in folder.iterdir()} - left):
        raise BackupRefused(f"{folder} is not empty: it holds {other[0]}; name a new folder")


def complete(folder: Path, part: Path, manifest: Manifest) -> None:
    """Give the copy its name, then write the manifest: only now the folder holds a backup."""
    private_files.replace(part, folder / manifest.file)
    written = folder / (_NAME + _PART)
    private_files.write(written, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    private_files.replace(written, folder / _NAME)
    private_files.sync(folder.resolve().parent)


def digest(path: Path) -> tuple[int, str]:
    """Bytes of a file, and their SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), found


# -- read


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a folder; raises ``BackupRefused`` unless the folder holds a backup."""
    path = folder / _NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise BackupRefused(
            f"{folder} holds no whole backup: {_NAME}, which is written last, is missing"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BackupRefused(f"{path} is not the manifest of a backup: {error}") from None
    if Path(manifest.file).name != manifest.file:
        raise BackupRefused(f"{path} names a file outside of its folder")
    return manifest


def check_file(folder: Path, manifest: Manifest) -> Path:
    """The copy, whose bytes are those that were written; raises ``BackupRefused``."""
    path = folder / manifest.file
    try:
        size, sha256 = digest(path)
    except FileNotFoundError:
        raise BackupRefused(f"{path} is missing") from None
    if size != manifest.size:
        raise BackupRefused(f"{path} has {size} bytes; the manifest says {manifest.size}")
    if sha256 != manifest.sha256:
        raise BackupRefused(f"{path} is not what was written: its SHA-256 is another one")
    return path
