"""JSON: one document, with an event on each line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.exports.format import Coverage, Format
from projections.exports.outline import upcast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from events.log_search import Stored

_HEAD = b'{"events":[\n'


class _Encoder:
    def __init__(self, coverage: Coverage) -> None:
        self._last_sequence = coverage.last_sequence
        self._separator = b""

    def head(self) -> bytes:
        return _HEAD

    def encode(self, page: Sequence[Stored], /) -> bytes:
        if not page:
            return b""
        separator, self._separator = self._separator, b",\n"
        return separator + b",\n".join([upcast(stored).body for stored in page])

    def tail(self) -> bytes:
        return b'\n],\n"last_sequence":%d}\n' % self._last_sequence


JSON = Format(
    name="json",
    media_type="application/json",
    extension="json",
    encoder=_Encoder,
    starts=(_HEAD,),
)
