"""``backstory audit verify``: as offline as it says, it needs nothing of the server."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from app.audit import verify as verifier
from app.cli import terminal

_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("verify")
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
