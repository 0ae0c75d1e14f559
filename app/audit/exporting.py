"""The audit log: looked at, exported, signed and proven.

The functions take the connection of a snapshot, or the ``UnitOfWork`` of a transaction, so that the
server and the command line share them.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct, structs

from app.accounts import organizations
from app.audit.signing import VerifierKey
from app.storage import private_files
from app.transactions.caller import system
from events import codec, log_head, log_proofs, log_search, merkle
from events.changed import AuditExported, CheckpointRecorded
from events.errors import DomainError
from events.log_search import EventFilter, Stored
from events.setting_types import Moment
from projections import current
from projections.audit import AuditLogEntry, entry
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
    from app.transactions.write_queue import WriteQueue

_log = structlog.get_logger(__name__)
_CHECKPOINT_TAG = str(CheckpointRecorded.__struct_config__.tag)
_EXPORT_TAG = str(AuditExported.__struct_config__.tag)
_WINDOW = 5000  # sequences that one page of an export looks at, at most
_PAGE_BYTES = 2 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_UPKEEP = (_EXPORT_TAG, _CHECKPOINT_TAG)
_INSTANT = timedelta(microseconds=1)
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC) - 2 * _INSTANT
_ID = re.compile(r"[1-9]\d{0,9}", re.ASCII)
_PLACES = {"assistant": "assistant_id", "api_key": "key_id"}  # where a resource's id stands
_FIRST_WINDOW = 100  # so that the first byte does not wait for a whole page


class BeyondLog(DomainError):
    """A place in the log that is not there; ``name`` is the parameter that asked for it."""

    def __init__(self, name: str, *, least: int, most: int) -> None:
        super().__init__(name, least, most)
        self.name = name
        self.least = least
        self.most = most


# -- looking


class Search(Struct, frozen=True, kw_only=True):
    """What of the log somebody wants to see; ``before`` is the sequence where a page ended."""

    user_id: int | None = None
    event_type: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    phi_only: bool = False
    before: int | None = None


class LogPage(Struct, frozen=True, kw_only=True):
    """Entries, newest first; ``total`` counts all that the search finds, whatever the page."""

    logs: list[AuditLogEntry]
    total: int
    is_last: bool


def look(
    connection: sa.Connection, organization_id: int, search: Search, *, limit: int, skip: int
) -> LogPage:
    """A page of the log."""
    last = log_head.head_of(connection, organization_id).sequence
    sought = _sought(connection, organization_id, search, last)
    page = sought
    if search.before is not None:
        page = structs.replace(sought, until=min(sought.until or 0, search.before - 1))
    found = log_search.read_stored(connection, organization_id, page, newest_first=True, skip=skip)
    people = organizations.emails(connection, organization_id)
    entries: list[AuditLogEntry] = []
    for rows in found:
        entries += _entries(connection, organization_id, rows, people)
        if len(entries) > limit:
            break
    return LogPage(
        logs=entries[:limit],
        total=_count(connection, organization_id, sought),
        is_last=len(entries) <= limit,
    )


def _sought(
    connection: sa.Connection, organization_id: int, search: Search, last: int
) -> EventFilter:
    after, until = 0, last
    if search.start is not None:
        after = log_search.last_before(connection, organization_id, search.start, last)
    if (before := _after(search.end)) is not None:
        until = log_search.last_before(connection, organization_id, before, last)
    number = _number(search.resource_id)
    place = _PLACES.get(search.resource_type or "", "about")
    return EventFilter(
        after=after,
        # What is kept here is no health information, and only assistants and keys have ids.
        until=0 if search.phi_only or number == 0 else until,
        tags=tags(search.event_type, search.resource_type),
        user_id=search.user_id,
        **{place: number},
    )


def _after(moment: datetime | None) -> datetime | None:
    """The first moment after one that is included; None for none, or where time ends."""
    return None if moment is None or moment > _LAST_MOMENT else moment + _INSTANT


def _number(resource_id: str | None) -> int | None:
    """An id as a number; 0, which nothing has, for a text that is none."""
    if resource_id is None:
        return None
    return int(resource_id) if _ID.fullmatch(resource_id) else 0


def _count(connection: sa.Connection, organization_id: int, sought: EventFilter) -> int:
    if sought == EventFilter(after=sought.after, until=sought.until):  # sequences have no gaps
        return max((sought.until or 0) - sought.after, 0)
    return log_search.count_matching(connection, organization_id, sought)


def _entries(
    connection: sa.Connection,
    organization_id: int,
    rows: list[Stored],
    emails: dict[int, str | None],
) -> list[AuditLogEntry]:
    events = [codec.decode(body, codec.tag_in(body)) for _, body, _ in rows]
    ids = {event.assistant_id for event in events if event.assistant_id is not None}
    names, erased = current.names_and_erasures(connection, organization_id, ids)
    return [entry(event, emails=emails, names=names, erased=erased) for event in events]


# -- exporting


class ExportRequest(Struct, frozen=True, kw_only=True):
    """The part of the log that somebody wants to have; bounds that are None bound nothing.

    Sequences beyond ``after`` up to ``until_sequence``, moments from ``since`` up to ``until``.
    """

    after: int = 0
    until_sequence: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: datetime | None = None  # as ``until``, exclusive
    wanted: ExportFilter = ExportFilter()


class Export(Struct, frozen=True, kw_only=True):
    """An export whose bounds are fixed: whatever is written meanwhile, its bytes stay the same."""

    organization_id: int
    origin: str  # the log's
    format: Format
    after: int
    until: int
    wanted: ExportFilter
    resumes: bool  # an earlier part, which it is joined to
    checkpoint: str  # over the first ``until`` events

    def encoder(self) -> Encoder:
        """What writes it, from the beginning."""
        return self.format.encoder(
            Coverage(
                origin=self.origin,
                last_sequence=self.until,
                filter=self.wanted.as_dict(),
                checkpoint=self.checkpoint,
                continues=self.resumes,
            )
        )


def plan_export(
    connection: sa.Connection,
    signer: Signer,
    organization_id: int,
    form: Format,
    wish: ExportRequest,
) -> Export:
    """Fix the bounds of an export, and sign where it ends; raises ``BeyondLog``."""
    counter = log_head.head_of(connection, organization_id)
    last = counter.sequence
    after = _within("after", wish.after, 0, last)
    until = last
    if wish.until_sequence is not None:
        until = _within("until_sequence", wish.until_sequence, after, last)
    for before in (_after(wish.until), wish.before):
        if before is not None:
            at_most = log_search.last_before(connection, organization_id, before, last)
            until = min(until, at_most)
    if wish.since is not None:
        after = max(after, log_search.last_before(connection, organization_id, wish.since, last))
    return Export(
        organization_id=organization_id,
        origin=counter.origin,
        format=form,
        after=after,
        until=max(until, after),
        wanted=wish.wanted,
        resumes=wish.after > 0,
        checkpoint=checkpoint_at(connection, signer, organization_id, max(until, after)),
    )


def record_export(unit: UnitOfWork, caller: Caller, export: Export) -> None:
    """Record an export, unless it holds nothing but what looking after the log records.

    Else whoever polls the log would never see its end.
    """
    rest = EventFilter(after=export.after, until=export.until)
    if unit.read(log_search.holds_others, export.organization_id, rest, _UPKEEP):
        unit.record(
            caller,
            AuditExported,
            format=export.format.name,
            after=export.after,
            until_sequence=export.until,
            filter=export.wanted.as_dict(),
        )


def read_page(
    connection: sa.Connection, export: Export, encoder: Encoder, after: int
) -> tuple[list[bytes], int]:
    """The bytes of the events next after a sequence, in chunks, and the sequence they reach."""
    first = after == export.after
    end = min(after + (_FIRST_WINDOW if first else _WINDOW), export.until)
    wanted = export.wanted
    sought = EventFilter(
        after=after,
        until=end,
        tags=tags(wanted.event_type, None),
        assistant_id=wanted.assistant_id,
    )
    # Rows need no names for their members then, and a million pass here.
    as_they_are = wanted.is_empty and export.format.name == "ndjson"
    chunks = Chunks()
    read = 0
    for rows in log_search.read_stored(connection, export.organization_id, sought):
        chunks.add(encoder.encode(rows if as_they_are else _named(rows, wanted)))
        read += sum([len(body) for _, body, _ in rows])
        if read > _PAGE_BYTES:
            return chunks.all(), rows[-1][0]
    return chunks.all(), end


class Chunks:
    """Joins small pieces to chunks that are worth sending.

    They are small enough to come from the memory that the ones before left.
    """

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """One more piece."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _CHUNK_BYTES:
            self._join()

    def all(self) -> list[bytes]:
        """Every chunk, none of them empty."""
        self._join()
        return self._done

    def _join(self) -> None:
        if self._size:
            self._done.append(b"".join(self._pieces))
        self._pieces, self._size = [], 0


