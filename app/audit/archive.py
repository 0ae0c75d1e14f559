"""The archive of a log: files that need no server to read, proven once they are written.

Each organization has a folder with consecutive parts of its log. Each part is an NDJSON file, a
Parquet file and the checkpoint that signs it; the public keys are beside them. A later run adds
the next part.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from app.audit import exporting, verify
from app.audit.bounds import BeyondLog
from app.audit.checkpoints import public_keys
from app.audit.exporting import ExportRequest
from app.storage import private_files
from events.merkle import leaf_hash
from projections.exports.formats import find_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    import sqlalchemy as sa

    from app.audit.exporting import Export
    from app.audit.signing import Signer

_PART = re.compile(r"events-\d{12}-(\d{12})\.ndjson")


class ArchiveBroken(Exception):
    """The archive holds something other than the log does."""


def write(
    engine: sa.Engine,
    signer: Signer,
    organization_id: int,
    before: datetime,
    folder: Path,
    progress: Callable[[int], None],
) -> Export:
    """Add the events before a moment that are not in the archive yet; the export that they are.

    Raises ``ArchiveBroken``. The new part then keeps its name that ends in ``.part``.
    """
    folder = folder_of(folder, organization_id)
    private_files.make_folder(folder)
    parts = sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name))
    plan, keys = _plan(engine, signer, organization_id, _end_of(parts), before, folder)
    if plan.until == plan.after:
        return plan
    for unfinished in folder.glob(f"events-{plan.after + 1:012}-*"):  # of an interrupted run
        unfinished.unlink()
    name = f"events-{plan.after + 1:012}-{plan.until:012}"
    lines = folder / f"{name}.ndjson.part"
    table = folder / f"{name}.parquet.part"
    _fill(engine, plan, lines, progress)
    parquet = msgspec.structs.replace(plan, format=find_format("parquet"))
    _fill(engine, parquet, table, lambda _: None)
    _prove(folder, [*parts, lines], keys)
    private_files.write(folder / "key.json", keys)
    private_files.write(folder / f"{name}.checkpoint", plan.checkpoint.encode())
    for part in (table, lines):  # the lines last: with them the part is complete
        part.rename(part.with_suffix(""))
    return plan


def folder_of(folder: Path, organization_id: int) -> Path:
    """The folder of an organization's parts."""
    return folder / f"organization-{organization_id}"


def _end_of(parts: list[Path]) -> int:
    """The last sequence that the parts hold."""
    match = _PART.fullmatch(parts[-1].name) if parts else None
    return int(match[1]) if match else 0


def _plan(
    engine: sa.Engine,
    signer: Signer,
    organization_id: int,
    after: int,
    before: datetime,
    folder: Path,
) -> tuple[Export, bytes]:
    """The next part, and the public keys that prove it, as JSON."""
    request = ExportRequest(after=after, before=before)
    with engine.connect() as connection:
        try:
            plan = exporting.plan_export(
                connection, signer, organization_id, find_format("ndjson"), request
            )
        except BeyondLog as error:
            detail = f"it holds {after} events, the log {error.most}"
            raise ArchiveBroken(f"{folder}: {detail}") from error
        keys = public_keys(connection, signer, organization_id)
    return plan, msgspec.json.encode(keys)


def _fill(engine: sa.Engine, plan: Export, path: Path, progress: Callable[[int], None]) -> None:
    with private_files.open_for_writing(path) as file:
        for chunk in exporting.chunks(engine.connect, plan, progress):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


# -- prove what was written, as it is on the disk


def _prove(folder: Path, parts: list[Path], keys: bytes) -> None:
    """Prove that the lines are the whole tree, and that each table has the rows of its lines.

    Raises ``ArchiveBroken``.
    """
    try:
        verify.verify(verify.read_lines(parts), verify.read_keys(keys))
    except verify.Failed as failed:
        raise ArchiveBroken(f"{folder}: {failed}") from failed
    for lines in parts:
        table = lines.with_name(lines.name.replace(".ndjson", ".parquet"))
        if (sequence := _difference(lines, table)) is not None:
            raise ArchiveBroken(f"{table}: not what was exported, from sequence {sequence}")


class _Line(Struct):
    leaf_index: int
    leaf_hash: str


_lines = msgspec.json.Decoder(_Line)


def _difference(lines: Path, table: Path) -> int | None:
    """The first sequence at which a table differs from its lines; None if they are equal."""
    rows, sequence = _rows(table), 0
    with lines.open("rb") as file:
        for line in file:
            if line.startswith(b'{"last_sequence":'):
                continue
            parsed = _lines.decode(line)
            sequence = parsed.leaf_index + 1
            if next(rows, None) != (sequence, parsed.leaf_hash, parsed.leaf_hash):
                return sequence
    return None if next(rows, None) is None else sequence + 1


def _rows(table: Path) -> Iterator[tuple[int, str, str]]:
    """Each row's sequence, the hash of its body, and the hash that the row holds."""
    import pyarrow as pa  # noqa: PLC0415  # an extra
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(table) as file:
            for batch in file.iter_batches(1000, columns=["sequence", "body", "leaf_hash"]):
                columns = (column.to_pylist() for column in batch.columns)
                for sequence, body, leaf in zip(*columns, strict=True):
                    yield sequence, leaf_hash(body.encode()).hex(), leaf.hex()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArchiveBroken(f"{table}: {error}") from error
