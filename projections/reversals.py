"""Reversals: which events revert earlier ones, so that the history links both ways."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Struct

from events.pointers import Paths
from events.tables import metadata, rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from events.changed import Event

_MAX = 1000  # of one answer

reversals = sa.Table(
    "reversals",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("assistant_id", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),  # of the event that reverts
    # The range of versions that it reverts, as far as their changes overlap its paths.
    sa.Column("first_version", sa.BigInteger, nullable=False),
    sa.Column("last_version", sa.BigInteger, nullable=False),
    sa.Column("paths", sa.LargeBinary, nullable=False),  # a JSON list; [""] for all paths
)


def row_of(event: Event) -> dict[str, Any] | None:
    """The row of an event that reverts others; None for every other event."""
    cause = event.cause
    if cause.undoes is not UNSET:
        first, last = cause.undoes, cause.undoes
    elif cause.to_version is not UNSET:
        first, last = cause.to_version + 1, event.version - 1
    else:
        return None
    return {
        "organization_id": event.organization_id,
        "assistant_id": event.assistant_id,
        "version": event.version,
        "first_version": first,
        "last_version": last,
        "paths": msgspec.json.encode([""] if cause.paths is UNSET else cause.paths),
    }


def project(connection: sa.Connection, event: Event) -> None:
    """Write the row of an event that reverts others."""
    if row := row_of(event):
        connection.execute(sa.insert(reversals), [row])


class Reversal(Struct, frozen=True, kw_only=True, dict=True):
    """An event (its version), and the range of versions in which it reverts changes of paths."""

    version: int
    first_version: int
    last_version: int
    paths: tuple[str, ...]

    @cached_property
    def _overlapped(self) -> Paths:
        return Paths(self.paths)

    @property
    def is_whole(self) -> bool:
        """Whether it reverts every change in its range, whatever the paths."""
        return "" in self.paths

    def reverts(self, version: int, paths: Collection[str]) -> bool:
        """Whether it reverts changes of an event, of which these paths were changed."""
        if not self.first_version <= version <= self.last_version:
            return False
        if self.first_version == self.last_version:
            return True
        return bool(paths) if self.is_whole else any(map(self._overlapped.overlap, paths))


def reaching(
    connection: sa.Connection, organization_id: int, assistant_id: int, first: int, last: int
) -> list[Reversal]:
    """The reversals that reach into a range of versions, oldest first."""
    column = reversals.c
    query = (
        rows_of(reversals, organization_id)
        .where(
            column.assistant_id == assistant_id,
            column.first_version <= last,
            column.last_version >= first,
        )
        .order_by(column.version)
        .limit(_MAX)
    )
    return [_reversal(row) for row in connection.execute(query).mappings()]


def made_by(event: Event) -> Reversal | None:
    """The reversal that an event's own cause describes; None if it reverts nothing."""
    row = row_of(event)
    return None if row is None else _reversal(row)


def _reversal(row: Mapping[Any, Any]) -> Reversal:
    return Reversal(
        version=row["version"],
        first_version=row["first_version"],
        last_version=row["last_version"],
        paths=tuple(msgspec.json.decode(row["paths"])),
    )
