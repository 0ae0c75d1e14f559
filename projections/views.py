"""Every view: how its rows are written with an event, and how they are folded from the log.

A view is written in the transaction of the event, so it never lags behind the log. Folding the log
gives the same rows again, byte for byte.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import sqlalchemy as sa

from events import changed, log_head, store
from events.assistant_key import AssistantKey
from events.changed import (
    NOTHING,
    Event,
    PhoneNumberEvent,
    PolicyChanged,
    VersionLabelled,
    changes_of,
)
from events.codec import tags_of
from projections import blame, current, keyframes, labels, phone_numbers, policies, reversals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from events.changed import LogEvent, State
    from projections.blame import Blame

TABLES = (
    current.assistants,
    keyframes.keyframes,
    labels.labels,
    phone_numbers.phone_number_events,
    phone_numbers.phone_numbers,
    policies.policies,
    reversals.reversals,
)
Row = tuple[sa.Table, dict[str, Any]]
_E = TypeVar("_E", VersionLabelled, PolicyChanged)


def project(
    connection: sa.Connection,
    events: Iterable[LogEvent],
    states: Mapping[AssistantKey, State],
    frames: Iterable[tuple[AssistantKey, State]],
) -> None:
    """Write the rows of stored events.

    ``states`` are the newest of the assistants that the events changed, and ``frames`` those states
    on the way that are kept as keyframes.
    """
    for event in events:
        if isinstance(event, Event):
            reversals.project(connection, event)
        elif isinstance(event, VersionLabelled):
            labels.project(connection, event)
        elif isinstance(event, PolicyChanged):
            policies.project(connection, event)
        elif isinstance(event, PhoneNumberEvent):
            phone_numbers.project(connection, event)
    keyframes.project(connection, frames)
    current.project(connection, states)


def fold(
    connection: sa.Connection, organization_id: int, progress: Callable[[int], None]
) -> Iterator[Row]:
    """Every row of every view of an organization.

    ``progress`` is called for each assistant, with the number of its events.
    """
    stream = store.read_streams(connection, organization_id)
    for assistant_id, events in groupby(stream, key=lambda event: event.assistant_id):
        yield from fold_assistant(AssistantKey(organization_id, assistant_id), events, progress)
    for row in labels.fold(_events_of(connection, organization_id, VersionLabelled)):
        yield labels.labels, row
    yield from phone_numbers.fold(_phone_number_events(connection, organization_id))
    yield from fold_policy(connection, organization_id)


def fold_assistant(
    key: AssistantKey, events: Iterable[Event], progress: Callable[[int], None]
) -> Iterator[Row]:
    """The rows of one assistant: keyframes, reversals and the current state."""
    state = NOTHING
    blamed: Blame = {}
    for run in keyframes.runs(events):
        state = changed.fold(run, state)
        for event in run:
            blame.evolve(blamed, changes_of(event), event.version)
            if reversal := reversals.row_of(event):
                yield reversals.reversals, reversal
        if keyframes.is_due(state):
            blamed = blame.bound(blamed, state.settings)
            yield keyframes.keyframes, keyframes.row_of(key, state, blamed)
    progress(state.version)
    yield current.assistants, current.row_of(key, state)


def fold_policy(connection: sa.Connection, organization_id: int) -> Iterator[Row]:
    """The row of an organization's policy; none where the policy was never changed."""
    row = policies.fold(_events_of(connection, organization_id, PolicyChanged))
    if row is not None:
        yield policies.policies, row


def _events_of(connection: sa.Connection, organization_id: int, kind: type[_E]) -> Iterator[_E]:
    for event in store.read_log(connection, organization_id, tags=tags_of(kind)):
        if isinstance(event, kind):
            yield event


def _phone_number_events(
    connection: sa.Connection, organization_id: int
) -> Iterator[PhoneNumberEvent]:
    tags = tuple(tag for kind in get_args(PhoneNumberEvent) for tag in tags_of(kind))
    for event in store.read_log(connection, organization_id, tags=tags):
        if isinstance(event, PhoneNumberEvent):
            yield event


def organization_ids(connection: sa.Connection) -> list[int]:
    """The organizations with a log, and those that wrongly have rows of a view without a log."""
    ids = {*log_head.organization_ids(connection)}
    for table in TABLES:
        ids.update(connection.scalars(sa.select(table.c.organization_id).distinct()))
    return sorted(ids)


def batches(rows: Iterator[Row], size: int) -> Iterator[tuple[sa.Table, list[dict[str, Any]]]]:
    """Rows of one table together, at most ``size`` at a time: one statement writes them all."""
    waiting: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in TABLES}
    for table, row in rows:
        waiting[table].append(row)
        if len(waiting[table]) == size:
            yield table, waiting[table]
            waiting[table] = []
    yield from ((table, rest) for table, rest in waiting.items() if rest)
