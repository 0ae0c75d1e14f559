"""Fold the log again: to write the views anew, or to prove that they say what it says."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from events import log_head, store
from events.changed import NOTHING, PolicyChanged, VersionLabelled, evolve
from events.codec import tags_of
from events.policy import Policy
from events.shape import DIGEST
from events.tables import rows_of
from projections import blame, current, foldings, keyframes, labels, policies, reversals
from projections.views import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from events.changed import Event
    from projections.blame import Blame
    from projections.current import Key

_ROWS_AT_ONCE = 200
_EVENTS_AT_ONCE = 5_000  # that one transaction folds

Row = tuple[sa.Table, dict[str, Any]]


class Difference(Struct, frozen=True, kw_only=True):
    """One column of a view's row that is not what folding the log gives.

    Columns of other views than the current one are named with their table and key.
    """

    organization_id: int
    assistant_id: int
    column: str
    stored: Any
    folded: Any


def folded(
    connection: sa.Connection, organization_id: int, progress: Callable[[int], None]
) -> Iterator[Row]:
    """Every row of every view of an organization; counts events as it goes."""
    stream = store.read_streams(connection, organization_id)
    for assistant_id, recorded in groupby(stream, key=lambda event: event.assistant_id):
        yield from _of_stream((organization_id, assistant_id), recorded, progress)
    yield from _labels(connection, organization_id)
    yield from _policy(connection, organization_id)


def _of_stream(
    key: Key, recorded: Iterable[Event], progress: Callable[[int], None]
) -> Iterator[Row]:
    state = NOTHING
    blamed: Blame = {}
    for event in recorded:
        state = evolve(state, event)
        blame.evolve(blamed, event)
        if keyframes.is_due(state):
            blamed = blame.bound(blamed, state.settings)
            yield keyframes.keyframes, keyframes.row_of(key, state, blamed)
        if reversal := reversals.row_of(event):
            yield reversals.reversals, reversal
    progress(state.version)
    yield current.assistants, current.row_of(key, state)


def _labels(connection: sa.Connection, organization_id: int) -> Iterator[Row]:
    named: dict[tuple[int, int], dict[str, Any]] = {}
    for event in store.read_log(connection, organization_id, tags=tags_of(VersionLabelled)):
        if isinstance(event, VersionLabelled):
            named.pop((event.assistant_id, event.labelled_version), None)
            if event.label is not None:
                named[event.assistant_id, event.labelled_version] = labels.row_of(event)
    yield from ((labels.labels, row) for row in named.values())


def _policy(connection: sa.Connection, organization_id: int) -> Iterator[Row]:
    policy = Policy()
    row = None
    for event in store.read_log(connection, organization_id, tags=tags_of(PolicyChanged)):
        if isinstance(event, PolicyChanged):
            policy = policies.evolve(policy, event)
            row = policies.row_of(event, policy)
    if row is not None:
        yield policies.policies, row


def differences(connection: sa.Connection, progress: Callable[[int], None]) -> Iterator[Difference]:
    """Where the views differ from the log: a missing row, an extra row, a wrong column."""
    for organization_id in _organization_ids(connection):
        unseen = {table: _stored_keys(connection, organization_id, table) for table in TABLES}
        for table, rows in _gathered(folded(connection, organization_id, progress)):
            by_key = {_key(table, row): row for row in rows}
            unseen[table] -= by_key.keys()
            stored = _stored(connection, table, by_key)
            for key, row in by_key.items():
                yield from _differences(table, key, stored.get(key, {}), row)
        for table, keys in unseen.items():
            for key, row in sorted(_stored(connection, table, keys).items()):
                yield from _differences(table, key, row, {})


def rebuild(connection: sa.Connection, progress: Callable[[int], None]) -> None:
    """Drop the rows of the views and write them again from the log."""
    for organization_id in _organization_ids(connection):
        for table in TABLES:
            connection.execute(sa.delete(table).where(table.c.organization_id == organization_id))
        for table, rows in _gathered(folded(connection, organization_id, progress)):
            connection.execute(sa.insert(table), rows)
        foldings.record(connection, organization_id)


# -- what a release with other settings folded


def count_stale(connection: sa.Connection, organization_ids: Iterable[int]) -> int:
    """How many events the assistants have whose rows were written with other settings."""
    table = current.assistants
    count = sa.func.sum(table.c.version)
    return sum(
        connection.scalar(rows_of(table, one, count).where(_is_stale(table))) or 0
        for one in organization_ids
    )


def fold_stale(
    connection: sa.Connection, organization_id: int, progress: Callable[[int], None], after: int = 0
) -> int | None:
    """Fold some of an organization's assistants whose rows were written with other settings.

    They are those that come next ``after`` an assistant: the last of them, or None where all are
    folded; then that is recorded. The organization must be locked.
    """
    found = _stale(connection, organization_id, after)
    count = 0
    for assistant_id in found:
        count += _fold_again(connection, (organization_id, assistant_id), progress)
        if count >= _EVENTS_AT_ONCE:
            return assistant_id
    if len(found) == _ROWS_AT_ONCE:
        return found[-1]
    _replace_policy(connection, organization_id)
    foldings.record(connection, organization_id)
    return None


def _stale(connection: sa.Connection, organization_id: int, after: int) -> list[int]:
    """The next assistants with rows that were written with other settings.

    What is folded already is not looked through again: that would take time by its square.
    """
    found: set[int] = set()
    for table in (current.assistants, keyframes.keyframes):
        query = rows_of(table, organization_id, table.c.assistant_id).distinct()
        query = query.where(table.c.assistant_id > after, _is_stale(table))
        found.update(connection.scalars(query.order_by(table.c.assistant_id).limit(_ROWS_AT_ONCE)))
    return sorted(found)[:_ROWS_AT_ONCE]


def _is_stale(table: sa.Table) -> sa.ColumnElement[bool]:
    is_stale: sa.ColumnElement[bool] = table.c.settings_digest != DIGEST
    return is_stale


def _fold_again(connection: sa.Connection, key: Key, progress: Callable[[int], None]) -> int:
    """Write an assistant's rows anew; how many events it has."""
    tables = (current.assistants, keyframes.keyframes)
    for table in tables:
        ours = (table.c.organization_id == key[0], table.c.assistant_id == key[1])
        connection.execute(sa.delete(table).where(*ours))
    stream = store.read_stream(connection, *key)
    rows = [row for row in _of_stream(key, stream, progress) if row[0] in tables]
    for table, some in _gathered(iter(rows)):
        connection.execute(sa.insert(table), some)
    return int(rows[-1][1]["version"])


