"""A plain GET of one assistant, answered before the routes.

A voice call waits on it, and routing takes most of the time. A request with a query, a body, other
conditions or an odd host, or for an assistant that cannot be read, goes on to the routes, which
answer the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType

from app.api.conditional import etag, is_held
from app.api.routing import ASSISTANTS
from events.assistant_key import AssistantKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.principals import Principal
    from app.assistants.view_cache import View, ViewCache

    Headers = tuple[tuple[bytes, bytes], ...]

_PREFIX = f"{ASSISTANTS}/"
_TEMPLATE = f"{_PREFIX}{{assistant_id}}"  # of the route that answers the same
_LONGEST_ID = 9  # digits: a longer id may be beyond 32 bits
_ONE_TAG = re.compile(rb'"[0-9a-f-]+"')
_VARY = (b"vary", b"Accept-Datetime")
_JSON = (b"content-type", b"application/json")
_NOT_PLAIN = frozenset((b"accept-datetime", b"content-length", b"if-match"))
_HOST = re.compile(rb"[A-Za-z0-9.:-]*")  # the router refuses some of the others


class FastPath:
    """Answers plain reads; every other request passes through."""

    def __init__(self, app: ASGIApp, views: Callable[[], ViewCache]) -> None:
        self._app = app
        self._views = views  # made when the application starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = await self._answer(scope) if scope["type"] == ScopeType.HTTP else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        status, headers, body = answer
        scope["path_template"] = _TEMPLATE
        start: Any = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, scope: Any) -> tuple[int, Headers, bytes] | None:
        principal: Principal | None = scope["principal"]
        assistant_id = plainly_read(scope)
        if principal is None or assistant_id is None:
            return None
        if_none_match = b""
        for name, value in scope["headers"]:
            if name in _NOT_PLAIN or (name == b"host" and not _HOST.fullmatch(value)):
                return None
            if name == b"if-none-match":
                if if_none_match or not _ONE_TAG.fullmatch(value):
                    return None
                if_none_match = value
        key = AssistantKey(principal.organization_id, assistant_id)
        try:
            view = await self._views().view(key, scope["seen"])
        except Exception:  # noqa: BLE001  # the routes meet it again, and answer it
            return None
        return self._shown(view, if_none_match)

    def _shown(self, view: View, if_none_match: bytes) -> tuple[int, Headers, bytes]:
        tag, unchanged, whole = _headers(view.tag, len(view.body))
        age = self._views().age(view)
        of_age = () if age is None else ((b"age", b"%d" % age),)
        if is_held(if_none_match, tag):
            return 304, unchanged + of_age, b""
        return 200, whole + of_age, view.body


def plainly_read(scope: Any) -> int | None:
    """The assistant that a GET with nothing but a path reads; None for any other request."""
    path: str = scope["path"]
    if not path.startswith(_PREFIX) or scope["method"] != "GET" or scope["query_string"]:
        return None
    number = path[len(_PREFIX) :]
    return int(number) if _is_plain_id(number) else None


@lru_cache(4096)  # a voice call waits for each microsecond
def _headers(tag: str, length: int) -> tuple[bytes, Headers, Headers]:
    """The entity tag, and the headers of a 304 and of a 200."""
    sent = etag(tag).encode()
    unchanged = ((b"etag", sent), _VARY)
    return sent, unchanged, (*unchanged, _JSON, (b"content-length", b"%d" % length))


def _is_plain_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID and text[0] != "0"
