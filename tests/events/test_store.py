from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from events import codec, log_head, log_proofs, merkle, store
from events.changed import AssistantSettingsChanged, Event, LogEvent
from events.pointers import Change
from events.tables import events, organizations, to_micros
from events.upcasters import tag
from tests.databases import on_sqlite, unguarded
from tests.events.given import ACTOR, ASSISTANT, PATCH, at, created, deleted, given
from tests.events.log import Log

IMMUTABLE = "events are immutable"


def stream(
    count: int, assistant_id: int = 1, *, organization_id: int = 1, after: int = 0
) -> list[Event]:
    """Events of one assistant, numbered in the organization after those before them."""
    return [
        AssistantSettingsChanged(
            organization_id=organization_id,
            sequence=after + version,
            assistant_id=assistant_id,
            version=version,
            occurred_at=at(after + version),
            actor=ACTOR,
            reason=None,
            cause=PATCH,
            request_id=None,
            changes={"/name": Change(before=str(version - 1), after=str(version))},
        )
        for version in range(1, count + 1)
    ]


def append(connection: sa.Connection, recorded: Iterable[LogEvent]) -> None:
    """Write events of one organization or more, as a unit of work does."""
    by_organization: dict[int, list[LogEvent]] = {}
    for event in recorded:
        by_organization.setdefault(event.organization_id, []).append(event)
    for organization_id, its_events in by_organization.items():
        counter = log_head.head_of(connection, organization_id)
        store.append(connection, counter, its_events)
        log_head.save_head(connection, counter)


@pytest.fixture
def connection(log: Log) -> Iterator[sa.Connection]:
    with log.undone() as undone:
        yield undone


# -- reading


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000, 1203])
def test_a_stream_is_read_whole_in_both_directions(connection: sa.Connection, count: int) -> None:
    written = stream(count)
    append(connection, written)
    assert list(store.read_stream(connection, 1, 1)) == written
    assert list(store.read_stream(connection, 1, 1, newest_first=True)) == written[::-1]


@pytest.mark.parametrize("after", [0, 1, 499, 500, 501, 1202, 1203, 5000])
def test_the_log_is_read_whole_from_where_it_was_left(
    connection: sa.Connection, after: int
) -> None:
    first, second = stream(700), stream(503, 2, after=700)
    append(connection, first)
    append(connection, second)
    assert list(store.read_log(connection, 1, after=after)) == (first + second)[after:]


def test_streams_are_read_one_after_the_other(connection: sa.Connection) -> None:
    interleaved = [
        msgspec.structs.replace(event, sequence=2 * event.version - position)
        for position, assistant_id in enumerate((2, 1))
        for event in stream(600, assistant_id)
    ]
    append(connection, sorted(interleaved, key=lambda event: event.sequence))
    read = list(store.read_streams(connection, 1))
    assert [(event.assistant_id, event.version) for event in read] == [
        (assistant_id, version) for assistant_id in (1, 2) for version in range(1, 601)
    ]
    assert [e.sequence for e in store.read_log(connection, 1)] == list(range(1, 1201))


def test_a_reader_that_stops_midway_has_read_only_so_much(connection: sa.Connection) -> None:
    append(connection, stream(1203))
    reader = store.read_log(connection, 1)
    assert [next(reader).sequence for _ in range(501)] == list(range(1, 502))
    append(connection, stream(2, 2, after=1203))
    assert [event.sequence for event in reader] == list(range(502, 1206))


def test_an_organization_reads_its_own_log_alone(connection: sa.Connection) -> None:
    ours, theirs = stream(3), stream(5, organization_id=2)
    append(connection, [*ours, *theirs])
    assert list(store.read_log(connection, 1)) == ours
    assert list(store.read_stream(connection, 2, 1)) == theirs
    assert list(store.read_streams(connection, 3)) == []


def test_the_stored_bytes_are_the_canonical_ones(connection: sa.Connection) -> None:
    (event,) = given(created({"name": "ä"})).events
    append(connection, [event])
    (row,) = connection.execute(sa.select(events)).all()
    assert row.body == codec.encode(event)
    assert row.type == tag("assistant_created")
    assert (row.sequence, row.version) == (event.sequence, event.version)
    assert row.occurred_at == to_micros(event.occurred_at)


def test_nothing_to_append_is_nothing_written(connection: sa.Connection) -> None:
    append(connection, [])
    assert list(store.read_log(connection, 1)) == []


# -- counters


