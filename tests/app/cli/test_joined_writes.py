"""A whole response is one write, and its bytes are those that uvicorn writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.cli.protocol import joined
from app.cli.protocol.draining import limited_protocol
from app.cli.protocol.limits import Limits

SERVED: Any = limited_protocol(Limits())


class Script(Struct, frozen=True, kw_only=True):
    """What an application sends, and whether it fails then."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    pieces: tuple[bytes, ...] = (b"",)
    ends: bool = True
    fails: bool = False


class Written(Struct, frozen=True, kw_only=True):
    """What a connection saw: pieces as they were written, and how many requests were served."""

    pieces: list[bytes]
    closed: bool
    served: int

    @property
    def text(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


class Recording(asyncio.Transport):
    """A connection that keeps what is written; once closed it takes nothing, as uvloop's."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self._is_closing = False

    def write(self, data: Any) -> None:
        if self._is_closing:
            raise RuntimeError("the handler is closed")
        if data:
            self.pieces.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def exchange(served_by: type[HttpToolsProtocol], script: Script, sent: bytes) -> Written:
    """Serve the requests in some bytes, each as the script says."""
    return asyncio.run(_exchange(served_by, script, sent))


async def _exchange(served_by: type[HttpToolsProtocol], script: Script, sent: bytes) -> Written:
    served = 0

    async def app(_: Any, receive: Any, send: Any) -> None:
        nonlocal served
        served += 1
        await receive()
        headers = list(script.headers)
        await send({"type": "http.response.start", "status": script.status, "headers": headers})
        for number, body in enumerate(script.pieces, 1):
            more = number < len(script.pieces) or not script.ends
            await send({"type": "http.response.body", "body": body, "more_body": more})
        if script.fails:
            raise ValueError

    transport, state = Recording(), ServerState()
    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
    connection: Any = served_by(config=config, server_state=state, app_state={})
    connection.connection_made(transport)
    connection.data_received(sent)
    while state.tasks:
        await asyncio.wait(list(state.tasks))
    return Written(pieces=transport.pieces, closed=transport.is_closing(), served=served)


def request(verb: str, version: str = "1.1", more: str = "", body: bytes = b"") -> bytes:
    head = f"{verb} /x HTTP/{version}\r\nhost: x\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def of_length(length: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"content-length", b"%d" % length),)


_PIECES = st.lists(st.sampled_from([b"", b"a", b"two", b"x" * 70_000]), max_size=3).map(tuple)
_HEADERS = st.lists(
    st.sampled_from(
        [
            (b"content-length", b"3"),
            (b"content-length", b"0"),
            (b"connection", b"close"),
            (b"transfer-encoding", b"chunked"),
            (b"etag", b'"7"'),
            (b"bad", b"a\nb"),
        ]
    ),
    max_size=3,
    unique=True,
).map(tuple)
_SCRIPTS = st.builds(
    Script,
    status=st.sampled_from([200, 204, 304, 404, 500]),
    headers=_HEADERS,
    pieces=_PIECES,
    ends=st.booleans(),
    fails=st.booleans(),
)
_REQUESTS = st.lists(
    st.builds(
        request,
        st.sampled_from(["GET", "HEAD", "POST", "PATCH"]),
        more=st.sampled_from(["", "connection: close\r\n"]),
        body=st.sampled_from([b"", b"body"]),
    ),
    min_size=1,
    max_size=3,
).map(b"".join)


@given(_SCRIPTS, _REQUESTS)
@example(Script(headers=((b"connection", b"close"),)), request("GET") * 2)
def test_what_is_written_is_what_uvicorn_writes(script: Script, sent: bytes) -> None:
    ours, theirs = exchange(SERVED, script, sent), exchange(HttpToolsProtocol, script, sent)
    assert ours.text == theirs.text
    assert (ours.closed, ours.served) == (theirs.closed, theirs.served)
    assert len(ours.pieces) <= len(theirs.pieces)


_OFFER = "connection: upgrade\r\nupgrade: h2c\r\n"
WHOLE = [
    (Script(headers=of_length(3), pieces=(b"all",)), request("GET")),
    (Script(headers=of_length(3), pieces=(b"all",)), request("PATCH", body=b"{}")),
    (Script(headers=of_length(3), pieces=(b"all",)), request("GET", "1.0")),
    (Script(pieces=(b"all",)), request("GET", "1.0")),
    (Script(pieces=(b"all",)), request("GET")),
    (Script(headers=of_length(3)), request("HEAD")),
    (Script(status=304), request("GET")),
    (Script(status=204), request("PATCH")),
    (Script(headers=of_length(3), pieces=(b"all",)), request("GET", more="connection: close\r\n")),
    (Script(headers=of_length(3), pieces=(b"all",)), request("GET", more=_OFFER)),
]


@pytest.mark.parametrize(("script", "sent"), WHOLE)
def test_a_whole_response_is_one_write(script: Script, sent: bytes) -> None:
    assert len(exchange(SERVED, script, sent).pieces) == 1


def test_each_of_several_responses_is_one_write() -> None:
    script = Script(headers=of_length(3), pieces=(b"all",))
    written = exchange(SERVED, script, request("GET") * 5)
    assert (len(written.pieces), written.served) == (5, 5)


def test_a_stream_begins_with_its_head_and_goes_on_piece_by_piece() -> None:
    script = Script(headers=of_length(9), pieces=(b"one", b"two", b"end"))
    head, *rest = exchange(SERVED, script, request("GET")).pieces
    assert head.endswith(b"\r\n\r\none")
    assert rest == [b"two", b"end"]


def test_control_uvicorn_writes_the_head_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined.JoinedCycle, "send", RequestResponseCycle.send)
    script, sent = WHOLE[0]
    assert len(exchange(SERVED, script, sent).pieces) == 2


def test_a_client_that_leaves_between_head_and_body_is_no_error() -> None:
    async def leave() -> tuple[list[bytes], list[str]]:
        transport, state, went = Recording(), ServerState(), asyncio.Event()
        seen = []

        async def app(_: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            went.set()
            seen.append((await receive())["type"])
            await send({"type": "http.response.body", "body": b"late"})
            seen.append("sent")

        config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None)
        connection: Any = SERVED(config=config, server_state=state, app_state={})
        connection.connection_made(transport)
        connection.data_received(request("GET"))
        await went.wait()
        transport.close()
        connection.connection_lost(None)
        await asyncio.wait(list(state.tasks))
        return transport.pieces, seen

    assert asyncio.run(leave()) == ([], ["http.disconnect", "sent"])
