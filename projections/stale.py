"""Rows that a release with other settings folded: count them, and fold them again.

Such rows are not read in the meantime; their states are folded from the events on each reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from events import store
from events.assistant_key import AssistantKey
from events.shape import DIGEST
from events.tables import rows_of
from projections import current, foldings, keyframes, policies, views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_BATCH = 200  # rows, and assistants
_EVENTS = 5_000  # that one transaction folds


def count_stale(connection: sa.Connection, organization_ids: Iterable[int]) -> int:
    """The number of events of the assistants whose current row is stale."""
    table = current.assistants
    count = sa.func.sum(table.c.version)
    queries = [rows_of(table, one, count).where(_is_stale(table)) for one in organization_ids]
    return sum(connection.scalar(query) or 0 for query in queries)


def fold_stale(
    connection: sa.Connection, organization_id: int, progress: Callable[[int], None], after: int = 0
) -> int | None:
    """Fold the next stale assistants of an organization again, those with ids above ``after``.

    Returns the last of them, to go on after it, or None where none is left; then the organization
    is recorded as folded. The organization must be locked.
    """
    assistant_ids = _stale(connection, organization_id, after)
    count = 0
    for assistant_id in assistant_ids:
        count += _fold_again(connection, AssistantKey(organization_id, assistant_id), progress)
        if count >= _EVENTS:
            return assistant_id
    if len(assistant_ids) == _BATCH:
        return assistant_ids[-1]
    _replace_policy(connection, organization_id)
    foldings.record(connection, organization_id)
    return None


def _stale(connection: sa.Connection, organization_id: int, after: int) -> list[int]:
    """The next assistants with stale rows.

    Those up to ``after`` are not searched again: all calls together would take quadratic time.
    """
    assistant_ids: set[int] = set()
    for table in (current.assistants, keyframes.keyframes):
        column = table.c.assistant_id
        query = rows_of(table, organization_id, column).distinct()
        query = query.where(column > after, _is_stale(table)).order_by(column).limit(_BATCH)
        assistant_ids.update(connection.scalars(query))
    return sorted(assistant_ids)[:_BATCH]


def _is_stale(table: sa.Table) -> sa.ColumnElement[bool]:
    is_stale: sa.ColumnElement[bool] = table.c.settings_digest != DIGEST
    return is_stale


def _fold_again(
    connection: sa.Connection, key: AssistantKey, progress: Callable[[int], None]
) -> int:
    """Write an assistant's rows anew; returns the number of its events."""
    tables = (current.assistants, keyframes.keyframes)
    for table in tables:
        of_assistant = (table.c.organization_id == key[0], table.c.assistant_id == key[1])
        connection.execute(sa.delete(table).where(*of_assistant))
    stream = store.read_stream(connection, *key)
    rows = [row for row in views.fold_assistant(key, stream, progress) if row[0] in tables]
    for table, batch in views.batches(iter(rows), _BATCH):
        connection.execute(sa.insert(table), batch)
    return int(rows[-1][1]["version"])


def _replace_policy(connection: sa.Connection, organization_id: int) -> None:
    """Write the policy anew, because it names settings."""
    table = policies.policies
    connection.execute(sa.delete(table).where(table.c.organization_id == organization_id))
    for _, row in views.fold_policy(connection, organization_id):
        connection.execute(sa.insert(table), [row])
