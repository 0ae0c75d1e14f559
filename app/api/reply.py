"""A response whose bytes are made already, sent without the framework's rendering."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from litestar import Response
from litestar.response.streaming import ASGIStreamingResponse

from app.api.media_types import JSON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractContextManager

    from litestar.response.base import ASGIResponse
    from litestar.types import Receive, Scope, Send

    from app.transactions.answers import Source

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Reply(Response[bytes]):
    """Bytes of JSON with headers, or no body with the status 204 or 304.

    ``source`` gives what a body that shows settings can be made from again.
    """

    def __init__(
        self, content: bytes, *, source: Callable[[], Source | None] | None = None, **options: Any
    ) -> None:
        super().__init__(content, **options)
        self.source = source

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """What sends it; no route declares headers, cookies or encoders that would be added."""
        return cast("ASGIResponse", self._send)

    async def _send(self, _: Scope, __: Receive, send: Send) -> None:
        fields = [(k.lower().encode(), v.encode("latin-1")) for k, v in self.headers.items()]
        if self.status_code not in _WITHOUT_BODY:
            fields.append((b"content-type", str(self.media_type or JSON).encode()))
            fields.append((b"content-length", b"%d" % len(self.content)))
        start: Any = {"type": "http.response.start", "status": self.status_code, "headers": fields}
        await send(start)
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


class StreamReply(Response[bytes]):
    """JSON that is made while it is sent.

    A stream that fails ends without its last chunk, so that clients see that it is incomplete. It
    is sent within a context: a generator would learn late that its client left.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        headers: Mapping[str, str],
        context: AbstractContextManager[None],
    ) -> None:
        super().__init__(b"", media_type=JSON, headers=headers)
        self._chunks = chunks
        self._context = context

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """What sends it."""
        stream = _Stream(
            iterator=self._chunks, media_type=JSON, headers=dict(self.headers), status_code=200
        )
        stream.context = self._context
        return stream


class _Stream(ASGIStreamingResponse):
    context: AbstractContextManager[None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.context:
            await super().__call__(scope, receive, send)
