"""Limits of a request's head, and of what surrounds the data of a body in chunks.

The parser hands over whole header fields and drops chunk extensions, so that what it collects
meanwhile cannot be seen. Therefore the bytes that are fed to it are counted, too, slice by slice.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from msgspec import Struct

from app.cli.protocol.refusals import Part, Refusal, Refused, RefusingProtocol

_PUNCTUATION = 4  # bytes of a header field beside its name and its value
_CHUNK = 16  # bytes around a chunk's data that are not counted


class Limits(Struct, frozen=True, kw_only=True):
    """Limits of each connection, and of the number of connections."""

    url: int = 16 * 1024  # bytes
    header_size: int = 64 * 1024  # bytes
    headers: int = 100
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    send_seconds: float = 30.0
    speed: int = 1024  # bytes a second
    connections: int = 1000
    body_memory: int = 64 * 1024 * 1024  # bytes of all bodies, beyond 64 KiB of each
    drain_seconds: float = 8.0  # after a signal to stop


class LimitedProtocol(RefusingProtocol):
    """HTTP/1.1 with limits on the size of a head, of chunk extensions and of trailers."""

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = limits
        self._size = 0  # bytes of the head, or around the data of the body; at most a slice more
        self._first = 0  # bytes of the slice in which the head began
        self._counted: Any = None  # the scope of the request whose bytes these are

    def feed(self, piece: bytes | memoryview) -> None:
        """Parse one slice, and refuse the request once it is over a limit."""
        if self._is_refused:
            return
        if self._whole is self.scope:
            self._size, self._counted = 0, None
        self._size += len(piece)
        self.parse(piece)
        if self._whole is not self.scope:
            self._check_size(len(piece))

    def on_headers_complete(self) -> None:
        """Begin a response, unless the head is over a limit."""
        if (excess := self._excess_of_head()) is not None:
            raise Refused(excess)
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is self.scope:
            self._size = 0
            self.headers = []  # of the trailers, which the application must not take for headers

    def on_body(self, body: bytes) -> None:
        """Do not count data: routes have their own limit."""
        self._size -= len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Do not count what a chunk needs."""
        self._size -= _CHUNK

    def _check_size(self, piece: int) -> None:
        is_head = self.part is Part.HEAD
        if self._counted is not self.scope:
            self._counted, self._first = self.scope, piece
            self._size = piece if is_head else 0
        self._size = max(self._size, 0)
        excess = self._excess_of_head() if is_head else self._excess_of_chunks()
        if excess is not None:
            self.refuse(excess)

    def _excess_of_head(self) -> Refusal | None:
        limits = self.limits
        if len(self.url) > limits.url:
            return _url_too_long(limits.url)
        if len(self.headers) > limits.headers:
            return _too_many_headers(limits.headers)
        if self._size > limits.header_size and self._least_size() > limits.header_size:
            return _headers_too_large(limits.header_size)
        return None

    def _least_size(self) -> int:
        """The bytes that are of this head in any case."""
        fields = sum(len(name) + len(value) + _PUNCTUATION for name, value in self.headers)
        size = len(self.url) + fields
        return size if self._counted is not self.scope else max(size, self._size - self._first)

    def _excess_of_chunks(self) -> Refusal | None:
        limits = self.limits
        if len(self.headers) > limits.headers:
            return _too_many_headers(limits.headers)
        if self._size > limits.header_size:
            return _headers_too_large(limits.header_size)
        return None


def _url_too_long(most: int) -> Refusal:
    return Refusal(
        status=HTTPStatus.REQUEST_URI_TOO_LONG,
        code="url-too-long",
        detail=f"The path and query of a request have at most {most} bytes",
    )


def _too_many_headers(most: int) -> Refusal:
    return Refusal(
        status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        code="too-many-headers",
        detail=f"A request has at most {most} header fields, and as many trailer fields",
    )


def _headers_too_large(most: int) -> Refusal:
    return Refusal(
        status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        code="headers-too-large",
        detail=(
            f"The request line and the header fields have at most {most} bytes together;"
            " so have chunk extensions and trailer fields"
        ),
    )
