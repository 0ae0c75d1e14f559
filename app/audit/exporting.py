"""Exports of the audit log: a part of the log as bytes that stay the same.

``plan_export`` fixes what an export holds. ``ExportStream`` gives its bytes, page by page. The HTTP
API, the command line and the archive all write exports with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from app.audit.bounds import within
from app.audit.checkpoints import checkpoint_at
from app.audit.moments import following
from events import log_head, log_search
from events.changed import AuditExported, CheckpointRecorded
from events.log_search import EventFilter, Stored
from projections.event_types import tags
from projections.exports.filter import ExportFilter
from projections.exports.format import Coverage, Encoder, Format

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from app.audit.signing import Signer
    from app.storage.database import Database
    from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork

_WINDOW = 5000  # sequences that one page covers at most
_FIRST_WINDOW = 100  # so that the first byte does not wait for a whole page
_PAGE_BYTES = 2 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
# Events that looking after the log records.
_UPKEEP = tuple(str(event.__struct_config__.tag) for event in (AuditExported, CheckpointRecorded))


# -- what an export holds


class ExportRequest(Struct, frozen=True, kw_only=True):
    """A requested part of the log; a bound that is None does not limit it.

    Sequences after ``after``, up to and including ``until_sequence``; moments from ``since`` up to
    and including ``until``.
    """

    after: int = 0
    until_sequence: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: datetime | None = None  # as ``until``, exclusive
    filter: ExportFilter = ExportFilter()


class Export(Struct, frozen=True, kw_only=True):
    """A planned export. Its bounds are fixed: events that are recorded later do not change it."""

    organization_id: int
    origin: str  # the log's name, as its checkpoints have it
    format: Format
    after: int
    until: int
    filter: ExportFilter
    continues: bool  # an earlier export, whose bytes come before
    checkpoint: str  # the signed root over the first ``until`` events

    def encoder(self) -> Encoder:
        """A new encoder, which has written nothing yet."""
        return self.format.encoder(
            Coverage(
                origin=self.origin,
                last_sequence=self.until,
                filter=self.filter.as_dict(),
                checkpoint=self.checkpoint,
                continues=self.continues,
            )
        )


def plan_export(
    connection: sa.Connection,
    signer: Signer,
    organization_id: int,
    form: Format,
    request: ExportRequest,
) -> Export:
    """Fix the bounds of an export, and sign the log up to its end; raises ``BeyondLog``."""
    head = log_head.head_of(connection, organization_id)
    after, until = _bounds(connection, organization_id, request, head.sequence)
    return Export(
        organization_id=organization_id,
        origin=head.origin,
        format=form,
        after=after,
        until=until,
        filter=request.filter,
        continues=request.after > 0,
        checkpoint=checkpoint_at(connection, signer, organization_id, until),
    )


def _bounds(
    connection: sa.Connection, organization_id: int, request: ExportRequest, last: int
) -> tuple[int, int]:
    """The sequence after which an export starts, and its last one."""
    after = within("after", request.after, 0, last)
    until = last
    if request.until_sequence is not None:
        until = within("until_sequence", request.until_sequence, after, last)
    for end in (following(request.until), request.before):
        if end is not None:
            until = min(until, log_search.last_before(connection, organization_id, end, last))
    if request.since is not None:
        after = max(after, log_search.last_before(connection, organization_id, request.since, last))
    return after, max(until, after)


def record_export(unit: UnitOfWork, caller: Caller, export: Export) -> None:
    """Record an export, unless it holds only events that looking after the log records.

    A client that polls the log would otherwise never reach its end.
    """
    exported = EventFilter(after=export.after, until=export.until)
    if unit.read(log_search.holds_others, export.organization_id, exported, _UPKEEP):
        unit.record(
            caller,
            AuditExported,
            format=export.format.name,
            after=export.after,
            until_sequence=export.until,
            filter=export.filter.as_dict(),
        )


# -- its bytes


class ExportStream:
    """The bytes of an export: call ``read`` until ``is_done``, each time with a new snapshot."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._encoder = export.encoder()
        self._is_begun = False
        self.is_done = False
        self.reached = export.after  # the last sequence that was read

    def read(self, connection: sa.Connection) -> list[bytes]:
        """The next chunks. It can run again if the connection was lost: it encodes last."""
        page: list[list[Stored]] = []
        reached = self.reached
        if reached < self._export.until:
            page, reached = read_page(connection, self._export, reached)
        chunks = _Chunks()
        if not self._is_begun:
            chunks.add(self._encoder.head())
        for rows in page:
            chunks.add(self._encoder.encode(rows))
        if reached == self._export.until:
            chunks.add(self._encoder.tail())
        self._is_begun, self.is_done = True, reached == self._export.until
        self.reached = reached
        return chunks.all()


def read_page(
    connection: sa.Connection, export: Export, after: int
) -> tuple[list[list[Stored]], int]:
    """The events that follow a sequence, in batches, and the sequence up to which they reach."""
    window = _FIRST_WINDOW if after == export.after else _WINDOW
    end = min(after + window, export.until)
    covered = EventFilter(
        after=after,
        until=end,
        tags=tags(export.filter.event_type, None),
        assistant_id=export.filter.assistant_id,
    )
    page: list[list[Stored]] = []
    size = 0
    for rows in log_search.read_stored(connection, export.organization_id, covered):
        page.append(_matching(rows, export))
        size += sum([len(body) for _, body, _ in rows])
        if size > _PAGE_BYTES:
            return page, rows[-1][0]
    return page, end


def _matching(rows: list[Stored], export: Export) -> list[Stored]:
    # NDJSON needs no names for a row's members, and a million rows may pass here.
    if export.filter.is_empty and export.format.name == "ndjson":
        return rows
    return [stored for stored in map(Stored._make, rows) if export.filter.matches(stored)]


class _Chunks:
    """Joins pieces of bytes to chunks that are worth sending.

    A chunk is small enough to reuse the memory of those before.
    """

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Add a piece."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _CHUNK_BYTES:
            self._join()

    def all(self) -> list[bytes]:
        """The chunks, none of them empty."""
        self._join()
        return self._done

    def _join(self) -> None:
        if self._size:
            self._done.append(b"".join(self._pieces))
        self._pieces, self._size = [], 0


def chunks(
    connect: Callable[[], AbstractContextManager[sa.Connection]],
    export: Export,
    progress: Callable[[int], None],
) -> Iterator[bytes]:
    """The bytes of an export, for a command. ``progress`` takes how many more events are done."""
    stream = ExportStream(export)
    while not stream.is_done:
        before = stream.reached
        with connect() as connection:
            page = stream.read(connection)
        yield from page
        progress(stream.reached - before)


async def stream_chunks(database: Database, export: Export) -> AsyncIterator[bytes]:
    """The bytes of an export, for a server. A page is read while the one before it is sent."""
    stream = ExportStream(export)

    def read() -> asyncio.Task[list[bytes]]:
        return asyncio.create_task(database.export_portion(export.organization_id, stream.read))

    reading: asyncio.Task[list[bytes]] | None = read()
    try:
        while reading is not None:
            page = await reading
            reading = None if stream.is_done else read()
            for chunk in page:
                yield chunk
    finally:
        if reading is not None:  # the client disconnected
            reading.cancel()
