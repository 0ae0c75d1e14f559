"""``backstory doctor``: one line for each part of an installation, and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from app.cli import terminal
from app.cli.doctor import configuration, files, keys, last_backup, server
from app.cli.doctor import database as looks
from app.cli.doctor.finding import Finding, found
from app.cli.options import DATABASE
from app.storage.engines import engines
from app.storage.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from app.config import Config


@click.command()
@click.option(
    "--backups",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder that holds your backups, or one of them.",
)
@DATABASE
def doctor(backups: Path | None, database: str | None) -> None:
    """Examine an installation, also beside a running server; exit 1 where something is wrong.

    Each line says ok, warn or wrong, and what to do. Nothing is changed.
    """
    config, findings, is_known = configuration.read(os.environ, database)
    count = 0
    for finding in (*findings, *(_findings(config, backups) if is_known else ())):
        terminal.say(finding.state, finding.subject, finding.text)
        count += finding.state == "wrong"
    if count:
        terminal.fail("1 line is wrong" if count == 1 else f"{count} lines are wrong", 1)


def _findings(config: Config, backups: Path | None) -> Iterator[Finding]:
    schema = [*found("database", looks.schema, config)]
    yield from schema
    database = engines(config.url)
    if isinstance(database, SQLite):
        yield from _of_files(config, database)
    if any(finding.state == "wrong" for finding in schema):
        return
    engine = database.snapshots()
    try:
        with engine.connect() as connection:
            yield from found("database", _of_contents, config, connection, backups)
    finally:
        engine.dispose()


def _of_files(config: Config, database: SQLite) -> Iterator[Finding]:
    yield from found("disk", files.disk, config, database)
    yield files.version()
    yield from found("wal", files.wal, database)
    yield from found("writers", files.other_writers, database)
    yield from found("permissions", files.permissions, config, database)


def _of_contents(
    config: Config, connection: sa.Connection, backups: Path | None
) -> Iterator[Finding]:
    logs = looks.heads(connection)
    if not engines(config.url).is_embedded:
        yield from found("server", server.version, connection)
        yield from found("durability", server.durability, connection)
        yield from found("nodes", server.nodes, connection)
    yield from found("views", looks.views, connection)
    yield from found("master key", keys.master_keys, config, connection)
    yield from found("audit key", keys.audit_key, config, connection, logs)
    yield from found("clock", looks.clock, config, connection, logs)
    yield from found("checkpoint", looks.checkpoints, config, logs)
    yield from found("backup", last_backup.newest, backups, logs)