def _replace_policy(connection: sa.Connection, organization_id: int) -> None:
    """Write the policy anew: it names settings."""
    table = policies.policies
    connection.execute(sa.delete(table).where(table.c.organization_id == organization_id))
    for _, row in _policy(connection, organization_id):
        connection.execute(sa.insert(table), [row])


def _gathered(rows: Iterator[Row]) -> Iterator[tuple[sa.Table, list[dict[str, Any]]]]:
    """Rows of one table together, some at a time: a statement for each would take longer."""
    waiting: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in TABLES}
    for table, row in rows:
        waiting[table].append(row)
        if len(waiting[table]) == _ROWS_AT_ONCE:
            yield table, waiting[table]
            waiting[table] = []
    yield from ((table, rest) for table, rest in waiting.items() if rest)


def _organization_ids(connection: sa.Connection) -> list[int]:
    """Also those that only a view's row speaks of: it must not be there."""
    shown = (connection.scalars(sa.select(table.c.organization_id).distinct()) for table in TABLES)
    return sorted({*log_head.organization_ids(connection), *(one for ids in shown for one in ids)})


def _stored_keys(
    connection: sa.Connection, organization_id: int, table: sa.Table
) -> set[tuple[int, ...]]:
    query = rows_of(table, organization_id, *table.primary_key)
    return {tuple(row) for row in connection.execute(query)}


def _stored(
    connection: sa.Connection, table: sa.Table, keys: Collection[tuple[int, ...]]
) -> dict[tuple[int, ...], dict[str, Any]]:
    """The rows of an organization's keys that are there."""
    found = {}
    ordered = sorted(keys)
    for start in range(0, len(ordered), _ROWS_AT_ONCE):
        some = ordered[start : start + _ROWS_AT_ONCE]
        is_one = sa.tuple_(*table.primary_key).in_(some)
        for row in connection.execute(rows_of(table, some[0][0]).where(is_one)).mappings():
            found[_key(table, row)] = dict(row)
    return found


def _key(table: sa.Table, row: Mapping[Any, Any]) -> tuple[int, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def _differences(
    table: sa.Table, key: tuple[int, ...], stored: dict[str, Any], folded_row: dict[str, Any]
) -> Iterator[Difference]:
    place = "" if table is current.assistants else f"{table.name}[{','.join(map(str, key[1:]))}]."
    for column in [one.name for one in table.columns]:
        one, other = stored.get(column), folded_row.get(column)
        if one != other:
            yield Difference(
                organization_id=key[0],
                assistant_id=key[1] if len(key) > 1 else 0,
                column=place + column,
                stored=one,
                folded=other,
            )
