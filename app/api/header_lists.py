"""JSON Pointers as the value of a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


_MAX_HEADER = 4000


def header_list(pointers: Iterable[str]) -> str:
    """JSON Pointers as one header value: percent-encoded as RFC 6901 does in a URI."""
    listed: list[str] = []
    room = _MAX_HEADER
    for pointer in pointers:
        if len(pointer) <= room and len(quoted := _quote(pointer)) <= room:
            listed.append(quoted)
            room -= len(quoted) + 2
    return ", ".join(listed)


def _quote(pointer: str) -> str:
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "/_-.~") else _percent(c) for c in pointer
    )


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
