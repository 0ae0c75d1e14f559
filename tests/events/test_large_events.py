"""Large events: read one at a time, and without their values where nobody needs them."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from events import codec, log_search, store
from events.changed import AssistantSettingsChanged, changes_of
from events.log_search import EventFilter
from events.pointers import Change
from events.tables import LARGE, events, rows_of
from tests.events.test_store import append, connection, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from events.changed import Event

__all__ = ["connection"]  # the fixture

_SIZE = 300_000
_COUNT = 40


def with_text(event: Event, size: int) -> Event:
    assert isinstance(event, AssistantSettingsChanged)
    changes = event.changes | {"/description": Change(before="b", after="x" * size)}
    return structs.replace(event, changes=changes)


@pytest.fixture
def mixed(connection: sa.Connection) -> list[Event]:
    """Small events, and some that are large or nearly."""
    sizes = [0, LARGE * 2, LARGE - 400, 3, LARGE, LARGE * 4, 0, LARGE + 1]
    recorded = [with_text(e, size) for e, size in zip(stream(8), sizes, strict=True)]
    append(connection, recorded)
    return recorded


@pytest.mark.parametrize("at_once", [1, 3, 8, 100])
def test_large_events_are_read_in_their_places(
    connection: sa.Connection, mixed: list[Event], at_once: int
) -> None:
    assert list(store.read_stream(connection, 1, 1, at_once=at_once)) == mixed
    backwards = store.read_stream(connection, 1, 1, newest_first=True, at_once=at_once)
    assert list(backwards) == mixed[::-1]
    assert list(store.read_log(connection, 1, at_once=at_once)) == mixed
    assert list(store.read_streams(connection, 1)) == mixed


def test_a_search_gives_large_events_with_their_hashes(
    connection: sa.Connection, mixed: list[Event]
) -> None:
    query = rows_of(events, 1, events.c.sequence, events.c.body, events.c.hashes)
    stored = [tuple(row) for row in connection.execute(query.order_by(events.c.sequence))]
    batches = list(log_search.read_stored(connection, 1, EventFilter()))
    assert [tuple(row) for rows in batches for row in rows] == stored
    assert len(stored) == len(mixed)


@given(
    sizes=st.dictionaries(
        st.sampled_from(["/name", "/a~1b/c", "/llm_settings", '/q"uo\\te']),
        st.tuples(st.integers(0, 6000), st.integers(0, 6000)),
        min_size=1,
    )
)
def test_an_outline_is_the_event_without_values(sizes: dict[str, tuple[int, int]]) -> None:
    (first,) = stream(1)
    changes = {
        path: Change(before="b" * before, after={"deep": ["a" * after]})
        for path, (before, after) in sizes.items()
    }
    event = structs.replace(first, changes=changes)
    body = codec.encode(event)
    outline = codec.outline(body, codec.tag_of(event))
    assert list(changes_of(outline)) == list(sizes)  # type: ignore[arg-type]  # it has a version
    assert structs.replace(outline, changes=changes) == event
    if len(body) > LARGE:
        assert len(codec.encode(outline)) < len(body) // 4


def peak(read: Iterator[object]) -> int:
    """The most bytes that were allocated at once while something was read to its end."""
    tracemalloc.start()
    try:
        for _ in read:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_holds_few_large_events_at_once(connection: sa.Connection) -> None:
    append(connection, [with_text(event, _SIZE) for event in stream(_COUNT)])
    bound = 10 * _SIZE
    assert peak(store.read_stream(connection, 1, 1)) < bound
    assert peak(store.read_stream(connection, 1, 1, decode=codec.outline)) < bound
    assert peak(iter(log_search.read_stored(connection, 1, EventFilter()))) < bound


def test_a_plain_query_holds_them_all(connection: sa.Connection) -> None:
    """The control of the law above."""
    append(connection, [with_text(event, _SIZE) for event in stream(_COUNT)])
    query = rows_of(events, 1, events.c.body)
    assert peak(row for rows in [connection.execute(query).all] for row in rows()) > _COUNT * _SIZE
