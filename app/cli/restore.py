"""``backstory restore``: a backup into an empty database, proven before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from app import log
from app.cli import backup, backup_proof, context, manifest, terminal
from app.cli.options import TEXT
from app.storage.backups import backups
from app.storage.engines import engines
from app.vault import keys

if TYPE_CHECKING:
    from app.cli.backup_proof import Proof
    from app.cli.manifest import Manifest
    from app.config import Config
    from app.storage.backups import Backups

_AFTERWARDS = """\
If the log was longer before: clients that know later versions get 412 for their ETags,
and checkpoints that were copied elsewhere show a longer log than this one.
Changes since the backup are undone, also those that protect: revoke again what API keys
were revoked since then, and erase again what secrets were erased."""


@click.command()
@click.option(
    "--from",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A backup. It is only read.",
)
@click.option(
    "--database", required=True, type=TEXT, metavar="URL", help="An empty one, or a new file."
)
def restore(folder: Path, database: str) -> None:
    """Restore a backup into an empty database, and prove it: hashes, trees, roots and views.

    Says which keys it needs, and whether they are configured.
    """
    config = context.configure(database_url=database)
    log.configure(config)
    kept = manifest.read_manifest(folder)
    backup_proof.refuse_other_schema(kept)
    target = backups(config.url)
    if target.engine != kept.engine:
        terminal.fail(
            f"a backup of {kept.engine} is restored into {kept.engine}; then 'backstory copy' moves"
            " it to another kind of database",
            1,
        )
    path = manifest.check_file(folder, kept)
    proof = _restore(config, target, path, kept)
    terminal.say(f"{engines(config.url).name}: restored {backup.summary(kept)}")
    if proof.views_are_right:
        terminal.say(proof.text)
    for log_state in kept.organizations:
        place = f"organization {log_state.organization_id}: sequence {log_state.sequence}"
        terminal.say(f"{place}, root {log_state.root}")
    for sentence in _keys(config, kept):
        terminal.say(sentence)
    terminal.say_lines(_AFTERWARDS)
    if not proof.views_are_right:
        terminal.fail(proof.text, 1)


def _restore(config: Config, target: Backups, path: Path, kept: Manifest) -> Proof:
    """Restore, and prove; what is proven."""
    with context.reporting_database_errors(config), target.restored(path) as url:
        return backup_proof.prove(url, engines(config.url).name, kept)


def _keys(config: Config, kept: Manifest) -> list[str]:
    """Whether the configured keys are those that the backup needs."""
    masters = [keys.fingerprint(key) for key in backup.master_keys(config)]
    audits = backup.audit_keys(config)
    return [
        *(_sentence("master key", needed, masters, "MASTER_KEY") for needed in kept.master_keys),
        *(
            _sentence("audit key", needed, audits, "AUDIT_KEY")
            for needed in (kept.audit_key,)
            if needed
        ),
    ]


def _sentence(kind: str, needed: str, known: list[str], variable: str) -> str:
    if needed in known:
        return f"the {kind} {needed} is configured"
    place = f"BACKSTORY_{variable} or its file"
    return f"the {kind} {needed} is NOT configured: put it into {place} before a server starts"
