"""A connection that is looked at byte by byte, for what no client library would send."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from tests.conftest import Server

PATH = "/api/v1/assistants"


class Answer(Struct, frozen=True, kw_only=True):
    """One answer as it was read."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body of an error."""
        assert self.headers["content-type"] == "application/problem+json"
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded


class Connection:
    """A socket to a server, and the answers that are read from it."""

    def __init__(self, server: Server, *, receives: int | None = None) -> None:
        """``receives`` is the size of the buffer for what was not read."""
        place = urlsplit(server.url)
        self.socket = socket.socket()
        if receives is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.socket.settimeout(20)
        self.socket.connect((place.hostname, place.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close()
        self.socket.close()

    def send(self, data: bytes, piece: int = 1 << 30) -> None:
        """Send in pieces, as far as the server takes them."""
        try:
            for start in range(0, len(data), piece):
                self.socket.sendall(data[start : start + piece])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ask(self, *headers: str, body: bytes = b"", verb: str = "POST", path: str = PATH) -> None:
        """Send a request."""
        head = "\r\n".join([f"{verb} {path} HTTP/1.1", "host: here", *headers, "", ""])
        self.socket.sendall(head.encode() + body)

    def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer."""
        lines = iter(self._read.readline, b"\r\n")
        status = int(next(lines).split()[1])
        headers = dict(line.decode().rstrip().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0)) if has_body else 0
        return Answer(status=status, headers=headers, body=self._read.read(length))

    def outcome(self) -> tuple[int, bool]:
        """The status of the next answer, and whether the connection is kept after it."""
        answer = self.answer()
        return answer.status, answer.headers.get("connection") != "close"

    def has_ended(self) -> bool:
        """Whether the server says nothing more; waits for that."""
        try:
            return self._read.read(1) == b""
        except ConnectionResetError:
            return True

    def rest(self) -> bytes:
        """All that comes until the server ends the connection."""
        return self._read.read()

    def is_refused(self) -> bool:
        """Whether there is no place for the connection: the answer is 503, or none."""
        try:
            status = self._read.readline()
        except ConnectionResetError:
            return True
        return status == b"" or b" 503 " in status

    def is_reset(self, seconds: float) -> bool:
        """Whether the server resets the connection in this time, although nothing is read."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(seconds * 1000))

    def pour(self, piece: bytes, most: int) -> int:
        """How many bytes the server takes before it ends the connection."""
        poured = 0
        try:
            while poured < most:
                self.socket.sendall(piece)
                poured += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return poured


def with_key(token: str) -> str:
    """The header of a key."""
    return f"authorization: Bearer {token}"
