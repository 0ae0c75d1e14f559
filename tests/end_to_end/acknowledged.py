"""What clients were told, held against what the log of the database says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from events import store
from events.changed import AssistantCreated, Event, LogEvent
from tests.databases import reading_engine


class Acknowledged(Struct, frozen=True):
    """A change that a client was told is made."""

    organization_id: int
    assistant_id: int
    version: int
    reason: str


def log_of(database: Path, organization_id: int) -> list[LogEvent]:
    """Every event of an organization, in order of sequence."""
    engine = reading_engine(database)
    try:
        with engine.connect() as connection:
            return list(store.read_log(connection, organization_id))
    finally:
        engine.dispose()


def prove(acknowledged: Iterable[Acknowledged], log: list[LogEvent]) -> None:
    """Nothing that was acknowledged is missing, and nothing is missing between."""
    assert [event.sequence for event in log] == list(range(1, len(log) + 1))
    streams: dict[int, list[Event]] = defaultdict(list)
    for event in log:
        if isinstance(event, Event):
            streams[event.assistant_id].append(event)
    for stream in streams.values():
        assert isinstance(stream[0], AssistantCreated)
        assert [event.version for event in stream] == list(range(1, len(stream) + 1))
    recorded = {
        (event.assistant_id, event.version): event.reason
        for stream in streams.values()
        for event in stream
    }
    for change in acknowledged:
        assert recorded.get((change.assistant_id, change.version)) == change.reason
