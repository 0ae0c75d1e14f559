"""Where a file that holds a cut export goes on: everything up to there is whole.

Only formats whose events stand in lines can go on; JSON and Parquet are one document each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from projections.exports import Format

_DIGITS = 18  # no sequence has more


class NotAnExport(Exception):
    """A file holds something that this format, or this export of it, does not write."""

    def __init__(self, path: Path, position: int) -> None:
        super().__init__(f"{path} holds no such export: see its byte {position}")


class Closing(Struct, frozen=True):
    """The line that ends an NDJSON export."""

    last_sequence: int
    checkpoint: str
    filter: dict[str, str | int] = field(default_factory=dict)

    def is_of(self, checkpoint: str, wanted: Mapping[str, str | int]) -> bool:
        """Whether it says the same as a checkpoint, whichever key signed it, and a filter."""
        return self.filter == wanted and _signed(self.checkpoint) == _signed(checkpoint)


def _signed(note: str) -> str:
    return note.partition("\n\n")[0]


class Resumption(Struct, frozen=True, kw_only=True):
    """How many bytes of a file are whole, and the last sequence that they hold.

    ``last`` are the lines of one more event, as far as they are there: it may have had more. A
    file that ends with a ``closing`` line is whole.
    """

    size: int = 0
    after: int = 0
    last: bytes = b""
    closing: Closing | None = None

    @property
    def reached(self) -> int:
        """The last sequence that the file holds something of."""
        return self.after + bool(self.last)


def find(path: Path, form: Format) -> Resumption:
    """Where to go on; at the beginning for a format that can't. Raises ``NotAnExport``."""
    if not path.exists():
        return Resumption()
    # A table's own beginning says whether it has a byte order mark.
    _check_start(path, _STARTS.get(form.name) or (form.encoder("").head(),))
    if form.name == "csv":
        return _in_rows(path)
    sequence_of = _SEQUENCES.get(form.name)
    return Resumption() if sequence_of is None else _in_lines(path, sequence_of)


_STARTS: dict[str, tuple[bytes, ...]] = {
    "ndjson": (b'{"leaf_index":', b'{"last_sequence":'),
    "cloudevents": (b'[{"specversion":"1.0","id":"',),
    "ocsf": (b'{"category_uid":',),
    "parquet": (b"PAR1",),
}


def _check_start(path: Path, starts: tuple[bytes, ...]) -> None:
    """A file that was cut in its first line holds the beginning of one."""
    with path.open("rb") as file:
        text = file.read(max(map(len, starts)))
    if not any(start.startswith(text[: len(start)]) for start in starts):
        raise NotAnExport(path, 0)


# -- formats with a line for each event


def _in_lines(path: Path, sequence_of: Callable[[bytes], int]) -> Resumption:
    """Before the last whole line; after it where it closes an export."""
    size, last = 0, b""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                size, last = size + len(line), line
    if not last:
        return Resumption()
    start = size - len(last)
    try:
        if last.startswith(b'{"last_sequence":') and sequence_of is _leaf:
            closing = _closings.decode(last)
            found = Resumption(size=size, after=closing.last_sequence, closing=closing)
        else:
            found = Resumption(size=start, after=sequence_of(last) - 1, last=last)
    except (ValueError, IndexError):
        raise NotAnExport(path, start) from None
    if found.after < 0:
        raise NotAnExport(path, start)
    return found


class _Leaf(Struct):
    leaf_index: int


class _CloudEvent(Struct):
    sequence: str


class _Metadata(Struct):
    sequence: int


class _Record(Struct):
    metadata: _Metadata


_closings = msgspec.json.Decoder(Closing)
_leaves = msgspec.json.Decoder(_Leaf)
_batches = msgspec.json.Decoder(list[_CloudEvent])
_records = msgspec.json.Decoder(_Record)


def _leaf(line: bytes) -> int:
    return _leaves.decode(line).leaf_index + 1


_SEQUENCES: dict[str, Callable[[bytes], int]] = {
    "ndjson": _leaf,
    "cloudevents": lambda line: int(_batches.decode(line)[0].sequence),
    "ocsf": lambda line: _records.decode(line).metadata.sequence,
}


# -- CSV


def _in_rows(path: Path) -> Resumption:
    """Before the first row of the last event."""
    found = Resumption()
    for position, row in _rows(path):
        if position == 0:  # the header
            continue
        digits = row.partition(b",")[0]
        if not digits.isdigit() or len(digits) > _DIGITS or int(digits) <= found.after:
            raise NotAnExport(path, position)
        if found.last and int(digits) == found.after + 1:
            found = msgspec.structs.replace(found, last=found.last + row)
        else:
            found = Resumption(size=position, after=int(digits) - 1, last=row)
    # Whoever goes on after nothing writes the header, too.
    return found if found.after else msgspec.structs.replace(found, size=0)


def _rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """The whole rows of a table, each with the byte where it starts.

    A row can span lines, and so ends with the line where each quote has found its other.
    """
    start, position, quotes = 0, 0, 0
    row: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            row.append(line)
            position += len(line)
            quotes += line.count(b'"')
            if line.endswith(b"\r\n") and quotes % 2 == 0:
                yield start, b"".join(row)
                start, row = position, []
