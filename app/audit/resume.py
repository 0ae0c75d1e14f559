"""Where an export file that was cut goes on. Each format has its own rule for that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from projections.exports.resuming import NotThisFormat, Resumption

if TYPE_CHECKING:
    from projections.exports.format import Format


class NotAnExport(Exception):
    """A file holds something that this format, or this export of it, does not write."""

    def __init__(self, path: Path, position: int) -> None:
        super().__init__(f"{path} holds no such export: see its byte {position}")


def find(path: Path, form: Format) -> Resumption:
    """Where to go on; at the beginning for a format that can't. Raises ``NotAnExport``."""
    if not path.exists():
        return Resumption()
    with path.open("rb") as file:
        try:
            return form.resumption(file)
        except NotThisFormat as error:
            raise NotAnExport(path, error.position) from None
