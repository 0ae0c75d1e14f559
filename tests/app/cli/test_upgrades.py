"""An offer of another protocol is passed over: the request is served, and nothing else is."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.lengths import ENDLESS, declared
from app.cli.protocol.draining import limited_protocol
from app.cli.protocol.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

Served = tuple[str, str, bytes]
_HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: here\r\n\r\n"
_LAST = b"GET /last HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
_OFFERS = {
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
    "websocket": b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
    "twice": b"connection: Upgrade, Upgrade\r\nUpgrade: h2c\r\nUPGRADE: h2c, x\r\n",
}
_LENGTHS = [b"%d" % len(_HIDDEN), b"0" * 5000 + b"%d" % len(_HIDDEN)]


@contextmanager
def echoing(served_by: Any) -> Iterator[tuple[int, list[Served]]]:
    """A server's port, and what it has served."""
    served: list[Served] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        served.append((scope["method"], scope["path"], body))
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(
        app, port=0, http=served_by, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()[1], served
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[int, list[Served]]]:
    with echoing(limited_protocol(Limits())) as running:
        yield running


def exchange(port: int, sent: bytes, piece: int) -> bytes:
    """All that is answered; pieces are sent apart from each other, as far as a client can."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), piece):
            client.sendall(sent[start : start + piece])
        answered = b""
        while got := client.recv(65536):
            answered += got
        return answered


def post(offer: bytes, how: bytes, body: bytes) -> bytes:
    return b"POST /offer?q=1 HTTP/1.1\r\nhost: here\r\n" + offer + how + b"\r\n\r\n" + body


@pytest.mark.parametrize("piece", [7, 10_000])
@pytest.mark.parametrize("how", ["length", "zeros", "chunked"])
@pytest.mark.parametrize("offer", _OFFERS)
def test_a_request_that_offers_another_protocol_is_served_with_its_body_and_no_other_is(
    echo: tuple[int, list[Served]], offer: str, how: str, piece: int
) -> None:
    port, served = echo
    served.clear()
    if how == "chunked":
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_HIDDEN), _HIDDEN)
        request = post(_OFFERS[offer], b"transfer-encoding: chunked", chunks)
    else:
        length = b"content-length: " + _LENGTHS[how == "zeros"]
        request = post(_OFFERS[offer], length, _HIDDEN)
    answered = exchange(port, request + request + _LAST, piece)
    assert served == [("POST", "/offer", _HIDDEN)] * 2 + [("GET", "/last", b"")]
    assert answered.count(b"HTTP/1.1 200") == 3


def test_an_offer_without_a_body_is_served(echo: tuple[int, list[Served]]) -> None:
    port, served = echo
    served.clear()
    get = b"GET /offer HTTP/1.1\r\nhost: here\r\n" + _OFFERS["h2c"] + b"\r\n"
    exchange(port, get * 100 + _LAST, 10_000)
    assert served == [("GET", "/offer", b"")] * 100 + [("GET", "/last", b"")]


@pytest.mark.parametrize("target", [b"here:80", b"/offer"])
def test_a_request_for_a_tunnel_is_refused_and_ends_the_connection(
    echo: tuple[int, list[Served]], target: bytes
) -> None:
    port, served = echo
    served.clear()
    tunnel = b"CONNECT " + target + b" HTTP/1.1\r\nhost: here\r\ncontent-length: 37\r\n\r\n"
    assert exchange(port, tunnel + _HIDDEN, 10_000).startswith(b"HTTP/1.1 400")
    assert served == []


def test_control_uvicorn_takes_the_body_of_an_offer_for_a_request() -> None:
    with echoing(HttpToolsProtocol) as (port, served):
        length = b"content-length: " + _LENGTHS[0]
        head = post(_OFFERS["h2c"], length, b"")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(head)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            client.sendall(_HIDDEN + _LAST)
            while client.recv(65536):
                pass
    assert [path for _, path, _ in served] == ["/offer", "/hidden", "/last"]


def test_a_length_of_thousands_of_digits_is_read() -> None:
    assert declared(b"0" * 5000) == 0
    assert declared(b"0" * 5000 + b"12") == 12
    assert declared(b"9" * 18) == ENDLESS - 1
    assert declared(b"1" + b"0" * 5000) == ENDLESS
    with pytest.raises(ValueError, match="digits"):  # the control
        int(b"0" * 5000)
