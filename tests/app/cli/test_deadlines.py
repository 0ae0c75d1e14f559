"""A connection is not kept for a client that says nothing, or too little."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from app.cli.protocol.draining import limited_protocol
from app.cli.protocol.limits import Limits
from tests.app.cli.raw_connection import Connection, with_key
from tests.conftest import Organization, Server, make_organizations, serving_process

if TYPE_CHECKING:
    from collections.abc import Iterator

Served = tuple[Server, Organization]
_HALF = b"GET /health HTTP/1.1\r\nhost: he"
_HEALTH = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"
_SCHEMA = b"GET /schema/openapi.json HTTP/1.1\r\nhost: here\r\n\r\n"
_QUICK = Limits(send_seconds=0.5)
_PAUSE = 0.2  # seconds in which a slow client looks for an answer before it sends more


@contextmanager
def serving_with(folder: Path, seconds: int, speed: int) -> Iterator[Served]:
    """A server whose deadline for a head is twice as long as all others."""
    (organization,) = make_organizations(folder / "backstory.db", 1)
    time = f"{seconds}s"
    with serving_process(
        folder / "backstory.db",
        [],
        BACKSTORY_HEADER_TIMEOUT=f"{2 * seconds}s",
        BACKSTORY_BODY_TIMEOUT=time,
        BACKSTORY_SEND_TIMEOUT=time,
        BACKSTORY_IDLE_TIMEOUT=time,
        BACKSTORY_MIN_SPEED=str(speed),
    ) as server:
        yield server, organization


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving_with(tmp_path_factory.mktemp("hurried"), 1, 1000) as served:
        yield served


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The control."""
    with serving_with(tmp_path_factory.mktemp("patient"), 60, 1) as served:
        yield served


def has_answer(client: Connection) -> bool:
    """Whether something can be read within a moment."""
    return bool(select.select([client.socket], [], [], _PAUSE)[0])


def send_slowly(client: Connection, piece: bytes, most: int) -> int:
    """Send piece by piece until the server answers; returns how many were sent."""
    for number in range(most):
        client.send(piece)
        if has_answer(client):
            return number + 1
    return most


def test_a_connection_without_a_request_is_closed_without_a_word(
    hurried: Served, patient: Served
) -> None:
    with Connection(hurried[0]) as new, Connection(patient[0]) as control:
        assert new.has_ended()
        control.send(_HEALTH)
        assert control.answer().status == 200


def test_a_connection_is_closed_when_no_further_request_comes(
    hurried: Served, patient: Served
) -> None:
    with Connection(hurried[0]) as used, Connection(patient[0]) as control:
        for client in (used, control):
            client.send(_HEALTH)
            assert client.answer().status == 200
        assert used.has_ended()
        control.send(_HEALTH)
        assert control.answer().status == 200


@pytest.mark.parametrize("before", [b"", _HEALTH])
def test_half_a_head_is_a_408_and_ends_the_connection(
    hurried: Served, patient: Served, before: bytes
) -> None:
    with Connection(hurried[0]) as client, Connection(patient[0]) as control:
        for one in (client, control):
            one.send(before + _HALF)
            assert not before or one.answer().status == 200
        answer = client.answer()
        assert (answer.status, answer.problem["status"]) == (408, 408)
        assert answer.headers["connection"] == "close"
        assert client.has_ended()
        control.send(b"re\r\n\r\n")
        assert control.answer().status == 200


@pytest.mark.parametrize("piece", [b"\r\n", b"x: v\r\n"])
def test_a_head_has_one_deadline_however_often_a_bit_of_it_comes(
    hurried: Served, patient: Served, piece: bytes
) -> None:
    with Connection(hurried[0]) as client, Connection(patient[0]) as control:
        for one in (client, control):
            one.send(b"\r\n" if piece == b"\r\n" else _HEALTH[:-2])
        assert send_slowly(client, piece, 50) < 50
        assert client.answer().status == 408
        assert send_slowly(control, piece, 1) == 1
        assert not has_answer(control)


def of_length(length: int, organization: Organization) -> tuple[str, ...]:
    key = with_key(organization.editor)
    return key, "content-type: application/json", f"content-length: {length}"


@pytest.mark.parametrize("how", ["nothing", "little", "nobody"])
def test_a_body_that_comes_too_slowly_is_a_408(hurried: Served, patient: Served, how: str) -> None:
    """Also one that is not needed: ``nobody`` has no key, and was answered 401 before."""
    with Connection(hurried[0]) as client, Connection(patient[0]) as control:
        for one, organization in ((client, hurried[1]), (control, patient[1])):
            fields = of_length(900, organization)
            one.ask(*fields[how == "nobody" :], body=b'{"name": "Slow"')
        if how == "nobody":
            assert client.outcome() == (401, True)
            send_slowly(client, b" ", 50)
        else:
            if how == "little":
                assert send_slowly(client, b" ", 50) < 50
            assert client.answer().status == 408
        assert client.has_ended()
        control.send(b" " * 884 + b"}")
        assert control.outcome() == (401 if how == "nobody" else 201, True)


def test_a_body_may_take_long_if_it_keeps_the_speed(hurried: Served) -> None:
    server, organization = hurried
    pieces = 10
    with Connection(server) as client:
        client.ask(*of_length(20 + 1000 * pieces, organization), body=b'{"name": "Steady"  ')
        assert send_slowly(client, b" " * 1000, pieces) == pieces  # for twice the deadline
        client.send(b"}")
        assert client.answer().status == 201


def test_a_client_that_never_reads_is_cut_off(hurried: Served, patient: Served) -> None:
    with (
        Connection(hurried[0], receives=4096) as client,
        Connection(patient[0], receives=4096) as control,
    ):
        for one in (client, control):
            one.send(_SCHEMA * 200)
        assert client.is_reset(20)
        assert not control.is_reset(0)


@contextmanager
def writing(limits: Limits, length: int, in_kernel: int) -> Iterator[Server]:
    """A server whose answers have a length, of which the kernel takes a part."""
    body = bytes(length)

    async def app(_: Any, __: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        app, http=limited_protocol(limits), ws="none", lifespan="off", log_config=None
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, in_kernel)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            yield Server(url=url, database=Path(), waiting=[])
        finally:
            server.force_exit = server.should_exit = True
            thread.join()


def test_a_client_that_leaves_the_end_of_the_last_answer_unread_is_cut_off() -> None:
    """The application has ended, and the server's buffer is not even full."""
    with (
        writing(_QUICK, 60_000, 4096) as hurried,
        writing(Limits(), 60_000, 4096) as patient,
        Connection(hurried, receives=4096) as client,
        Connection(patient, receives=4096) as control,
    ):
        for one in (client, control):
            one.send(_HEALTH)
        assert client.is_reset(20)
        assert not control.is_reset(0)


def test_a_client_that_reads_slowly_gets_all() -> None:
    """The kernel takes more from the server only when it has sent much of what it has."""
    length, pieces = 2_000_000, 12
    with (
        writing(_QUICK, length, 500_000) as hurried,
        Connection(hurried, receives=4096) as client,
    ):
        client.send(_HEALTH)
        read = 0
        for _ in range(pieces):  # for several times the deadline
            read += len(client.socket.recv(4096))
            assert not client.is_reset(_PAUSE)
        while piece := client.socket.recv(1 << 20):
            read += len(piece)
        assert read > length
