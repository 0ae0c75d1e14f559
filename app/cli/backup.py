"""``backstory backup``: a copy of a database beside a running server, and the proof of a copy."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from app.audit import signing
from app.audit.signing import AuditKeyMissing
from app.cli import backup_proof, context, manifest, terminal
from app.cli.manifest import Manifest
from app.cli.options import DATABASE
from app.config import ConfigError
from app.services import utc_now
from app.storage.backups import backups, readable_copy
from app.storage.schema import newest
from app.vault import keys
from app.vault.keys import MasterKeyError
from events.shape import DIGEST

if TYPE_CHECKING:
    from datetime import datetime

    import sqlalchemy as sa

    from app.config import Config
    from app.storage.backups import Backups

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(invoke_without_command=True)
@click.option("--to", "folder", type=_FOLDER, metavar="DIR", help="A new folder, or an empty one.")
@DATABASE
@click.pass_context
def backup(called: click.Context, folder: Path | None, database: str | None) -> None:
    """Copy a database into a folder while a server runs; 'verify' proves such a copy.

    The folder gets the file and a manifest. Keys stay out: back them up apart from it.
    """
    if called.invoked_subcommand is not None:
        if folder is not None or database is not None:
            raise click.UsageError("Options follow the name of the command.")
        return
    if folder is None:
        raise click.UsageError("Missing option '--to'.")
    config = context.configure(database_url=database)
    context.require_database(config)
    copies = backups(config.url)
    with manifest.prepared(folder, copies) as part:
        written = _write(config, copies, folder, part)
    terminal.say(f"{folder}: {summary(written)}")
    if written.unknown_keys:
        terminal.say(
            f"backstory: {written.unknown_keys} sealed keys are opened by no configured master"
            " key: the manifest does not name all keys that the backup needs",
            err=True,
        )


def _write(config: Config, copies: Backups, folder: Path, part: Path) -> Manifest:
    began = utc_now()
    copied = copies.copied(part, config.least_free_space)
    with context.reporting_database_errors(config), copied as connection:
        written = _describe(config, connection, copies, part, began)
    manifest.complete(folder, part, written)
    return written


def _describe(
    config: Config, connection: sa.Connection, copies: Backups, part: Path, began: datetime
) -> Manifest:
    """The manifest of a copy; the connection reads what is in it."""
    needed = keys.needed_keys(connection, master_keys(config))
    size, sha256 = manifest.digest(part)
    return Manifest(
        release=version("backstory"),
        engine=copies.engine,
        schema=newest(),
        settings=DIGEST,
        taken_at=began,
        organizations=manifest.log_states(connection),
        file=copies.file_name,
        size=size,
        sha256=sha256,
        master_keys=needed.fingerprints,
        unknown_keys=needed.unknown,
        audit_key=next(iter(audit_keys(config)), None),
    )


def master_keys(config: Config) -> tuple[bytes, ...]:
    """None where the keys are elsewhere, as they may be: a backup is made without them."""
    try:
        return keys.existing_master_keys(config)
    except MasterKeyError:
        return ()


def audit_keys(config: Config) -> list[str]:
    """Fingerprints of the keys that sign, the current one first; none, as above."""
    try:
        return signing.open_signer(config, make=False).fingerprints
    except (AuditKeyMissing, ConfigError):
        return []


def summary(written: Manifest) -> str:
    """What a backup holds, and which keys it needs, in one line."""
    return (
        f"{written.engine}, {written.size} bytes, as of {written.taken_at:%F %T} UTC;"
        f" organizations: {len(written.organizations)}, events: {written.events};"
        f" needs the master key {' and '.join(written.master_keys) or 'unknown'}"
        f" and the audit key {written.audit_key or 'unknown'}"
    )


@backup.command("verify")
@click.argument("folder", type=_FOLDER, metavar="DIR")
def verify(folder: Path) -> None:
    """Prove a backup without restoring it: its bytes, and what they hold; exit 1 if it is broken.

    What a dump of PostgreSQL holds is proven when it is restored.
    """
    kept = manifest.read_manifest(folder)
    backup_proof.refuse_other_schema(kept)
    path = manifest.check_file(folder, kept)
    copy = readable_copy(kept.engine, path)
    terminal.say(f"{folder}: {summary(kept)}")
    terminal.say("the bytes are those that were written")
    if copy is None:
        terminal.say(
            "pg_restore can list them; hashes, trees, roots and views are proven only by"
            " 'backstory restore' into an empty database"
        )
        return
    proof = backup_proof.prove(copy, str(path), kept)
    if not proof.views_are_right:
        terminal.fail(proof.text, 1)
    terminal.say(proof.text)
