"""Proves that a database is what the manifest of a backup says: logs, hashes, tree, views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import MsgspecError, Struct
from sqlalchemy.exc import SQLAlchemyError

from app.cli import checking, terminal
from app.cli.manifest import BackupRefused, log_states
from app.storage.engines import engines
from app.storage.schema import newest, revision
from projections.stale import count_stale

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.cli.manifest import LogState, Manifest


def refuse_other_schema(manifest: Manifest) -> None:
    """Raise ``BackupRefused`` for a backup that this release cannot read."""
    if manifest.schema != newest():
        raise BackupRefused(
            f"the backup has schema {manifest.schema} of release {manifest.release}, and this"
            f" release {newest()}: use that release, then run 'backstory migrate' of this one"
        )


class Proof(Struct, frozen=True):
    """What was proven, in a sentence, and whether the views are the log's, as far as compared."""

    text: str
    views_are_right: bool = True


def prove(url: sa.URL, name: str, manifest: Manifest) -> Proof:
    """Prove the database at a URL, which messages call ``name``.

    Raises ``BackupRefused`` unless its logs are those of the manifest, and what was hashed.
    """
    engine = engines(url).snapshots()
    try:
        with engine.connect() as connection:
            return _prove(connection, url, name, manifest)
    except (SQLAlchemyError, MsgspecError) as error:
        first_line = str(error).partition("\n")[0]
        raise BackupRefused(f"{name} cannot be read: {first_line}") from error
    finally:
        engine.dispose()


def _prove(connection: sa.Connection, url: sa.URL, name: str, manifest: Manifest) -> Proof:
    if revision(connection, name) != manifest.schema:
        raise BackupRefused(f"{name} does not have the schema that the manifest says")
    _compare(log_states(connection), manifest.organizations, name)
    if count_stale(connection, [log.organization_id for log in manifest.organizations]):
        _raise_unproven(checking.find_unproven(connection), name)
        return Proof(
            "hashes, trees and roots are right; the views are those of a release with other"
            " settings, and were not compared: 'backstory migrate' folds them again"
        )
    faults = checking.find_faults(connection, url)
    _raise_unproven(faults.unproven, name)
    if faults.differences:
        return Proof(
            f"hashes, trees and roots are right, but the views differ from the log in"
            f" {faults.differences} places: once it is restored, run 'backstory rebuild'",
            views_are_right=False,
        )
    return Proof("hashes, trees, roots and views are right")


def _compare(found: list[LogState], expected: list[LogState], name: str) -> None:
    """Raise ``BackupRefused`` unless the logs end where the manifest says."""
    ends = [{log.organization_id: log for log in logs} for logs in (found, expected)]
    for number in sorted(ends[0] | ends[1]):
        if ends[0].get(number) != ends[1].get(number):
            raise BackupRefused(f"{name}: the log of organization {number} is not the manifest's")


def _raise_unproven(places: list[str], name: str) -> None:
    for place in places:
        terminal.say(place)
    if places:
        raise BackupRefused(f"{name}: the log is not what was hashed when it was written")