def _named(rows: list[Stored], wanted: ExportFilter) -> list[Stored]:
    return [stored for stored in map(Stored._make, rows) if wanted.matches(stored)]


def chunks(
    connect: Callable[[], AbstractContextManager[sa.Connection]],
    export: Export,
    progress: Callable[[int], None],
) -> Iterator[bytes]:
    """An export's bytes, for a command; each page is a snapshot of its own."""
    encoder = export.encoder()
    yield encoder.head()
    after = export.after
    while after < export.until:
        with connect() as connection:
            page, reached = read_page(connection, export, encoder, after)
        yield from page
        progress(reached - after)
        after = reached
    yield encoder.tail()


# -- signing and proving


class PublicKeys(Struct, frozen=True, kw_only=True):
    """The keys that sign a log's checkpoints: what ``backstory audit verify --key`` reads."""

    origin: str
    keys: list[VerifierKey]


class InclusionProof(Struct, frozen=True, kw_only=True):
    """That the tree of ``size`` events holds one (RFC 6962, 2.1.1); hashes are base64."""

    origin: str
    sequence: int
    leaf_index: int
    leaf_hash: str
    size: int
    root: str
    proof: list[str]


class ConsistencyProof(Struct, frozen=True, kw_only=True):
    """That the later tree extends the earlier one (RFC 6962, 2.1.2); hashes are base64."""

    origin: str
    from_size: int
    from_root: str
    to_size: int
    to_root: str
    proof: list[str]


