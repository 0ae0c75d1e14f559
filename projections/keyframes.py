"""Keyframes: the state of an assistant at every 64th version.

The state at any version is folded from the nearest keyframe before it, or from the first event
where there is none. Keyframes that a release with other settings wrote are ignored.
"""

from __future__ import annotations

from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from events import store
from events.assistant_key import AssistantKey
from events.changed import NOTHING, State, fold
from events.shape import DIGEST
from events.tables import metadata, rows_of, to_micros
from projections import blame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from events.changed import Event
    from projections.blame import Blame

EVERY = 64  # versions

keyframes = sa.Table(
    "keyframes",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("assistant_id", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("occurred_at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("blame", sa.LargeBinary, nullable=False),
    sa.Column(
        "settings_digest", sa.Text, nullable=False, server_default=""
    ),  # ``events.shape.DIGEST``
    sa.Index("keyframes_by_time", "organization_id", "assistant_id", "occurred_at", "version"),
)


def is_due(state: State) -> bool:
    """Whether a state becomes a keyframe."""
    return state.version % EVERY == 0


def runs(stream: Iterable[Event]) -> Iterator[list[Event]]:
    """The events of a stream in lists, each of which ends where a keyframe is due, or last."""
    for _, run in groupby(stream, key=lambda event: (event.version - 1) // EVERY):
        yield list(run)


def row_of(key: AssistantKey, state: State, blamed: Blame) -> dict[str, Any]:
    """A state as the row of a keyframe."""
    if state.updated_at is None:
        raise ValueError("a state without events cannot be a keyframe")
    return {
        "organization_id": key[0],
        "assistant_id": key[1],
        "version": state.version,
        "occurred_at": to_micros(state.updated_at),
        "settings_digest": DIGEST,
        "state": msgspec.json.encode(state),
        "blame": msgspec.json.encode(blamed),
    }


def project(connection: sa.Connection, frames: Iterable[tuple[AssistantKey, State]]) -> None:
    """Write keyframes. The events that led to the states must be stored."""
    for key, state in frames:
        blamed = blame.bound(blame_at(connection, *key, state.version), state.settings)
        connection.execute(sa.insert(keyframes), [row_of(key, state, blamed)])


def state_at(
    connection: sa.Connection, organization_id: int, assistant_id: int, version: int
) -> State:
    """The state after the event of a version."""
    column = keyframes.c
    frame = _newest(
        connection, organization_id, assistant_id, column.version <= version, column.state
    )
    return _folded(connection, organization_id, assistant_id, frame, until=version)


def state_at_time(
    connection: sa.Connection, organization_id: int, assistant_id: int, moment: datetime
) -> State:
    """The state at a moment; ``NOTHING`` before the first event."""
    column = keyframes.c
    is_before = column.occurred_at <= to_micros(moment)
    order = (column.occurred_at, column.version)
    frame = _newest(connection, organization_id, assistant_id, is_before, column.state, order=order)
    return _folded(connection, organization_id, assistant_id, frame, moment=moment)


def blame_at(
    connection: sa.Connection, organization_id: int, assistant_id: int, version: int
) -> Blame:
    """The blame at a version."""
    column = keyframes.c
    frame = _newest(
        connection, organization_id, assistant_id, column.version <= version, column.blame
    )
    blamed: Blame = msgspec.json.decode(frame.blame) if frame else {}
    after = frame.version if frame else 0
    changed = store.read_paths(connection, organization_id, assistant_id, after, version)
    for number, paths in changed:
        blame.evolve(blamed, paths, number)
    return blamed


def _newest(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    condition: sa.ColumnElement[bool],
    value: sa.ColumnElement[Any],
    *,
    order: tuple[sa.ColumnElement[Any], ...] = (keyframes.c.version,),
) -> sa.Row[Any] | None:
    """The newest keyframe that meets a condition: its version and one value; both are large."""
    is_valid = keyframes.c.settings_digest == DIGEST
    query = (
        rows_of(keyframes, organization_id, keyframes.c.version, value)
        .where(keyframes.c.assistant_id == assistant_id, is_valid, condition)
        .order_by(*(column.desc() for column in order))
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _folded(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    frame: sa.Row[Any] | None,
    *,
    until: int | None = None,
    moment: datetime | None = None,
) -> State:
    state = msgspec.json.decode(frame.state, type=State) if frame else NOTHING
    after = state.version
    events = store.read_stream(
        connection, organization_id, assistant_id, after=after, until=until, at_once=EVERY
    )
    if moment is not None:
        events = takewhile(lambda event: event.occurred_at <= moment, events)
    return fold(events, state)
