"""Checkpoints: signed roots of a log. They are shown, recorded as events, and copied to files."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from app.audit.signing import VerifierKey
from app.metrics import catalog
from app.storage import private_files
from app.transactions.caller import system
from events import codec, log_head, log_proofs, log_search, merkle
from events.changed import CheckpointRecorded
from events.log_search import EventFilter, Stored
from events.setting_types import Moment

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import sqlalchemy as sa

    from app.audit.signing import Signer
    from app.storage.database import Database
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue

_TAG = str(CheckpointRecorded.__struct_config__.tag)
_log = structlog.get_logger(__name__)


# -- sign


class PublicKeys(Struct, frozen=True, kw_only=True):
    """The keys that sign a log's checkpoints: what ``backstory audit verify --key`` reads."""

    origin: str
    keys: list[VerifierKey]


def public_keys(connection: sa.Connection, signer: Signer, organization_id: int) -> PublicKeys:
    """A log's origin, and the keys that sign for it."""
    origin = log_head.head_of(connection, organization_id).origin
    return PublicKeys(origin=origin, keys=signer.keys(origin))


def checkpoint_at(
    connection: sa.Connection, signer: Signer, organization_id: int, size: int
) -> str:
    """The signed root over the first ``size`` events of a log."""
    origin = log_head.head_of(connection, organization_id).origin
    return signer.checkpoint(origin, size, log_proofs.root_at(connection, organization_id, size))


def current_checkpoint(connection: sa.Connection, signer: Signer, organization_id: int) -> str:
    """The signed root over all events of a log."""
    return _sign(signer, log_head.head_of(connection, organization_id))


def _sign(signer: Signer, head: log_head.LogHead) -> str:
    return signer.checkpoint(head.origin, head.sequence, merkle.root(head.frontier))


# -- record


class RecordedCheckpoint(Struct, frozen=True, kw_only=True):
    """A checkpoint that is an event itself; it signs all events before it."""

    sequence: int
    size: int
    recorded_at: Moment
    checkpoint: str


def recorded_checkpoints(
    connection: sa.Connection, organization_id: int, limit: int, before: int | None
) -> list[RecordedCheckpoint]:
    """The checkpoints that are events before a sequence, newest first."""
    matching = EventFilter(tags=(_TAG,), until=None if before is None else before - 1)
    batches = log_search.read_stored(connection, organization_id, matching, newest_first=True)
    return [_recorded(row) for row in islice(chain.from_iterable(batches), limit)]


def _recorded(row: Stored) -> RecordedCheckpoint:
    sequence, body, _ = row
    event = codec.decode(body, codec.tag_in(body))
    if not isinstance(event, CheckpointRecorded):
        raise TypeError(f"event {sequence} is not a checkpoint")
    return RecordedCheckpoint(
        sequence=event.sequence,
        size=event.sequence - 1,
        recorded_at=event.occurred_at,
        checkpoint=event.checkpoint,
    )


def record_checkpoint(
    signer: Signer, organization_id: int, unit: UnitOfWork
) -> RecordedCheckpoint | None:
    """Sign the log, and record the checkpoint as an event; None where the log has not grown."""
    head = unit.log_head(organization_id)
    unit.flush()  # the frontier covers the events that were written
    if head.sequence == head.checkpoint_sequence:
        return None
    note = _sign(signer, head)
    unit.record(system(organization_id, "checkpoint"), CheckpointRecorded, checkpoint=note)
    head.checkpoint_sequence = head.sequence
    head.checkpoint_at = unit.clock()  # the event's own time may be later
    return RecordedCheckpoint(
        sequence=head.sequence,
        size=head.sequence - 1,
        recorded_at=head.last_occurred_at,
        checkpoint=note,
    )


async def record_due(
    database: Database,
    queue: WriteQueue,
    signer: Signer,
    now: datetime,
    every: timedelta,
    folder: str | None,
) -> None:
    """Record a checkpoint of each log that has grown and whose last one is older than ``every``.

    Each is copied to the folder, if there is one.
    """
    for organization_id in await database.read(log_head.checkpoints_due, now, every):
        recorded = await queue.write(
            organization_id,
            partial(record_checkpoint, signer, organization_id),
            is_background=True,
        )
        if recorded is None:
            continue
        catalog.AUDIT_CHECKPOINT.set(recorded.recorded_at.timestamp())
        if folder is not None:
            await _copy(Path(folder), recorded)


# -- copy


class CheckpointContradicted(Exception):
    """The server copied another checkpoint of the same size before: the log was rewritten."""


async def _copy(folder: Path, recorded: RecordedCheckpoint) -> None:
    """Copy a checkpoint. A failure is logged: the event exists, and the next copy covers it."""
    try:
        await asyncio.to_thread(copy_checkpoint, folder, recorded)
    except CheckpointContradicted as error:
        _log.critical("checkpoint_contradicted", file=str(error))
    except OSError as error:
        _log.warning("checkpoint_not_copied", folder=str(folder), error=str(error))


def copy_checkpoint(folder: Path, recorded: RecordedCheckpoint) -> None:
    """Write a checkpoint to a folder outside of the database; a reader finds only whole files.

    A file that exists is never overwritten; raises ``CheckpointContradicted`` if it differs.
    """
    private_files.make_folder(folder)
    origin, _, _ = recorded.checkpoint.partition("\n")
    file = folder / f"{origin.replace('/', '-')}-{recorded.size:012}.checkpoint"
    part = file.with_name(file.name + ".part")
    private_files.write(part, recorded.checkpoint.encode())
    try:
        os.link(part, file)
        part.unlink()
    except FileExistsError:
        if file.read_text("utf-8") != recorded.checkpoint:
            part.replace(file.with_name(f"{file.name}.contradicted-by-{recorded.sequence}"))
            raise CheckpointContradicted(str(file)) from None
        part.unlink()
