"""Pages: their cursors, opaque to clients, and the link from one to the next."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from litestar import Response

from app.api.media_types import JSON
from app.api.parameter_values import invalid_query
from app.api.routing import path_of

if TYPE_CHECKING:
    from litestar import Request

    from app.pages import Page

_LARGEST = 2**53
LINK = {"Link": 'The next page, while there is one: `<...>; rel="next"`.'}


def respond_with(
    request: Request[Any, Any, Any], page: Page, body: bytes | None = None, **changed: str
) -> Response[bytes]:
    """A page as a JSON array, or in a body, with a link to the next one while there is one.

    ``changed`` are other parameters of the next page.
    """
    headers = None if page.end is None else {"link": next_link(request, page.end, **changed)}
    content = page.body if body is None else body
    return Response(content, media_type=JSON, headers=headers)


def next_link(request: Request[Any, Any, Any], position: int, **changed: str) -> str:
    """The value of a ``Link`` header: the same request, from after a position on.

    ``changed`` are other parameters of the next page.
    """
    return link_to(request, cursor=_write_cursor(position), **changed)


def link_to(request: Request[Any, Any, Any], **changed: str) -> str:
    """The value of a ``Link`` header: the same request with other parameters."""
    left_out = {"cursor", "offset", *changed}  # a cursor replaces an offset
    query = [item for item in request.query_params.items() if item[0] not in left_out]
    text = urlencode([*query, *changed.items()])
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
