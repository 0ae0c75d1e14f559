"""NDJSON: each event as it was hashed, for ``backstory audit verify``; closed by a checkpoint."""

from __future__ import annotations

from binascii import hexlify
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from events.merkle import HASH_BYTES
from projections.exports.closing_line import ClosingLine
from projections.exports.format import Coverage, Format, LineEncoder
from projections.exports.resuming import NotThisFormat, Resumption, before_line, last_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from events.log_search import Stored

_EVENT, _CLOSING = b'{"leaf_index":', b'{"last_sequence":'


class _Leaf(Struct):
    leaf_index: int


_leaves = msgspec.json.Decoder(_Leaf)
_closing_lines = msgspec.json.Decoder(ClosingLine)


def _encoder(coverage: Coverage) -> LineEncoder:
    closing = ClosingLine(
        last_sequence=coverage.last_sequence,
        filter=coverage.filter,
        checkpoint=coverage.checkpoint,
    )
    return LineEncoder(_encode_page, footer=closing.encode())


def _encode_page(page: Sequence[Stored]) -> bytes:
    # A million events pass here: one format string for each, and no event is decoded.
    return b"".join(
        [
            b'{"leaf_index":%d,"leaf_hash":"%b","event":%b}\n'
            % (sequence - 1, hexlify(hashes[:HASH_BYTES]), body)
            for sequence, body, hashes in page
        ]
    )


def _resume(lines: Iterable[bytes]) -> Resumption:
    """Go on before the last whole line, or after it where it closes an export."""
    start, line = last_line(lines)
    if line.startswith(_CLOSING):
        return _after_closing(start, line)
    return before_line(start, line, _sequence_of) if line else Resumption()


def _after_closing(start: int, line: bytes) -> Resumption:
    try:
        closing = _closing_lines.decode(line)
    except ValueError:
        raise NotThisFormat(start) from None
    if closing.last_sequence < 0:
        raise NotThisFormat(start)
    return Resumption(size=start + len(line), after=closing.last_sequence, closing=closing)


def _sequence_of(line: bytes) -> int:
    return _leaves.decode(line).leaf_index + 1


NDJSON = Format(
    name="ndjson",
    media_type="application/x-ndjson",
    extension="ndjson",
    encoder=_encoder,
    starts=(_EVENT, _CLOSING),
    resume=_resume,
)
