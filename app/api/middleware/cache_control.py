"""Who may keep an answer (RFC 9111): ``Cache-Control`` and ``Vary`` of every answer, in one place.

An answer is its caller's own, and a cache asks the server before it uses it again. Only an answer
that is equal for every caller declares itself ``public``. An answer with a revealed value, a new
key or a session declares ``no-store``.

An answer varies by what identifies its caller, and by each header that ``app.api.vary`` noted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType

from app.api import vary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    Header = tuple[bytes, bytes]

# What identifies a caller: the API reads the first, the console the second.
_CALLER = ("Authorization", "Cookie")
_PUBLIC = "public"  # the one directive that a caller's own answer never has


class CacheControl:
    """Puts ``Cache-Control`` and ``Vary`` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything that is not HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        async def send_controlled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = controlled(scope, message["headers"])
            await send(message)

        await self._app(scope, receive, send_controlled)


def controlled(scope: Any, headers: Iterable[Header]) -> list[Header]:
    """The headers of an answer, with the declared ``Cache-Control`` and ``Vary`` made safe."""
    kept: list[Header] = []
    declared, varies, sets_cookie = b"", b"", False
    for header in headers:
        name, value = header
        if name == b"cache-control":
            declared = declared + b"," + value
        elif name == b"vary":
            varies = varies + b"," + value
        else:
            sets_cookie = sets_cookie or name == b"set-cookie"
            kept.append(header)
    is_public = _is_public(declared) and not sets_cookie and scope.get("principal") is None
    control = b"no-store" if sets_cookie else _control(declared, is_public)
    kept.append((b"cache-control", control))
    if names := _vary(varies, vary.noted(scope), is_public):
        kept.append((b"vary", names))
    return kept


@lru_cache(64)
def _directives(value: bytes) -> list[str]:
    parts = [part.strip() for part in value.decode("latin-1").split(",")]
    return [part for part in parts if part]


def _is_public(declared: bytes) -> bool:
    return declared != b"" and _PUBLIC in map(str.lower, _directives(declared))


@lru_cache(64)
def _control(declared: bytes, is_public: bool) -> bytes:  # noqa: FBT001  # a key of the cache
    kept = [name for name in _directives(declared) if is_public or name.lower() != _PUBLIC]
    names = {name.lower() for name in kept}
    if is_public or "no-store" in names:
        return ", ".join(kept).encode("latin-1")
    own = [] if "private" in names else ["private"]
    return ", ".join([*own, *(kept or ["no-cache"])]).encode("latin-1")


@lru_cache(256)
def _vary(declared: bytes, noted: tuple[str, ...], is_public: bool) -> bytes:  # noqa: FBT001  # as above
    names = {name.lower(): name for name in (() if is_public else _CALLER)}
    for name in (*_directives(declared), *noted):
        names.setdefault(name.lower(), name)
    return ", ".join(names.values()).encode("latin-1")
