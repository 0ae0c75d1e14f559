"""A Parquet file of events. Importing this module needs the extra ``backstory[parquet]``.

The file is a run of row groups, each bounded in rows and in bytes. So memory stays flat, and a
reader that looks for a range of sequences skips the other groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet as pq

from events.merkle import HASH_BYTES
from projections.exports.outline import Outline, outline

if TYPE_CHECKING:
    from events.log_search import Stored

# A row group ends with the event that reaches one of these bounds.
ROWS = 5_000
BODY_BYTES = 4_000_000

_TIME = pa.timestamp("us", tz="UTC")
_PATH = pa.field("element", pa.string(), nullable=False)  # Parquet's own name for a list's items
SCHEMA = pa.schema(
    [
        pa.field("organization_id", pa.int32(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("occurred_at", _TIME, nullable=False),
        pa.field("assistant_id", pa.int32()),
        pa.field("version", pa.int64()),
        pa.field("actor_type", pa.string(), nullable=False),
        pa.field("actor_id", pa.int32(), nullable=False),
        pa.field("actor_name", pa.string(), nullable=False),
        pa.field("user_id", pa.int32(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("cause", pa.string()),
        pa.field("request_id", pa.string()),
        pa.field("paths", pa.list_(_PATH), nullable=False),
        pa.field("body", pa.string(), nullable=False),  # the bytes that were hashed
        pa.field("leaf_hash", pa.binary(HASH_BYTES), nullable=False),
    ]
)
# Columns whose values repeat. For the others, a dictionary would make the file larger.
REPEATING = ["type", "actor_type", "actor_name", "reason", "cause", "paths.list.element"]


class Pipe:
    """A file object for Arrow to write to; ``take`` empties it."""

    closed = False

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep the data until it is taken."""
        self._waiting.append(data)
        return len(data)

    def flush(self) -> None:
        """Nothing: written data can be taken at once."""

    def close(self) -> None:
        """Mark the file as closed, as Arrow does at the end; its data can still be taken."""
        self.closed = True

    def take(self) -> bytes:
        """The data that was written since the last call."""
        taken = b"".join(self._waiting)
        self._waiting.clear()
        return taken


class ParquetFile:
    """The encoder of one file. Where row groups end depends on the events, not on the pages."""

    def __init__(self, last_sequence: int) -> None:
        self._last_sequence = last_sequence
        self._pipe = Pipe()
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._pipe, mode="w"),
            SCHEMA,
            compression="zstd",
            use_dictionary=REPEATING,
        )
        self._group: list[Stored] = []
        self._body_bytes = 0

    def head(self) -> bytes:
        """The magic bytes of the format."""
        return self._pipe.take()

    def encode(self, page: Sequence[Stored], /) -> bytes:
        """The row groups that the next events complete, mostly none."""
        for stored in page:
            self._group.append(stored)
            self._body_bytes += len(stored.body)
            if len(self._group) == ROWS or self._body_bytes >= BODY_BYTES:
                self._end_group()
        return self._pipe.take()

    def tail(self) -> bytes:
        """The last row group, and the footer, which says how far the log was read."""
        self._end_group()
        self._writer.add_key_value_metadata({"last_sequence": str(self._last_sequence)})
        self._writer.close()
        return self._pipe.take()

    def _end_group(self) -> None:
        if self._group:
            self._writer.write_table(_table(self._group))
        self._group, self._body_bytes = [], 0


def _table(group: Sequence[Stored]) -> Any:
    events = [outline(stored) for stored in group]
    columns = _columns(group, events)
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _columns(group: Sequence[Stored], events: Sequence[Outline]) -> dict[str, Any]:
    actors = [event.actor for event in events]
    times = pa.array([event.time for event in events], pa.string())
    return {
        "organization_id": [event.organization_id for event in events],
        "sequence": [stored.sequence for stored in group],
        "type": [stored.type for stored in group],
        "occurred_at": times.cast(_TIME),
        "assistant_id": [event.assistant_id for event in events],
        "version": [event.version for event in events],
        "actor_type": [actor.type for actor in actors],
        "actor_id": [actor.id for actor in actors],
        "actor_name": [actor.name for actor in actors],
        "user_id": [actor.user_id for actor in actors],
        "reason": [event.reason for event in events],
        "cause": [event.cause and event.cause.type for event in events],
        "request_id": [event.request_id for event in events],
        "paths": [event.touched for event in events],
        "body": [stored.body for stored in group],
        "leaf_hash": [stored.hashes[:HASH_BYTES] for stored in group],
    }
