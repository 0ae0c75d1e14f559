"""Cursors: the end of a page, opaque to clients, and the link to the next page."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from app.api.parameter_values import invalid_query
from app.api.routing import path_of

if TYPE_CHECKING:
    from litestar import Request

_LARGEST = 2**53


def next_link(request: Request[Any, Any, Any], position: int) -> str:
    """The value of a ``Link`` header: the same request, from after a position on."""
    left_out = ("cursor", "offset")  # the cursor replaces both
    query = [item for item in request.query_params.items() if item[0] not in left_out]
    text = urlencode([*query, ("cursor", _write_cursor(position))])
    return f'<{path_of(request)}?{text}>; rel="next"'


def _write_cursor(position: int) -> str:
    return base64.urlsafe_b64encode(b"v%d" % position).rstrip(b"=").decode()


def read_cursor(cursor: str | None) -> int | None:
    """The position that a cursor holds; raises ``InvalidSettings``."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        position = int(text.removeprefix(b"v")) if text.startswith(b"v") else 0
    except (binascii.Error, ValueError):
        position = 0
    if not 0 < position < _LARGEST:
        raise invalid_query("cursor", "Input should be a cursor that this endpoint gave")
    return position
