"""Requests to change the protocol (``Upgrade``), which a server may ignore (RFC 9110, 7.8).

llhttp treats what follows the head of such a request as the other protocol. uvicorn goes on with
the same parser, and takes the body for the next request. Here the head is parsed again without the
``Upgrade`` field, and the request is handled like any other.
"""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class NotTaken(Exception):
    """A request for a tunnel (``CONNECT``): what follows its head is not HTTP."""


class SameProtocol(HttpToolsProtocol):
    """HTTP/1.1 that never changes to another protocol."""

    def on_headers_complete(self) -> None:
        """Begin a response, unless the head will be parsed again."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise NotTaken

    def on_message_complete(self) -> None:
        """Note the end of a body; the body of an ``Upgrade`` request is not parsed yet."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes | memoryview) -> None:
        """Parse what has arrived."""
        self.parse(data)

    def parse(self, data: bytes | memoryview) -> None:
        """Parse requests, as uvicorn does."""
        self._unset_keepalive_if_required()
        rest: memoryview | None = memoryview(data)
        try:
            while rest is not None:
                rest = self._read(rest)
        except httptools.HttpParserError as error:
            self.on_parser_error(error)

    def on_parser_error(self, _: httptools.HttpParserError) -> None:
        """Answer what is not HTTP, as uvicorn does."""
        message = "Invalid HTTP request received."
        self.logger.warning(message)
        self.send_400_response(message)

    def _read(self, data: memoryview) -> memoryview | None:
        """Parse up to and including the head of an ``Upgrade`` request; returns the bytes after it.

        None if all bytes are parsed.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = self._without_upgrade()
            self.parser = _new_parser(self)
            self.parser.feed_data(head)
            return data[upgrade.args[0] :]
        return None

    def _without_upgrade(self) -> bytes:
        """The head that was parsed, without its ``Upgrade`` field."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(kept))


def _new_parser(protocol: Any) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
    return parser
