"""CSV: a row for each changed field, for spreadsheets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from projections.event_types import event_type
from projections.exports.format import Coverage, Format, LineEncoder
from projections.exports.outline import Sides, outline
from projections.exports.resuming import NotThisFormat, Resumption
from projections.spreadsheets import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from events.log_search import Stored
    from projections.spreadsheets import Cell

COLUMNS = (
    "sequence",
    "time",
    "assistant",
    "version",
    "actor",
    "reason",
    "path",
    "before",
    "after",
    "event",
    "api_key",
)
_NO_SIDES = Sides()
_DIGITS = 18  # no sequence has more


def csv_format(table: Table) -> Format:
    """CSV, written as ``table`` says."""
    return Format(
        name="csv",
        media_type="text/csv",
        extension="csv",
        encoder=partial(_encoder, table),
        starts=(table.header(COLUMNS),),
        resume=_resume,
    )


def _encoder(table: Table, coverage: Coverage) -> LineEncoder:
    def encode_page(page: Sequence[Stored]) -> bytes:
        return table.rows(row for stored in page for row in _rows(stored))

    return LineEncoder(encode_page, header=b"" if coverage.continues else table.header(COLUMNS))


def _rows(stored: Stored) -> Iterator[Sequence[Cell]]:
    """One row for each path; an event that touched no path is one row."""
    event = outline(stored)
    first = (
        stored.sequence,
        event.time,
        event.assistant_id,
        event.version,
        event.actor.name,
        event.reason,
    )
    last = event_type(stored.type), event.key_id
    for path in event.touched or [""]:
        sides = event.changes.get(path, _NO_SIDES)
        yield (*first, path, bytes(sides.before).decode(), bytes(sides.after).decode(), *last)


# -- resuming


def _resume(lines: Iterable[bytes]) -> Resumption:
    """Go on before the first row of the last event."""
    resumption = Resumption()
    for start, row in _whole_rows(lines):
        if start > 0:  # the header is at 0
            resumption = _after_row(resumption, start, row)
    # Without a whole event, the file is written from its beginning, header included.
    return resumption if resumption.after else msgspec.structs.replace(resumption, size=0)


def _after_row(resumption: Resumption, start: int, row: bytes) -> Resumption:
    """The resumption of a file up to a row, from that of the rows before it."""
    digits = row.partition(b",")[0]
    if not digits.isdigit() or len(digits) > _DIGITS or int(digits) <= resumption.after:
        raise NotThisFormat(start)
    if resumption.last and int(digits) == resumption.after + 1:
        return msgspec.structs.replace(resumption, last=resumption.last + row)
    return Resumption(size=start, after=int(digits) - 1, last=row)


def _whole_rows(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The whole rows of a table, each with the byte at which it starts.

    A row can span lines: it ends with the line in which every quote is closed.
    """
    start, position, quotes = 0, 0, 0
    row: list[bytes] = []
    for line in lines:
        row.append(line)
        position += len(line)
        quotes += line.count(b'"')
        if line.endswith(b"\r\n") and quotes % 2 == 0:
            yield start, b"".join(row)
            start, row = position, []
