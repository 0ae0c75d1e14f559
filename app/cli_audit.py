"""The commands around the audit log: export, archive, and what ``audit`` groups."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import rich_click as click

from app import (
    archive,
    audit,
    audit_verify,
    continuation,
    operating,
    private_files,
    signing,
    terminal,
)
from app.accounts import MAX_ID
from app.audit import BeyondLog, Wish, find_format
from app.continuation import NotAnExport
from app.database_file import DatabaseHeld
from app.engines import engines
from app.requests import invalid, moment, pointer
from app.routes.export import Name
from app.unit import system
from events import store
from events.errors import InvalidSettings
from projections.audit import EVENT_TYPES
from projections.exports import ParquetMissing, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

    from app.audit import Export
    from app.config import Config
    from app.continuation import Resumption
    from app.signing import Signer

_ORGANIZATION = click.option(
    "--organization", metavar="NAME", help="May be left out where there is only one."
)
_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


def add_to(cli: click.Group) -> None:
    """Put the commands in their place."""
    for command in (export_log, archive_log, audit_group):
        cli.add_command(command)


@click.command("export")
@_ORGANIZATION
@click.option("--format", "form", type=click.Choice(get_args(Name)), default="ndjson")
@click.option("--output", required=True, type=_FILE, metavar="FILE", help="A cut one is continued.")
@click.option("--until-sequence", type=int, metavar="N")
@click.option("--since", metavar="TIME", help="RFC 3339, inclusive.")
@click.option("--until", metavar="TIME", help="RFC 3339, inclusive.")
@click.option("--assistant", "assistant_id", type=click.IntRange(1, MAX_ID), metavar="ID")
@click.option("--actor", metavar="NAME", help="A key's name, or type:id, such as api_key:3.")
@click.option("--event-type", type=click.Choice([kind.event_type for kind in EVENT_TYPES]))
@click.option("--path", metavar="POINTER", help="A JSON Pointer, or the beginning of some.")
@operating.DATABASE
def export_log(
    organization: str | None,
    form: str,
    output: Path,
    until_sequence: int | None,
    since: str | None,
    until: str | None,
    database: str | None,
    **wanted: Any,
) -> None:
    """Write the audit log to a file, also beside a running server; continue a file that was cut."""
    config = operating.configure(database_url=database)
    if not output.parent.is_dir():  # or the export would be recorded, and then not written
        raise FileNotFoundError(f"there is no folder {output.parent}")
    found = continuation.find(output, form)
    with _saying_what_is_wrong(), operating.reading(config) as connection:
        wish = Wish(
            after=found.after,
            until_sequence=until_sequence,
            since=moment("since", since),
            until=moment("until", until),
            wanted=Wanted(**wanted | {"path": pointer(wanted["path"]) or None}),
        )
        signer = signing.open_signer(config, make=False)
        organization_id = operating.find_organization(connection, organization)
        if found.reached > store.counter_of(connection, organization_id).sequence:
            raise NotAnExport(output, found.size)
        export = audit.plan_export(connection, signer, organization_id, find_format(form), wish)
        if not _belongs(connection, signer, export, found):
            raise NotAnExport(output, found.size)
    if export.until > found.reached:
        rest = msgspec.structs.replace(export, after=max(export.after, found.reached))
        _record(config, rest, "backstory export")
    if found.closing is None or export.until > export.after:
        _write(config, export, output, found.size)
    terminal.say(f"{output}: up to sequence {export.until}")


def _belongs(connection: Connection, signer: Signer, export: Export, found: Resumption) -> bool:
    """Whether a file ends as this export would: else two logs, or two filters, would mix."""
    if found.closing is not None:
        now = audit.checkpoint_at(connection, signer, export.organization_id, found.after)
        return export.after == found.after and found.closing.is_of(now, export.wanted.as_dict())
    if not found.last:
        return True
    one = msgspec.structs.replace(export, until=found.after + 1)
    page, _ = audit.read_page(connection, one, export.encoder(), found.after)
    return export.after == found.after < export.until and b"".join(page).startswith(found.last)


def _write(config: Config, export: Export, output: Path, keep: int) -> None:
    """Write on after the first bytes of a file."""
    engine = engines(config.url).snapshots()
    count = export.until - export.after
    with (
        private_files.open_for_writing(output, keep=keep) as file,
        operating.progress("exporting", count, "events") as advance,
    ):
        for chunk in audit.chunks(engine.connect, export, advance):
            file.write(chunk)
    engine.dispose()


def _record(config: Config, export: Export, command: str) -> None:
    """Exports are events; where a server holds the database, this one can only be said here."""
    try:
        with operating.holding(config) as unit:
            audit.record_export(unit, system(export.organization_id, command), export)
    except DatabaseHeld as error:
        terminal.say(f"backstory: this export is not in the log: {error}", err=True)


@contextmanager
def _saying_what_is_wrong() -> Iterator[None]:
    try:
        yield
    except InvalidSettings as refusal:
        (error,) = refusal.errors
        operating.fail(f"--{error.loc[-1]}: {error.msg}".replace("_", "-"), 2)
    except BeyondLog as error:
        name = error.name.replace("_", "-")
        operating.fail(f"--{name}: expected a number from {error.least} to {error.most}", 2)
    except ParquetMissing as error:
        operating.fail(str(error), 1)


@click.command("archive")
@click.option("--before", required=True, metavar="DATE", help="RFC 3339, or a date, UTC.")
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--organization", metavar="NAME", help="Only this one; all, by default.")
@operating.DATABASE
def archive_log(before: str, folder: Path, organization: str | None, database: str | None) -> None:
    """Write all events before a date to files, and prove them. Nothing is removed from the log."""
    config = operating.configure(database_url=database)
    with _saying_what_is_wrong(), operating.reading(config) as connection:
        end = _date(before)
        signer = signing.open_signer(config, make=False)
        ids = (
            store.organization_ids(connection)
            if organization is None
            else [operating.find_organization(connection, organization)]
        )
        total = sum(store.counter_of(connection, one).sequence for one in ids)
    engine = engines(config.url).snapshots()
    try:
        with _saying_what_is_wrong(), operating.progress("archiving", total, "events") as advance:
            plans = [archive.write(engine, signer, one, end, folder, advance) for one in ids]
    except archive.ArchiveBroken as error:
        operating.fail(str(error), 1)
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
        raise invalid("before", "Input should be a date")
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
        operating.fail(str(failed), 1)
    except ValueError as error:
        operating.fail(str(error), 2)
    terminal.say(verified)


@audit_group.command("key")
@_ORGANIZATION
@operating.DATABASE
def show_key(organization: str | None, database: str | None) -> None:
    """Print the public keys that sign an organization's log: the KEYFILE of verify."""
    config = operating.configure(database_url=database)
    with operating.reading(config) as connection:
        signer = signing.open_signer(config, make=False)
        organization_id = operating.find_organization(connection, organization)
        keys = audit.public_keys(connection, signer, organization_id)
    terminal.say_lines(msgspec.json.format(msgspec.json.encode(keys)).decode())


@audit_group.command("rotate-key")
@operating.DATABASE
def rotate_key(database: str | None) -> None:
    """Sign with a new key from the next start on; the old public key stays known."""
    config = operating.configure(database_url=database)
    file = signing.key_file(config)
    if not file.exists():
        raise signing.AuditKeyMissing(file)
    try:
        with engines(config.url).hold("backstory audit rotate-key"):
            signing.rotate(file)
    except DatabaseHeld as error:
        operating.fail(f"{error}; stop it first", 1)
    terminal.say(f"new key in {file}")
