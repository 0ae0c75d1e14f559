"""Backups of a PostgreSQL database by its own tools, ``pg_dump`` and ``pg_restore``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.storage import private_files
from app.storage.backup_errors import NotEmpty, ToolFailed, ToolMissing
from app.storage.postgresql import PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENGINE = "postgresql"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_EXPORT = sa.text("SELECT pg_export_snapshot()")
_SERVER_VERSION = sa.text("SELECT current_setting('server_version_num')::integer / 10000")
# The snapshot lasts as long as its transaction, which does nothing while pg_dump reads.
_STAY = sa.text("SET LOCAL idle_in_transaction_session_timeout = 0")
_RELATIONS = sa.text(
    "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND relkind IN ('r', 'p', 'v')"
    " AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass"
    " AND objid = pg_class.oid AND deptype = 'e')"  # what an extension brings
)


class ServerBackups:
    """Dumps one snapshot of a database, and restores it in one transaction."""

    engine = ENGINE
    file_name = "backstory.dump"

    def __init__(self, url: sa.URL) -> None:
        self._url = url
        self._database = PostgreSQL(url)

    @contextmanager
    def copied(self, target: Path, spare: int) -> Iterator[sa.Connection]:  # noqa: ARG002  # the protocol has it
        """Dump the snapshot that the connection reads."""
        engine = self._database.snapshots()
        try:
            with engine.connect() as connection:
                connection.execute(_STAY)
                tool = _find("pg_dump", connection.scalar(_SERVER_VERSION))
                snapshot = connection.scalar(_EXPORT)
                private_files.open_for_writing(target).close()
                # Owners and rights are those of whoever restores.
                self._run(
                    tool,
                    "--format=custom",
                    "--no-owner",
                    "--no-privileges",
                    f"--snapshot={snapshot}",
                    f"--file={target}",
                )
                private_files.sync(target)
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def restored(self, copy: Path) -> Iterator[sa.URL]:
        """Restore it by one transaction: all of it is there, or nothing."""
        self._refuse_used()
        self._run(
            _find("pg_restore"),
            "--single-transaction",
            "--exit-on-error",
            "--no-owner",
            "--no-privileges",
            str(copy),
        )
        yield self._url

    def _refuse_used(self) -> None:
        """Raise ``NotEmpty`` for tables and views, except for those of extensions."""
        engine = self._database.snapshots()
        try:
            with engine.connect() as connection:
                if connection.scalar(_RELATIONS):
                    raise NotEmpty(self._database.name)
        finally:
            engine.dispose()

    def _run(self, tool: str, *arguments: str) -> None:
        options, environment = self._database.libpq()
        _run([tool, f"--dbname={options}", *arguments], os.environ | environment)


def check_dump(copy: Path) -> None:
    """Let ``pg_restore`` list what a dump holds; raises ``ToolMissing`` and ``ToolFailed``."""
    _run([_find("pg_restore"), "--list", str(copy)], os.environ)


def _find(tool: str, needed: int | None = None) -> str:
    """The path of a tool; raises ``ToolMissing`` for none, and for one older than the server."""
    path = shutil.which(tool)
    if path is None:
        raise ToolMissing(tool, "none is on PATH", needed)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603  # found on PATH, by a name of ours
    version = _VERSION.search(said.stdout)
    if needed is not None and (version is None or int(version[1]) < needed):
        raise ToolMissing(tool, f"{path} is {said.stdout.strip() or 'another program'}", needed)
    return path


def _run(command: list[str], environment: dict[str, str] | os._Environ[str]) -> None:
    ended = subprocess.run(  # noqa: S603  # as above; the password is in the environment
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if ended.returncode:
        first = next(iter(ended.stderr.splitlines()), f"exit code {ended.returncode}")
        raise ToolFailed(f"{command[0]} failed: {first}")