def test_the_counters_come_back_as_they_were_saved(connection: sa.Connection) -> None:
    counter = log_head.lock(connection, 1)
    assert counter is not None
    counter.sequence, counter.last_assistant_id, counter.last_occurred_at = 41, 7, at(9)
    counter.frontier, counter.checkpoint_sequence = b"frontier", 40
    counter.checkpoint_at, counter.observed_at = at(8), at(10)
    log_head.save_head(connection, counter)
    assert log_head.lock(connection, 1) == counter == log_head.read_head(connection, 1)
    assert log_head.end_of(connection, 1) == (41, b"frontier")
    other = log_head.lock(connection, 2)
    assert other is not None
    assert other.sequence == 0


def test_an_organization_that_is_not_there_has_no_counters(connection: sa.Connection) -> None:
    assert log_head.lock(connection, 99) is None
    assert store.count_events(connection, 99) == 0
    assert 99 not in log_head.organization_ids(connection)
    with pytest.raises(LookupError):
        log_head.head_of(connection, 99)


def test_a_log_with_a_checkpoint_is_known(connection: sa.Connection) -> None:
    assert not log_head.holds_checkpoints(connection)
    counter = log_head.head_of(connection, 2)
    counter.checkpoint_sequence = 1
    log_head.save_head(connection, counter)
    assert log_head.holds_checkpoints(connection)


# -- the guards of the log


def forged(sequence: int, assistant_id: int, version: int) -> sa.Insert:
    """An event that takes the place of whatever stands in its way."""
    return (
        sa.insert(events)
        .prefix_with("OR REPLACE")
        .values(
            organization_id=1,
            sequence=sequence,
            assistant_id=assistant_id,
            version=version,
            user_id=0,
            type="assistant_deleted.v1",
            occurred_at=0,
            body=b"forged",
            hashes=b"forged",
        )
    )


# Each statement that would change the past, and the trigger that refuses it.
FORGERIES: dict[str, tuple[sa.Executable, str]] = {
    "update a body": (
        sa.update(events).where(events.c.sequence == 1).values(body=b"forged"),
        "events_are_not_updated",
    ),
    "renumber": (
        sa.update(events).where(events.c.sequence == 1).values(sequence=9),
        "events_are_not_updated",
    ),
    "delete one": (sa.delete(events).where(events.c.sequence == 1), "events_are_not_deleted"),
    "delete all": (sa.delete(events), "events_are_not_deleted"),
}
if on_sqlite():
    FORGERIES |= {
        "update or replace": (
            sa.update(events)
            .prefix_with("OR REPLACE")
            .where(events.c.sequence == 2)
            .values(sequence=1),
            "events_are_not_updated",
        ),
        "replace by sequence": (forged(1, 7, 7), "events_are_not_replaced"),
        "replace by version": (forged(9, ASSISTANT, 1), "events_are_not_replaced"),
        "replace by both": (forged(1, ASSISTANT, 1), "events_are_not_replaced"),
    }
else:
    MERGE = (
        "MERGE INTO events USING organizations o"
        " ON events.organization_id = o.organization_id AND events.sequence = 1 WHEN MATCHED THEN "
    )
    FORGERIES |= {
        "truncate": (sa.text("TRUNCATE events"), "events_are_not_truncated"),
        "truncate among others": (sa.text("TRUNCATE users, events"), "events_are_not_truncated"),
        "merge": (sa.text(MERGE + "UPDATE SET occurred_at = 0"), "events_are_not_updated"),
        "merge away": (sa.text(MERGE + "DELETE"), "events_are_not_deleted"),
        "to another organization": (
            sa.update(events).values(organization_id=9),
            "events_are_not_updated",
        ),
    }


@pytest.fixture
def recorded(connection: sa.Connection) -> sa.Connection:
    append(connection, given(created(), deleted()).events)
    return connection


def bodies_in(connection: sa.Connection) -> list[Any]:
    return list(connection.execute(sa.select(events).order_by(events.c.sequence)).all())


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_database_refuses_to_change_the_past(recorded: sa.Connection, forgery: str) -> None:
    statement, _ = FORGERIES[forgery]
    before = bodies_in(recorded)
    with pytest.raises(sa.exc.DatabaseError, match=IMMUTABLE), recorded.begin_nested():
        recorded.execute(statement)
    assert bodies_in(recorded) == before


@pytest.mark.parametrize("forgery", FORGERIES)
def test_without_its_trigger_the_past_could_be_changed(
    recorded: sa.Connection, forgery: str
) -> None:
    statement, trigger = FORGERIES[forgery]
    before = bodies_in(recorded)
    recorded.exec_driver_sql(unguarded(trigger))
    recorded.execute(statement)
    assert bodies_in(recorded) != before


