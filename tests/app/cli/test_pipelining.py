"""Pipelined requests: all are answered, and few of them are in memory at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.cli.protocol.connections import limited_protocol
from app.cli.protocol.limits import Limits

_COUNT = 5000
_REQUEST = b"GET /x HTTP/1.1\r\n\r\n"


class Reading(asyncio.Transport):
    """A connection that knows whether it would be read, and counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
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
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


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
            was_read = was_read or transport.is_read

    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
    connection: Any = served_by(config=config, server_state=state, app_state={})
    connection.connection_made(transport)
    connection.data_received(_REQUEST * _COUNT)
    while state.tasks:
        await asyncio.wait(list(state.tasks))
    assert transport.is_read
    return Seen(waiting=waiting, was_read=was_read, served=served)


def test_few_of_many_pipelined_requests_wait_in_memory_and_all_are_served() -> None:
    seen = asyncio.run(_pipeline(limited_protocol(Limits())))
    assert (seen.served, seen.was_read) == (_COUNT, False)
    assert seen.waiting < 100


def test_control_uvicorn_keeps_all_of_them_and_reads_more() -> None:
    seen = asyncio.run(_pipeline(HttpToolsProtocol))
    assert (seen.served, seen.was_read) == (_COUNT, True)
    assert seen.waiting == _COUNT - 1
