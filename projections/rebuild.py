"""Fold the log again: to write the views anew, or to prove that they say what it says."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from events.changed import NOTHING, State, evolve
from events.store import organization_ids, read_streams
from events.tables import rows_of
from projections import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projections.current import Key

_ROWS_AT_ONCE = 200


class Difference(Struct, frozen=True, kw_only=True):
    """One column of a view's row that is not what folding the log gives."""

    organization_id: int
    assistant_id: int
    column: str
    stored: Any
    folded: Any


def folded(
    connection: sa.Connection, organization_id: int, progress: Callable[[int], None]
) -> Iterator[tuple[Key, State]]:
    """The state of each assistant of an organization, one at a time; counts events as it goes."""
    stream = read_streams(connection, organization_id)
    for assistant_id, recorded in groupby(stream, key=lambda event: event.assistant_id):
        state = NOTHING
        for event in recorded:
            state = evolve(state, event)
        progress(state.version)
        yield (organization_id, assistant_id), state


def differences(connection: sa.Connection, progress: Callable[[int], None]) -> Iterator[Difference]:
    """Where the views differ from the log: a missing row, an extra row, a wrong column."""
    for organization_id in _organization_ids(connection):
        unseen = set(
            connection.scalars(
                rows_of(current.assistants, organization_id, current.assistants.c.assistant_id)
            )
        )
        for key, state in folded(connection, organization_id, progress):
            unseen.discard(key[1])
            yield from _differences(key, _stored(connection, key), current.row_of(key, state))
        for assistant_id in sorted(unseen):
            key = (organization_id, assistant_id)
            yield from _differences(key, _stored(connection, key), {})


def rebuild(connection: sa.Connection, progress: Callable[[int], None]) -> None:
    """Drop the rows of the views and write them again from the log."""
    for organization_id in _organization_ids(connection):
        connection.execute(
            sa.delete(current.assistants).where(
                current.assistants.c.organization_id == organization_id
            )
        )
        batch: dict[Key, State] = {}
        for key, state in folded(connection, organization_id, progress):
            batch[key] = state
            if len(batch) == _ROWS_AT_ONCE:
                current.project(connection, batch)
                batch.clear()
        current.project(connection, batch)


def _organization_ids(connection: sa.Connection) -> list[int]:
    """Also those that only a view's row speaks of: it must not be there."""
    shown = connection.scalars(sa.select(current.assistants.c.organization_id).distinct())
    return sorted({*organization_ids(connection), *shown})


def _stored(connection: sa.Connection, key: Key) -> dict[str, Any]:
    query = rows_of(current.assistants, key[0]).where(current.assistants.c.assistant_id == key[1])
    row = connection.execute(query).mappings().one_or_none()
    return {} if row is None else dict(row)


def _differences(
    key: Key, stored: dict[str, Any], folded_row: dict[str, Any]
) -> Iterator[Difference]:
    for column in [one.name for one in current.assistants.columns]:
        one, other = stored.get(column), folded_row.get(column)
        if one != other:
            yield Difference(
                organization_id=key[0],
                assistant_id=key[1],
                column=column,
                stored=one,
                folded=other,
            )
