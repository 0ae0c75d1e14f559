"""``backstory audit key`` and ``rotate-key``: look after the key that signs checkpoints."""

from __future__ import annotations

import msgspec
import rich_click as click

from app.audit import checkpoints, signing
from app.cli import context, terminal
from app.cli.options import DATABASE, ORGANIZATION
from app.storage.engines import engines
from app.storage.lock_file import DatabaseHeld


@click.command("key")
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


@click.command("rotate-key")
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
