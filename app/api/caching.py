"""Who may keep an answer (RFC 9111), said of every answer in this one place.

An answer is its caller's own, and is checked with the server before it is used again. Only what
is equal for everybody says otherwise for itself, with ``public``. What holds a value that was
revealed, a new key or a session says ``no-store``.

An answer varies by what identifies its caller, and by each header that chose between answers
while it was made: who reads such a header reads it with ``chosen_by``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar import Request
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    Header = tuple[bytes, bytes]

# What identifies a caller: the API reads the first, the console the second.
_CALLER = ("Authorization", "Cookie")
_PUBLIC = "public"  # the one directive that a caller's own answer never has
_CHOSEN_BY = "chosen_by"  # in a request's scope: the headers that its answer depends on


def chosen_by(request: Request[Any, Any, Any], name: str) -> list[str]:
    """The lines of a request's header that answers to one address differ by."""
    note_choice(request.scope, name)
    lines: list[str] = request.headers.getall(name.lower(), [])
    return lines


def note_choice(scope: Any, name: str) -> None:
    """Say that the answer depends on a header which something else reads."""
    scope.setdefault(_CHOSEN_BY, {})[name] = None


class CacheControl:
    """Puts ``Cache-Control`` and ``Vary`` on every answer, whatever made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything that is not HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        async def send_controlled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _controlled(scope, message["headers"])
            await send(message)

        await self._app(scope, receive, send_controlled)


def _controlled(scope: Any, headers: Iterable[Header]) -> list[Header]:
    """The headers, with what their maker says of caches held to the rule."""
    made: list[Header] = []
    said, varies, sets_cookie = b"", b"", False
    for header in headers:
        name, value = header
        if name == b"cache-control":
            said = said + b"," + value
        elif name == b"vary":
            varies = varies + b"," + value
        else:
            sets_cookie = sets_cookie or name == b"set-cookie"
            made.append(header)
    is_public = _is_public(said) and not sets_cookie and scope.get("principal") is None
    made.append((b"cache-control", b"no-store" if sets_cookie else _control(said, is_public)))
    if names := _vary(varies, tuple(scope.get(_CHOSEN_BY, ())), is_public):
        made.append((b"vary", names))
    return made


@lru_cache(64)
def _directives(said: bytes) -> list[str]:
    listed = [one.strip() for one in said.decode("latin-1").split(",")]
    return [one for one in listed if one]


def _is_public(said: bytes) -> bool:
    return said != b"" and _PUBLIC in map(str.lower, _directives(said))


@lru_cache(64)
def _control(said: bytes, is_public: bool) -> bytes:  # noqa: FBT001  # a key of the cache
    kept = [one for one in _directives(said) if is_public or one.lower() != _PUBLIC]
    names = {one.lower() for one in kept}
    if is_public or "no-store" in names:
        return ", ".join(kept).encode("latin-1")
    own = [] if "private" in names else ["private"]
    return ", ".join([*own, *(kept or ["no-cache"])]).encode("latin-1")


@lru_cache(256)
def _vary(said: bytes, chosen: tuple[str, ...], is_public: bool) -> bytes:  # noqa: FBT001  # as above
    names = {name.lower(): name for name in (() if is_public else _CALLER)}
    for name in (*_directives(said), *chosen):
        names.setdefault(name.lower(), name)
    return ", ".join(names.values()).encode("latin-1")
