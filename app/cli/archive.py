"""``backstory archive``: all events before a date as files, proven once they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from app.api.parameter_values import invalid_query, moment
from app.audit import archive, signing
from app.cli import context, export, terminal
from app.cli.options import DATABASE, TEXT
from app.storage.engines import engines
from events import log_head

if TYPE_CHECKING:
    from datetime import datetime

    import sqlalchemy as sa

    from app.audit.exporting import Export
    from app.audit.signing import Signer
    from app.config import Config


@click.command("archive")
@click.option(
    "--before", required=True, type=TEXT, metavar="DATE", help="RFC 3339, or a date, UTC."
)
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--organization", type=TEXT, metavar="NAME", help="Only this one; all, by default.")
@DATABASE
def archive_log(before: str, folder: Path, organization: str | None, database: str | None) -> None:
    """Write all events before a date to files, and prove them. Nothing is removed from the log."""
    config = context.configure(database_url=database)
    with export.reporting_errors(), context.reading(config) as connection:
        end = _moment(before)
        signer = signing.open_signer(config, make=False)
        ids = _organizations(connection, organization)
        count = sum(log_head.head_of(connection, number).sequence for number in ids)
    with export.reporting_errors():
        exports = _write(config, signer, ids, end, folder, count)
    for written in exports:
        place = archive.folder_of(folder, written.organization_id)
        if written.until == written.after:
            terminal.say(f"{place}: nothing new before {end:%Y-%m-%d}")
            continue
        export.record(config, written, "backstory archive")
        terminal.say(f"{place}: sequences {written.after + 1} to {written.until}, verified")


def _moment(text: str) -> datetime:
    """A moment; a date alone is its beginning in UTC."""
    is_date = len(text) == len("2026-01-01")
    parsed = moment("before", f"{text}T00:00:00Z" if is_date else text)
    if parsed is None:
        raise invalid_query("before", "Input should be a date")
    return parsed


def _organizations(connection: sa.Connection, name: str | None) -> list[int]:
    if name is not None:
        return [context.find_organization(connection, name)]
    return log_head.organization_ids(connection)


def _write(
    config: Config,
    signer: Signer,
    organization_ids: list[int],
    before: datetime,
    folder: Path,
    count: int,
) -> list[Export]:
    """Add the next part of each organization's log; the export that each part holds."""
    engine = engines(config.url).snapshots()
    try:
        with (
            context.reporting_database_errors(config),
            terminal.progress("archiving", count, "events") as advance,
        ):
            return [
                archive.write(engine, signer, organization_id, before, folder, advance)
                for organization_id in organization_ids
            ]
    except archive.ArchiveBroken as error:
        terminal.fail(str(error), 1)
    finally:
        engine.dispose()