class RecordedCheckpoint(Struct, frozen=True, kw_only=True):
    """A checkpoint that is an event itself; it signs all events before it."""

    sequence: int
    size: int
    recorded_at: Moment
    checkpoint: str


def public_keys(connection: sa.Connection, signer: Signer, organization_id: int) -> PublicKeys:
    """A log's origin, and the keys that sign for it."""
    origin = log_head.head_of(connection, organization_id).origin
    return PublicKeys(origin=origin, keys=signer.keys(origin))


def checkpoint_at(
    connection: sa.Connection, signer: Signer, organization_id: int, size: int
) -> str:
    """The signed root over the first events of a log."""
    origin = log_head.head_of(connection, organization_id).origin
    return signer.checkpoint(origin, size, log_proofs.root_at(connection, organization_id, size))


def prove_inclusion(
    connection: sa.Connection, organization_id: int, sequence: int, size: int | None
) -> InclusionProof:
    """Raises ``BeyondLog``."""
    counter = log_head.head_of(connection, organization_id)
    size = _within("size", counter.sequence if size is None else size, 1, counter.sequence)
    index = _within("sequence", sequence, 1, size) - 1
    leaf, whole = (index, index + 1), (0, size)
    proof = merkle.inclusion(index, size)
    kept = log_proofs.read_hashes(connection, organization_id, [*proof, leaf, whole])
    return InclusionProof(
        origin=counter.origin,
        sequence=sequence,
        leaf_index=index,
        leaf_hash=_text(merkle.range_hash(leaf, kept)),
        size=size,
        root=_text(merkle.range_hash(whole, kept)),
        proof=[_text(merkle.range_hash(one, kept)) for one in proof],
    )


