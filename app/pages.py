"""Pages of encoded rows: they end by number, and by bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BYTES = 4 * 1024 * 1024
_encoder = msgspec.json.Encoder()


class Page(Struct, frozen=True):
    """The encoded rows of a page, and the position of the last one if others follow it."""

    rows: list[bytes]
    end: int | None = None

    @property
    def body(self) -> bytes:
        """The rows as a JSON array."""
        return b"[" + b",".join(self.rows) + b"]"


def page_of(rows: Iterable[tuple[int, Any]], limit: int, *, ends_by_bytes: bool = True) -> Page:
    """The first rows, each given with its position: at most ``limit``.

    They take at most ``MOST_BYTES``, except that a page has one row, whatever its size. A row is
    encoded before the next one is made, so that memory holds the bytes of a page and one row.
    """
    page: list[bytes] = []
    size = end = 0
    for position, row in rows:
        if len(page) == limit:
            return Page(page, end)
        encoded = _encoder.encode(row)
        size += len(encoded)
        if page and ends_by_bytes and size > MOST_BYTES:
            return Page(page, end)
        page.append(encoded)
        end = position
    return Page(page)
