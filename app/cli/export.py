"""``backstory export``: the audit log as a file, which continues where it was cut."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, get_args

import msgspec
import rich_click as click

from app.api.parameter_values import moment, pointer, read_table
from app.audit import exporting, resume, signing
from app.audit.bounds import BeyondLog
from app.audit.exporting import ExportRequest
from app.audit.resume import NotAnExport
from app.cli import context, terminal
from app.cli.destination import Destination
from app.cli.options import DATABASE, ID, ORGANIZATION, TEXT
from app.storage.engines import engines
from app.storage.lock_file import DatabaseHeld
from app.transactions.caller import system
from events import log_head
from events.errors import InvalidSettings
from projections.event_types import EVENT_TYPES
from projections.exports.filter import ExportFilter
from projections.exports.formats import FormatName, find_format
from projections.exports.parquet import ParquetMissing
from projections.exports.resuming import Resumption
from projections.spreadsheets import Formulas

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.audit.exporting import Export
    from app.config import Config
    from projections.exports.format import Format

_OUTPUT = click.Path(path_type=str, dir_okay=False, allow_dash=True)  # a Path of ./- is that of -


@click.command("export")
@ORGANIZATION
@click.option("--format", "form", type=click.Choice(get_args(FormatName)), default="ndjson")
@click.option(
    "--output",
    required=True,
    type=_OUTPUT,
    metavar="FILE",
    help="A file that was cut is continued; - is stdout.",
)
@click.option("--until-sequence", type=int, metavar="N")
@click.option("--since", type=TEXT, metavar="TIME", help="RFC 3339, inclusive.")
@click.option("--until", type=TEXT, metavar="TIME", help="RFC 3339, inclusive.")
@click.option("--assistant", "assistant_id", type=ID, metavar="ID")
@click.option(
    "--actor", type=TEXT, metavar="NAME", help="A key's name, or type:id, such as api_key:3."
)
@click.option("--event-type", type=click.Choice([kind.event_type for kind in EVENT_TYPES]))
@click.option(
    "--path", type=TEXT, metavar="POINTER", help="A JSON Pointer, or the beginning of some."
)
@click.option("--formulas", type=click.Choice(get_args(Formulas)), help="CSV: quoted by default.")
@click.option("--bom", is_flag=True, help="CSV: begin with a byte order mark, which Excel wants.")
@DATABASE
def export_log(
    organization: str | None,
    form: str,
    output: str,
    until_sequence: int | None,
    since: str | None,
    until: str | None,
    formulas: Formulas | None,
    database: str | None,
    *,
    bom: bool,
    **filters: Any,
) -> None:
    """Write the audit log to a file, also beside a running server; continue a file that was cut.

    An output that is not a file, such as a pipe, gets all of it.
    """
    config = context.configure(database_url=database)
    destination = Destination(output)
    with reporting_errors():
        chosen = find_format(form, read_table(form, formulas, bom=bom))
    done = Resumption() if destination.is_stream else resume.find(destination.path, chosen)
    with reporting_errors():
        request = ExportRequest(
            after=done.after,
            until_sequence=until_sequence,
            since=moment("since", since),
            until=moment("until", until),
            filter=ExportFilter(**filters | {"path": pointer(filters["path"]) or None}),
        )
        export = _plan(config, organization, request, chosen, done, destination.path)
    with destination.opened(done.size) as file:  # before the export is recorded: it may fail
        if export.until > done.reached:
            rest = msgspec.structs.replace(export, after=max(export.after, done.reached))
            record(config, rest, "backstory export")
        if done.closing is None or export.until > export.after:
            _write(config, export, file)
    terminal.say(f"{destination.name}: up to sequence {export.until}", err=destination.is_stdout)


def _plan(
    config: Config,
    organization: str | None,
    request: ExportRequest,
    form: Format,
    done: Resumption,
    path: Path,
) -> Export:
    """The export that a file continues to; raises ``NotAnExport`` if it holds another one."""
    with context.reading(config) as connection:
        signer = signing.open_signer(config, make=False)
        organization_id = context.find_organization(connection, organization)
        if done.reached > log_head.head_of(connection, organization_id).sequence:
            raise NotAnExport(path, done.size)
        export = exporting.plan_export(connection, signer, organization_id, form, request)
        if not resume.belongs(connection, signer, export, done):
            raise NotAnExport(path, done.size)
        return export


def _write(config: Config, export: Export, file: BinaryIO) -> None:
    engine = engines(config.url).snapshots()
    count = export.until - export.after
    try:
        with (
            context.reporting_database_errors(config),
            terminal.progress("exporting", count, "events") as advance,
        ):
            file.writelines(exporting.chunks(engine.connect, export, advance))
    finally:
        engine.dispose()


def record(config: Config, export: Export, command: str) -> None:
    """Record an export as an event; says so where a server holds the database, and it cannot."""
    try:
        with context.write_transaction(config) as unit:
            exporting.record_export(unit, system(export.organization_id, command), export)
    except DatabaseHeld as error:
        terminal.say(f"backstory: this export is not in the log: {error}", err=True)


@contextmanager
def reporting_errors() -> Iterator[None]:
    """End the command in one line that names the option whose value is wrong."""
    try:
        yield
    except InvalidSettings as invalid:
        (error,) = invalid.errors
        option = str(error.loc[-1]).replace("_", "-")  # the message may name a setting
        terminal.fail(f"--{option}: {error.msg}", 2)
    except BeyondLog as error:
        option = error.name.replace("_", "-")
        terminal.fail(f"--{option}: expected a number from {error.least} to {error.most}", 2)
    except ParquetMissing as error:
        terminal.fail(str(error), 1)
