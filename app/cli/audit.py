"""The commands around the audit log: export, archive, and what ``audit`` groups."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, get_args

import msgspec
import rich_click as click

from app.api.parameters import invalid_query, moment, pointer, read_table
from app.audit import archive, exporting, resume, signing
from app.audit import verify as audit_verify
from app.audit.exporting import BeyondLog, ExportRequest
from app.audit.resume import NotAnExport
from app.cli import context, terminal
from app.storage import private_files
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
    from datetime import datetime

    from sqlalchemy import Connection

    from app.audit.exporting import Export
    from app.audit.signing import Signer
    from app.config import Config

_ORGANIZATION = click.option(
    "--organization",
    type=context.TEXT,
    metavar="NAME",
    help="May be left out where there is only one.",
)
_OUTPUT = click.Path(path_type=str, dir_okay=False, allow_dash=True)  # a Path of ./- is that of -
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


def add_to(cli: click.Group) -> None:
    """Put the commands in their place."""
    for command in (export_log, archive_log, audit_group):
        cli.add_command(command)


@click.command("export")
@_ORGANIZATION
@click.option("--format", "form", type=click.Choice(get_args(FormatName)), default="ndjson")
@click.option(
    "--output",
    required=True,
    type=_OUTPUT,
    metavar="FILE",
    help="A cut one is continued; - is stdout.",
)
@click.option("--until-sequence", type=int, metavar="N")
@click.option("--since", type=context.TEXT, metavar="TIME", help="RFC 3339, inclusive.")
@click.option("--until", type=context.TEXT, metavar="TIME", help="RFC 3339, inclusive.")
@click.option("--assistant", "assistant_id", type=context.ID, metavar="ID")
@click.option(
    "--actor",
    type=context.TEXT,
    metavar="NAME",
    help="A key's name, or type:id, such as api_key:3.",
)
@click.option("--event-type", type=click.Choice([kind.event_type for kind in EVENT_TYPES]))
@click.option(
    "--path",
    type=context.TEXT,
    metavar="POINTER",
    help="A JSON Pointer, or the beginning of some.",
)
@click.option("--formulas", type=click.Choice(get_args(Formulas)), help="CSV: quoted by default.")
@click.option("--bom", is_flag=True, help="CSV: begin with a byte order mark, which Excel wants.")
@context.DATABASE
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
    **wanted: Any,
) -> None:
    """Write the audit log to a file, also beside a running server; continue a file that was cut.

    What is no file, such as a pipe, gets all of it.
    """
    config = context.configure(database_url=database)
    with _saying_what_is_wrong():
        chosen = find_format(form, read_table(form, formulas, bom=bom))
    place = Place(output)
    found = Resumption() if place.is_stream else resume.find(place.path, chosen)
    with _saying_what_is_wrong(), context.reading(config) as connection:
        wish = ExportRequest(
            after=found.after,
            until_sequence=until_sequence,
            since=moment("since", since),
            until=moment("until", until),
            wanted=ExportFilter(**wanted | {"path": pointer(wanted["path"]) or None}),
        )
        signer = signing.open_signer(config, make=False)
        organization_id = context.find_organization(connection, organization)
        if found.reached > log_head.head_of(connection, organization_id).sequence:
            raise NotAnExport(place.path, found.size)
        export = exporting.plan_export(connection, signer, organization_id, chosen, wish)
        if not _belongs(connection, signer, export, found):
            raise NotAnExport(place.path, found.size)
    with place.opened(found.size) as file:  # before it is recorded, because it may fail
        if export.until > found.reached:
            rest = msgspec.structs.replace(export, after=max(export.after, found.reached))
            _record(config, rest, "backstory export")
        if found.closing is None or export.until > export.after:
            _write(config, export, file)
    terminal.say(f"{place.name}: up to sequence {export.until}", err=place.is_stdout)


class Place:
    """Where an export goes: a file, which can be continued, or a stream, such as a pipe."""

    def __init__(self, output: str) -> None:
        self.path = Path(output)
        self.is_stdout = output == "-" or _is_stdout(self.path)
        self.is_stream = self.is_stdout or (self.path.exists() and not self.path.is_file())
        self.name = "stdout" if self.is_stdout else output

    @contextmanager
    def opened(self, keep: int) -> Iterator[BinaryIO]:
        """To be written, behind the first bytes of a file; raises ``OSError``."""
        if self.is_stdout:
            if sys.stdout is None:
                raise OSError("stdout is closed")
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            made = (
                self.path.open("wb")
                if self.is_stream
                else private_files.open_for_writing(self.path, keep=keep)
            )
            with made as file:
                yield file


def _is_stdout(path: Path) -> bool:
    """Whether it is a name of what is stdout already, as ``/dev/stdout`` is."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, AttributeError):  # no such file; stdout is closed, or none of the system's
        return False


def _belongs(connection: Connection, signer: Signer, export: Export, found: Resumption) -> bool:
    """Whether a file ends as this export would: else two logs, or two filters, would mix."""
    if found.closing is not None:
        now = exporting.checkpoint_at(connection, signer, export.organization_id, found.after)
        return export.after == found.after and found.closing.states(now, export.wanted.as_dict())
    if not found.last:
        return True
    one = msgspec.structs.replace(export, until=found.after + 1)
    page, _ = exporting.read_page(connection, one, export.encoder(), found.after)
    return export.after == found.after < export.until and b"".join(page).startswith(found.last)


