"""Pipelined requests: all are answered, and few of them are in memory at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.cli.protocol.draining import limited_protocol
from app.cli.protocol.limits import Limits

_COUNT = 5000
_REQUEST = b"GET /x HTTP/1.1\r\n\r\n"


class Reading(asyncio.Transport):
    """A connection that knows whether it would be read, and counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.is_readable = asyncio.Event()
        self.is_readable.set()
        self.written = 0

    def write(self, data: Any) -> None:
        self.written += len(data)

    def writelines(self, list_of_data: Any) -> None:
        self.written += sum(map(len, list_of_data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_readable.clear()

    def resume_reading(self) -> None:
        self.is_readable.set()


class Seen(Struct, frozen=True):
    """What was in memory, and whether it was read while requests waited."""

    waiting: int
    was_read: bool
    served: int


async def _pipeline(served_by: Any) -> Seen:
    transport, state = Reading(), ServerState()
    waiting, served, was_read = 0, 0, False

    async def app(_: Any, receive: Any, send: Any) -> None:
        nonlocal waiting, served, was_read
        served += 1
        waiting = max(waiting, len(connection.pipeline))
        await receive()
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})
        if connection.pipeline:
            was_read = was_read or transport.is_readable.is_set()

    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
    connection: Any = served_by(config=config, server_state=state, app_state={})
    connection.connection_made(transport)
    connection.data_received(_REQUEST * _COUNT)
    while state.tasks:
        await asyncio.wait(list(state.tasks))
    assert transport.is_readable.is_set()
    return Seen(waiting=waiting, was_read=was_read, served=served)


def test_few_of_many_pipelined_requests_wait_in_memory_and_all_are_served() -> None:
    seen = asyncio.run(_pipeline(limited_protocol(Limits())))
    assert (seen.served, seen.was_read) == (_COUNT, False)
    assert seen.waiting < 100


def test_control_uvicorn_keeps_all_of_them_and_reads_more() -> None:
    seen = asyncio.run(_pipeline(HttpToolsProtocol))
    assert (seen.served, seen.was_read) == (_COUNT, True)
    assert seen.waiting == _COUNT - 1


def _request(path: bytes, padding: int, length: int, chunk: int) -> bytes:
    """A request whose body has a length, or chunks of one."""
    body = b"b" * length
    head = b"POST %b HTTP/1.1\r\nx: %b\r\n" % (path, b"p" * padding)
    if not chunk:
        return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([b"/", b"/long" * 300]),
        st.sampled_from([1, 900, 1024, 3000]),
        st.sampled_from([0, 1, 1024, 5000]),
        st.sampled_from([0, 1000, 3000]),
    ),
    min_size=1,
    max_size=6,
)


async def _outcome(served_by: Any, sent: bytes, piece: int) -> tuple[list[Any], int]:
    transport, state, served = Reading(), ServerState(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        served.append((scope["raw_path"], scope["headers"], body))
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
    connection: Any = served_by(config=config, server_state=state, app_state={})
    connection.connection_made(transport)
    for start in range(0, len(sent), piece):
        await transport.is_readable.wait()
        connection.data_received(sent[start : start + piece])
    while state.tasks:
        await asyncio.wait(list(state.tasks))
    return served, transport.written


@given(_REQUESTS, st.sampled_from([100, 1024, 1025, 200_000]))
@settings(max_examples=50)
def test_requests_in_any_pieces_are_served_as_uvicorn_serves_them(
    requests: list[tuple[bytes, int, int, int]], piece: int
) -> None:
    sent = b"".join(_request(*request) for request in requests)
    ours = asyncio.run(_outcome(limited_protocol(Limits()), sent, piece))
    assert ours == asyncio.run(_outcome(HttpToolsProtocol, sent, piece))
    assert len(ours[0]) == len(requests)