def test_an_upsert_does_not_change_the_past(recorded: sa.Connection) -> None:
    before = bodies_in(recorded)
    key = {"organization_id": 1, "sequence": 1}
    values = bodies_in(recorded)[0]._asdict() | {"body": b"forged"}
    insert = sqlite.insert(events) if on_sqlite() else postgresql.insert(events)
    upsert = insert.values(values).on_conflict_do_update(index_elements=list(key), set_=values)
    with pytest.raises(sa.exc.DatabaseError, match=IMMUTABLE), recorded.begin_nested():
        recorded.execute(upsert)
    assert bodies_in(recorded) == before


@pytest.mark.sqlite
def test_a_hidden_row_number_is_no_way_around_the_guards(recorded: sa.Connection) -> None:
    """A table with SQLite's own rowid can be overwritten by it, past every declared key."""
    before = bodies_in(recorded)
    with suppress(sa.exc.DBAPIError):
        recorded.exec_driver_sql(
            "INSERT OR REPLACE INTO events"
            " (rowid, organization_id, sequence, assistant_id, version, user_id, type,"
            " occurred_at, body, hashes)"
            " SELECT rowid, organization_id, 9, 9, 9, 0, type, 0, x'00', x'00'"
            " FROM events WHERE sequence = 1"
        )
    assert bodies_in(recorded)[: len(before)] == before


def test_the_next_event_is_still_welcome(recorded: sa.Connection) -> None:
    append(recorded, stream(1, 2, after=2))
    assert len(bodies_in(recorded)) == 3


@pytest.mark.parametrize("twin", [{"sequence": 2}, {"version": 1}, {"version": 2}])
def test_no_place_in_the_log_is_given_twice(recorded: sa.Connection, twin: dict[str, int]) -> None:
    event = msgspec.structs.replace(
        given(created(), deleted()).events[1], **{"sequence": 3, "version": 3} | twin
    )
    with pytest.raises(sa.exc.IntegrityError), recorded.begin_nested():
        append(recorded, [event])
    assert len(bodies_in(recorded)) == 2


# -- the log and its hashes


@pytest.fixture
def hashed(connection: sa.Connection) -> sa.Connection:
    """A log of five events whose counters say so."""
    append(connection, stream(5))
    counter = log_head.head_of(connection, 1)
    counter.sequence = 5
    log_head.save_head(connection, counter)
    connection.exec_driver_sql(unguarded("events_are_not_updated"))
    connection.exec_driver_sql(unguarded("events_are_not_deleted"))
    return connection


def first_unproven(connection: sa.Connection) -> int | None:
    return log_proofs.first_unproven(connection, 1, lambda _: None)


# Each thing done to the database behind the log's back, and the sequence that shows it.
MEDDLING: dict[str, tuple[sa.Executable, int]] = {
    "a body edited": (sa.update(events).where(events.c.sequence == 3).values(body=b"{}"), 3),
    "a leaf edited": (sa.update(events).where(events.c.sequence == 4).values(hashes=b""), 4),
    "a type edited": (
        sa.update(events).where(events.c.sequence == 2).values(type="assistant_deleted.v1"),
        2,
    ),
    "a moment edited": (sa.update(events).where(events.c.sequence == 5).values(occurred_at=0), 5),
    "an owner edited": (sa.update(events).where(events.c.sequence == 1).values(user_id=99), 1),
    "one taken out": (sa.delete(events).where(events.c.sequence == 2), 2),
    "the end cut off": (sa.delete(events).where(events.c.sequence > 3), 4),
    "another frontier": (sa.update(organizations).values(frontier=b"x" * 32), 6),
    "another count": (sa.update(organizations).values(sequence=6), 6),
}


@pytest.mark.parametrize("meddling", MEDDLING)
def test_what_was_done_behind_the_logs_back_is_found(hashed: sa.Connection, meddling: str) -> None:
    statement, sequence = MEDDLING[meddling]
    hashed.execute(statement)
    assert first_unproven(hashed) == sequence


def test_an_untouched_log_has_the_hashes_that_it_was_written_with(hashed: sa.Connection) -> None:
    assert first_unproven(hashed) is None
    append(hashed, [])
    assert first_unproven(hashed) is None
    assert log_proofs.first_unproven(hashed, 2, lambda _: None) is None  # an empty one, too


def test_the_root_at_each_size_is_that_of_a_tree_over_so_many_bodies(
    hashed: sa.Connection,
) -> None:
    frontier = b""
    for size, event in enumerate(stream(5)):
        frontier, _ = merkle.add(frontier, size, codec.encode(event))
        assert log_proofs.root_at(hashed, 1, size + 1) == merkle.root(frontier)


def test_progress_is_told_of_every_event_in_small_portions(connection: sa.Connection) -> None:
    append(connection, stream(70))
    proven: list[int] = []
    log_proofs.first_unproven(connection, 1, proven.append)
    assert proven == [32, 32, 6]