def _write(config: Config, export: Export, file: BinaryIO) -> None:
    engine = engines(config.url).snapshots()
    count = export.until - export.after
    try:
        with (
            context.naming_the_database(config),
            context.progress("exporting", count, "events") as advance,
        ):
            file.writelines(exporting.chunks(engine.connect, export, advance))
    finally:
        engine.dispose()


def _record(config: Config, export: Export, command: str) -> None:
    """Exports are events; where a server holds the database, this one can only be said here."""
    try:
        with context.holding(config) as unit:
            exporting.record_export(unit, system(export.organization_id, command), export)
    except DatabaseHeld as error:
        terminal.say(f"backstory: this export is not in the log: {error}", err=True)


@contextmanager
def _saying_what_is_wrong() -> Iterator[None]:
    try:
        yield
    except InvalidSettings as refusal:
        (error,) = refusal.errors
        option = str(error.loc[-1]).replace("_", "-")  # the message may name a setting
        context.fail(f"--{option}: {error.msg}", 2)
    except BeyondLog as error:
        name = error.name.replace("_", "-")
        context.fail(f"--{name}: expected a number from {error.least} to {error.most}", 2)
    except ParquetMissing as error:
        context.fail(str(error), 1)


@click.command("archive")
@click.option(
    "--before", required=True, type=context.TEXT, metavar="DATE", help="RFC 3339, or a date, UTC."
)
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--organization", type=context.TEXT, metavar="NAME", help="Only this one; all, by default."
)
@context.DATABASE
def archive_log(before: str, folder: Path, organization: str | None, database: str | None) -> None:
    """Write all events before a date to files, and prove them. Nothing is removed from the log."""
    config = context.configure(database_url=database)
    with _saying_what_is_wrong(), context.reading(config) as connection:
        end = _date(before)
        signer = signing.open_signer(config, make=False)
        ids = (
            log_head.organization_ids(connection)
            if organization is None
            else [context.find_organization(connection, organization)]
        )
        total = sum(log_head.head_of(connection, one).sequence for one in ids)
    engine = engines(config.url).snapshots()
    try:
        with (
            _saying_what_is_wrong(),
            context.naming_the_database(config),
            context.progress("archiving", total, "events") as advance,
        ):
            plans = [archive.write(engine, signer, one, end, folder, advance) for one in ids]
    except archive.ArchiveBroken as error:
        context.fail(str(error), 1)
    finally:
        engine.dispose()
    for plan in plans:
        place = archive.folder_of(folder, plan.organization_id)
        if plan.until == plan.after:
            terminal.say(f"{place}: nothing new before {end:%Y-%m-%d}")
            continue
        _record(config, plan, "backstory archive")
        terminal.say(f"{place}: sequences {plan.after + 1} to {plan.until}, verified")


def _date(text: str) -> datetime:
    found = moment("before", f"{text}T00:00:00Z" if len(text) == len("2026-01-01") else text)
    if found is None:
        raise invalid_query("before", "Input should be a date")
    return found


@click.group("audit")
def audit_group() -> None:
    """Verify exports of the audit log, and look after the key that signs it."""


@audit_group.command("verify")
@click.argument("files", nargs=-1, required=True, type=_EXISTING)
@click.option("--key", "keyfile", type=_EXISTING, metavar="KEYFILE", help="/api/v1/audit/key")
@click.option("--checkpoint", "earlier", type=_EXISTING, metavar="EARLIER")
def verify(files: tuple[Path, ...], keyfile: Path | None, earlier: Path | None) -> None:
    """Prove offline that nobody rewrote an ndjson export; several FILEs are parts, in order.

    EARLIER is a checkpoint that you kept: the export must extend it.
    """
    try:
        keys = audit_verify.read_keys(keyfile.read_bytes()) if keyfile else None
        note = audit_verify.read_note(earlier.read_bytes().decode()) if earlier else None
        verified = audit_verify.verify(audit_verify.read_lines(files), keys, note)
    except audit_verify.Failed as failed:
        context.fail(str(failed), 1)
    except ValueError as error:
        context.fail(str(error), 2)
    terminal.say(verified)


@audit_group.command("key")
@_ORGANIZATION
@context.DATABASE
def show_key(organization: str | None, database: str | None) -> None:
    """Print the public keys that sign an organization's log: the KEYFILE of verify."""
    config = context.configure(database_url=database)
    with context.reading(config) as connection:
        signer = signing.open_signer(config, make=False)
        organization_id = context.find_organization(connection, organization)
        keys = exporting.public_keys(connection, signer, organization_id)
    terminal.say_lines(msgspec.json.format(msgspec.json.encode(keys)).decode())


@audit_group.command("rotate-key")
@context.DATABASE
def rotate_key(database: str | None) -> None:
    """Sign with a new key from the next start on; the old public key stays known."""
    config = context.configure(database_url=database)
    file = signing.key_file(config)
    if not file.exists():
        raise signing.AuditKeyMissing(file)
    try:
        with engines(config.url).hold("backstory audit rotate-key"):
            signing.rotate(file)
    except DatabaseHeld as error:
        context.fail(f"{error}; stop it first", 1)
    terminal.say(f"new key in {file}")
