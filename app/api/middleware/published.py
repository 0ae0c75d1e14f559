"""Answers that are equal for every caller: made once, then served like files."""

from __future__ import annotations

import gzip
import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from litestar.enums import HttpMethod
from litestar.middleware import ASGIMiddleware
from msgspec import Struct

from app.api import access
from app.api.conditional import is_held

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

Headers = tuple[tuple[bytes, bytes], ...]


class _Form(Struct, frozen=True, kw_only=True):
    """One encoding of an answer."""

    tag: bytes
    headers: Headers
    body: bytes


class _Answer(Struct, frozen=True, kw_only=True):
    """An answer as it is, and compressed."""

    plain: _Form
    compressed: _Form


class Published(ASGIMiddleware):
    """Answers ``GET`` of a path with what the routes answered the first time."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request."""
        if scope["method"] != HttpMethod.GET:  # type: ignore[typeddict-item]  # HTTP
            await next_app(scope, receive, send)
            return
        access.check_headers(scope)
        answer = self._answers.get(scope["path"])
        if answer is None:
            messages = await _collect(next_app, scope, receive)
            if messages[0]["status"] != HTTPStatus.OK:  # not kept: there are endless wrong paths
                for message in messages:
                    await send(message)
                return
            answer = self._answers[scope["path"]] = _keep(messages)
        await _send(answer, scope, send)


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> list[Any]:
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, collect)
    return messages


def _keep(messages: list[Any]) -> _Answer:
    started, *rest = messages
    body = b"".join(message.get("body", b"") for message in rest)
    dropped = (b"content-length", b"etag", b"vary")
    headers = tuple(h for h in started["headers"] if h[0].lower() not in dropped)
    digest = hashlib.sha256(body).hexdigest()[:32].encode()
    return _Answer(
        plain=_form(b'"%b"' % digest, headers, body),
        compressed=_form(
            b'"%b-gzip"' % digest,
            (*headers, (b"content-encoding", b"gzip")),
            gzip.compress(body, mtime=0),
        ),
    )


def _form(tag: bytes, headers: Headers, body: bytes) -> _Form:
    more = (
        (b"etag", tag),
        (b"vary", b"Accept-Encoding"),
        (b"content-length", b"%d" % len(body)),
    )
    return _Form(tag=tag, headers=headers + more, body=body)


async def _send(answer: _Answer, scope: Scope, send: Send) -> None:
    sent = dict(scope["headers"])
    takes_gzip = b"gzip" in sent.get(b"accept-encoding", b"").replace(b" ", b"").split(b",")
    form = answer.compressed if takes_gzip else answer.plain
    status, headers, body = HTTPStatus.OK, form.headers, form.body
    if is_held(sent.get(b"if-none-match", b""), form.tag):
        headers = tuple(h for h in headers if h[0] in (b"etag", b"vary"))
        status, body = HTTPStatus.NOT_MODIFIED, b""
    start: Any = {"type": "http.response.start", "status": int(status), "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
