"""Offers of another protocol (``Upgrade``), which a server may ignore (RFC 9110, 7.8).

llhttp ends an HTTP connection at such an offer: what follows its head, it says, is of the other
protocol. uvicorn goes on with the same parser, so that it takes the body for the next request.
Here the head is read again without the offer, and the request is one like any other.
"""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class NotTaken(Exception):
    """A request for a tunnel (``CONNECT``): what follows its head is no HTTP."""


class SameProtocol(HttpToolsProtocol):
    """HTTP/1.1 that never becomes anything else."""

    def on_headers_complete(self) -> None:
        """Begin no response to a head that is to be read again."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise NotTaken

    def on_message_complete(self) -> None:
        """Note the end of a body; that of an offer is yet to come."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Read requests, as uvicorn does."""
        self._unset_keepalive_if_required()
        rest: memoryview | None = memoryview(data)
        try:
            while rest is not None:
                rest = self._read(rest)
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _read(self, data: memoryview) -> memoryview | None:
        """Read up to the head of an offer, and that: the bytes after it; None where all is read."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            head = self._without_offer()
            self.parser = _new_parser(self)
            self.parser.feed_data(head)
            return data[offer.args[0] :]
        return None

    def _without_offer(self) -> bytes:
        """The head that was read. llhttp sees no offer where there is no ``Upgrade``."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(kept))


def _new_parser(protocol: Any) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
    return parser
