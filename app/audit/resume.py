"""Where an export file that was cut goes on. Each format has its own rule for that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.audit.checkpoints import checkpoint_at
from app.audit.exporting import read_page
from projections.exports.resuming import NotThisFormat, Resumption

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.audit.exporting import Export
    from app.audit.signing import Signer
    from projections.exports.format import Format


class NotAnExport(Exception):
    """A file holds bytes that this format, or this export in it, does not write."""

    def __init__(self, path: Path, position: int) -> None:
        super().__init__(f"{path} holds no such export: see its byte {position}")


def find(path: Path, form: Format) -> Resumption:
    """Where a file goes on: at its beginning if the format cannot. Raises ``NotAnExport``."""
    if not path.exists():
        return Resumption()
    with path.open("rb") as file:
        try:
            return form.resumption(file)
        except NotThisFormat as error:
            raise NotAnExport(path, error.position) from None


def belongs(connection: sa.Connection, signer: Signer, export: Export, done: Resumption) -> bool:
    """Whether a file ends as the export does there. A file must not mix two logs or two filters."""
    if done.closing is not None:
        checkpoint = checkpoint_at(connection, signer, export.organization_id, done.after)
        same = done.closing.states(checkpoint, export.filter.as_dict())
        return same and export.after == done.after
    if not done.last:
        return True
    if not export.after == done.after < export.until:
        return False
    next_event = msgspec.structs.replace(export, until=done.after + 1)
    page, _ = read_page(connection, next_event, done.after)
    encoded = b"".join(map(next_event.encoder().encode, page))
    return encoded.startswith(done.last)
