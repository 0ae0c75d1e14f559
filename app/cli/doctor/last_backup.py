"""The newest backup of a database in a folder."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli import manifest
from app.cli.doctor.finding import Finding, ok, warn, wrong
from app.cli.manifest import BackupRefused, Manifest
from app.services import utc_now
from app.storage.inodes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from events.log_head import LogHead

_OLD = timedelta(days=2)


def newest(folder: Path | None, logs: list[LogHead]) -> Finding:
    """The newest whole backup of these logs: the folder itself, or one of those in it."""
    if folder is None:
        return warn("backup", "not looked for: name the folder of your backups, --backups DIR")
    origins = {log.origin for log in logs}
    ours = [
        (kept.taken_at, place, kept)
        for place, kept in _manifests(folder)
        if origins & {log.origin for log in kept.organizations}
    ]
    if not ours:
        text = f"{folder} holds none of this database: run 'backstory backup --to DIR'"
        return wrong("backup", text)
    taken_at, place, kept = max(ours, key=lambda one: one[0])
    if size(place / kept.file) != kept.size:
        return wrong("backup", f"{place} is damaged: 'backstory backup verify' says how")
    since = sum(log.sequence for log in logs) - kept.events
    text = f"{place}, of {taken_at:%F %T} UTC, {since} events ago"
    if since < 0:
        text = f"{place} holds {-since} events more than the database, which was restored, or lost"
        return warn("backup", f"{text} them")
    if utc_now() - taken_at > _OLD:
        return warn("backup", f"{text}: run 'backstory backup --to DIR' every day")
    return ok("backup", text)


def _manifests(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    for place in (folder, *sorted(folder.iterdir())):
        with suppress(BackupRefused):
            yield place, manifest.read_manifest(place)
