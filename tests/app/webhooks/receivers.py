"""Receivers of webhooks: real HTTP servers, each of whose answers a test chooses."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
HANGS = b""


class Request(Struct, frozen=True):
    """A message as it came."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def sequence(self) -> int:
        """That of its event; 0 for a test."""
        return int(self.event.get("sequence", 0))


def status(number: int, *headers: str, body: bytes = b"") -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {number} X", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Receiver:
    """Answers each message with the next of its answers, then with 204."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self.answers = answers
        self.got: list[Request] = []
        self.port = 0
        self.served_name: str | None = None
        self.came = asyncio.Event()
        self.handle: Callable[[Request], None] = lambda _: None

    @property
    def sequences(self) -> list[int]:
        return [one.sequence for one in self.got]

    def url(self, host: str = "127.0.0.1", path: str = "/hook") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append(Request(first.split()[1], headers, body))
            self.handle(self.got[-1])
            self.came.set()
            answer = next(self.answers, OK)
            writer.write(answer)
            await writer.drain()
            if answer == HANGS:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver that listens on 127.0.0.1."""
    receiver = Receiver(iter(answers))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
