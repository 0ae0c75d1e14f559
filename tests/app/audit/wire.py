"""A connection that shows the bytes of HTTP/1.1 as they travel."""

from __future__ import annotations

import socket

from msgspec import Struct


class Message(Struct, frozen=True, kw_only=True):
    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]


class Wire:
    """A connection of its own, read byte by byte as RFC 9112 says."""

    def __init__(self, url: str, token: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._token = token
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, *targets: str, verb: str = "GET", version: str = "1.1", more: str = "") -> None:
        """Send requests, all at once."""
        text = "".join(
            f"{verb} {target} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
            f"{more}\r\n"
            for target in targets
        )
        self._socket.sendall(text.encode())

    def fields(self) -> dict[str, str]:
        found = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(":")
            found[name.lower()] = value.strip()
        return found

    def status(self) -> int:
        """That of the next answer, whose rest waits."""
        return int(self._file.readline().split()[1])

    def answer(self) -> Message:
        """The next answer."""
        return self.rest(self.status())

    def rest(self, status: int = 200) -> Message:
        """What follows a status."""
        headers, body, trailers = self.fields(), b"", {}
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self._file.readline(), 16):
                body += self._file.read(size)
                assert self._file.read(2) == b"\r\n"
            trailers = self.fields()
        elif "content-length" in headers:
            body = self._file.read(int(headers["content-length"]))
        else:
            body = self._file.read()
        return Message(status=status, headers=headers, body=body, trailers=trailers)

    def is_over(self) -> bool:
        """Whether the server has closed it, with nothing more to say."""
        return self._file.read() == b""
