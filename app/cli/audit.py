"""``backstory audit``: verify exports, and look after the key that signs checkpoints."""

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click

from app.audit import checkpoints, signing
from app.audit import verify as verifier
from app.cli import context, terminal
from app.cli.options import DATABASE, ORGANIZATION
from app.storage.engines import engines
from app.storage.lock_file import DatabaseHeld

_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


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
        keys = verifier.read_keys(keyfile.read_bytes()) if keyfile else None
        note = verifier.read_note(earlier.read_bytes().decode()) if earlier else None
        verified = verifier.verify(verifier.read_lines(files), keys, note)
    except verifier.Failed as failed:
        terminal.fail(str(failed), 1)
    except ValueError as error:
        terminal.fail(str(error), 2)
    terminal.say(verified)


@audit_group.command("key")
@ORGANIZATION
@DATABASE
def show_key(organization: str | None, database: str | None) -> None:
    """Print the public keys that sign an organization's log: the KEYFILE of verify."""
    config = context.configure(database_url=database)
    with context.reading(config) as connection:
        signer = signing.open_signer(config, make=False)
        organization_id = context.find_organization(connection, organization)
        keys = checkpoints.public_keys(connection, signer, organization_id)
    terminal.say_lines(msgspec.json.format(msgspec.json.encode(keys)).decode())


@audit_group.command("rotate-key")
@DATABASE
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
        terminal.fail(f"{error}; stop it first", 1)
    terminal.say(f"new key in {file}")