def prove_consistency(
    connection: sa.Connection, organization_id: int, size: int, later: int | None
) -> ConsistencyProof:
    """Raises ``BeyondLog``."""
    counter = log_head.head_of(connection, organization_id)
    later = _within("to", counter.sequence if later is None else later, 0, counter.sequence)
    size = _within("from", size, 0, later)
    proof = merkle.consistency(size, later)
    kept = log_proofs.read_hashes(connection, organization_id, [*proof, (0, size), (0, later)])
    return ConsistencyProof(
        origin=counter.origin,
        from_size=size,
        from_root=_text(merkle.range_hash((0, size), kept)),
        to_size=later,
        to_root=_text(merkle.range_hash((0, later), kept)),
        proof=[_text(merkle.range_hash(one, kept)) for one in proof],
    )


def _within(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise BeyondLog(name, least=least, most=most)
    return value


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def recorded_checkpoints(
    connection: sa.Connection, organization_id: int, limit: int, before: int | None
) -> list[RecordedCheckpoint]:
    """The checkpoints that are events, newest first."""
    sought = EventFilter(tags=(_CHECKPOINT_TAG,), until=None if before is None else before - 1)
    found = log_search.read_stored(connection, organization_id, sought, newest_first=True)
    return [_recorded(row) for row in islice(chain.from_iterable(found), limit)]


def _recorded(row: Stored) -> RecordedCheckpoint:
    sequence, body, _ = row
    event = codec.decode(body, codec.tag_in(body))
    if not isinstance(event, CheckpointRecorded):
        raise TypeError(f"event {sequence} is no checkpoint")
    return RecordedCheckpoint(
        sequence=event.sequence,
        size=event.sequence - 1,
        recorded_at=event.occurred_at,
        checkpoint=event.checkpoint,
    )


def record_checkpoint(
    signer: Signer, organization_id: int, unit: UnitOfWork
) -> RecordedCheckpoint | None:
    """Sign the tree as it is, and keep it as an event; None where the log has not grown."""
    counter = unit.counter(organization_id)
    unit.flush()  # the frontier covers the events that were written
    if counter.sequence == counter.checkpoint_sequence:
        return None
    note = signer.checkpoint(counter.origin, counter.sequence, merkle.root(counter.frontier))
    unit.record(system(organization_id, "checkpoint"), CheckpointRecorded, checkpoint=note)
    counter.checkpoint_sequence = counter.sequence
    counter.checkpoint_at = unit.clock()  # an event's time may be ahead of it
    return RecordedCheckpoint(
        sequence=counter.sequence,
        size=counter.sequence - 1,
        recorded_at=counter.last_occurred_at,
        checkpoint=note,
    )


class CheckpointContradicted(Exception):
    """Another checkpoint of the same size left the server before: the log was rewritten."""


def copy_checkpoint(folder: Path, made: RecordedCheckpoint) -> None:
    """Put a checkpoint outside of the database, where whoever fetches it finds it whole.

    What stands there already is never overwritten; raises ``CheckpointContradicted``.
    """
    private_files.make_folder(folder)
    origin, _, _ = made.checkpoint.partition("\n")
    file = folder / f"{origin.replace('/', '-')}-{made.size:012}.checkpoint"
    part = file.with_name(file.name + ".part")
    private_files.write(part, made.checkpoint.encode())
    try:
        os.link(part, file)
        part.unlink()
    except FileExistsError:
        if file.read_text("utf-8") != made.checkpoint:
            part.replace(file.with_name(f"{file.name}.contradicted-by-{made.sequence}"))
            raise CheckpointContradicted(str(file)) from None
        part.unlink()


# -- over HTTP


class Audit:
    """The audit log of the caller's organization."""

    def __init__(
        self, database: Database, writer: WriteQueue, signer: Signer, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._writer = writer
        self._signer = signer
        self._clock = clock

    async def look(self, organization_id: int, search: Search, *, limit: int, skip: int) -> LogPage:
        """A page of the log, newest first."""
        return await self._database.snapshot(look, organization_id, search, limit=limit, skip=skip)

    async def plan_export(self, organization_id: int, form: Format, wish: ExportRequest) -> Export:
        """Fix the bounds of an export, and record nothing; raises ``BeyondLog``."""
        return await self._database.snapshot(plan_export, self._signer, organization_id, form, wish)

    async def start_export(self, caller: Caller, form: Format, wish: ExportRequest) -> Export:
        """Fix the bounds of an export and record it; raises ``BeyondLog``."""
        export = await self.plan_export(caller.organization_id, form, wish)
        await self._writer.write(
            caller.organization_id, lambda unit: record_export(unit, caller, export)
        )
        return export

    async def chunks(self, export: Export) -> AsyncIterator[bytes]:
        """An export's bytes; each page is a snapshot of its own, read while the last is sent."""
        encoder = export.encoder()

        def read(after: int) -> asyncio.Task[tuple[list[bytes], int]]:
            return asyncio.create_task(self._database.snapshot(read_page, export, encoder, after))

        yield encoder.head()
        after = export.after
        reading = read(after) if after < export.until else None
        try:
            while reading is not None:
                page, after = await reading
                reading = read(after) if after < export.until else None
                for chunk in page:
                    yield chunk
        finally:
            if reading is not None:  # the client went away
                reading.cancel()
        yield await asyncio.to_thread(encoder.tail)

    async def checkpoint(self, organization_id: int) -> str:
        """The signed root of the whole log."""
        return await self._database.read(self._checkpoint, organization_id)

    def _checkpoint(self, connection: sa.Connection, organization_id: int) -> str:
        counter = log_head.head_of(connection, organization_id)
        return self._signer.checkpoint(
            counter.origin, counter.sequence, merkle.root(counter.frontier)
        )

    async def checkpoints(
        self, organization_id: int, limit: int, before: int | None
    ) -> list[RecordedCheckpoint]:
        """The checkpoints that are events, newest first."""
        return await self._database.snapshot(recorded_checkpoints, organization_id, limit, before)

    async def prove_inclusion(
        self, organization_id: int, sequence: int, size: int | None
    ) -> InclusionProof:
        """Raises ``BeyondLog``."""
        return await self._database.snapshot(prove_inclusion, organization_id, sequence, size)

    async def prove_consistency(
        self, organization_id: int, size: int, later: int | None
    ) -> ConsistencyProof:
        """Raises ``BeyondLog``."""
        return await self._database.snapshot(prove_consistency, organization_id, size, later)

    async def keys(self, organization_id: int) -> PublicKeys:
        """The log's origin, and the keys that sign for it."""
        return await self._database.read(public_keys, self._signer, organization_id)

    async def keep_checkpoints(self, every: timedelta, folder: str | None) -> None:
        """Record a checkpoint of each log that has grown and has none that is new enough."""
        due = await self._database.read(log_head.checkpoints_due, self._clock(), every)
        for organization_id in due:
            made = await self._writer.write(
                organization_id, partial(record_checkpoint, self._signer, organization_id)
            )
            if made is not None and folder is not None:
                await self._copy(Path(folder), made)

    async def _copy(self, folder: Path, made: RecordedCheckpoint) -> None:
        """The event is there whatever becomes of its copy; the next one covers it as well."""
        try:
            await asyncio.to_thread(copy_checkpoint, folder, made)
        except CheckpointContradicted as error:
            _log.critical("checkpoint_contradicted", file=str(error))
        except OSError as error:
            _log.warning("checkpoint_not_copied", folder=str(folder), error=str(error))
