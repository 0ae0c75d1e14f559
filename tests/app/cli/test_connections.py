"""Concurrent connections have a limit, and what waits longest gives way to what is new."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.app.cli.raw_connection import Connection, with_key
from tests.conftest import Organization, Server, make_organizations, serving_process
from tests.end_to_end.processes import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

Served = tuple[Server, Organization]
_MOST = 4
_HEALTH = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"
_SCHEMA = b"GET /schema/openapi.json HTTP/1.1\r\nhost: here\r\n\r\n"
_KEEP_UNREAD = """
from app.cli.protocol import connections
connections._UNREAD_SECONDS = 3600
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with room for few connections."""
    database = tmp_path_factory.mktemp("crowded") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    with serving_process(database, [], BACKSTORY_MAX_CONNECTIONS=str(_MOST)) as server:
        yield server, organization


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with room for as many as by default."""
    database = tmp_path_factory.mktemp("roomy") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    with serving_process(database, []) as server:
        yield server, organization


@pytest.fixture(scope="module")
def indulgent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The control: a server with room for few connections, where an unread response keeps its."""
    database = tmp_path_factory.mktemp("indulgent") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    with serving_process(
        database, [], preamble=_KEEP_UNREAD, BACKSTORY_MAX_CONNECTIONS=str(_MOST)
    ) as server:
        yield server, organization


class Crowd:
    """Connections to one server, closed at the end."""

    def __init__(self, served: Served, closing: ExitStack) -> None:
        self._server, self._organization = served
        self._closing = closing

    def connect(self) -> Connection:
        return self._closing.enter_context(Connection(self._server))

    def half(self) -> Connection:
        """A connection with half a head, whose first request was answered."""
        client = self.connect()
        client.send(_HEALTH)
        assert client.answer().status == 200
        client.send(_HEALTH[:20])
        return client

    def answered(self) -> Connection:
        """A connection that was answered before its long body, which never comes."""
        client = self.connect()
        client.send(
            b"POST /api/v1/assistants HTTP/1.1\r\nhost: here\r\ncontent-length: 900000\r\n\r\n"
        )
        assert client.answer().status == 401
        return client

    def unread(self) -> Connection:
        """A connection, without a key, whose responses nobody reads."""
        client = self._closing.enter_context(Connection(self._server, receives=4096))
        client.send(_SCHEMA * 200)
        return client

    def has_room(self) -> bool:
        """Whether a new connection is served, or else refused."""
        with Connection(self._server) as client:
            client.send(_HEALTH)
            return not client.is_refused()

    def served(self) -> Connection:
        """A connection with a request that is being served: the server asks for its body."""
        client = self.connect()
        json = ("content-type: application/json", "content-length: 20", "expect: 100-continue")
        client.ask(with_key(self._organization.editor), *json)
        assert client.answer().status == 100
        return client


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_the_connection_that_waits_longest_gives_way_to_a_new_one(
    crowded: Served, roomy: Served, closing: ExitStack
) -> None:
    crowd, control = Crowd(crowded, closing), Crowd(roomy, closing)
    waiting = [crowd.half() for _ in range(_MOST)]
    others = [control.half() for _ in range(_MOST)]
    for new in (crowd.half(), control.half()):
        new.send(_HEALTH[20:])
        assert new.answer().status == 200
    assert waiting[0].has_ended()
    for kept in (*waiting[1:], *others):
        kept.send(_HEALTH[20:])
        assert kept.answer().status == 200


def test_connections_that_were_answered_keep_nobody_out(
    crowded: Served, closing: ExitStack
) -> None:
    crowd = Crowd(crowded, closing)
    for _ in range(_MOST):
        crowd.answered()
    for _ in range(_MOST):
        new = crowd.connect()
        new.send(_HEALTH)
        assert new.answer().status == 200
    # The control: while they are being served, they do.
    for _ in range(_MOST):
        crowd.served()
    assert crowd.connect().answer().status == 503


def test_a_response_that_nobody_reads_keeps_nobody_out(
    crowded: Served, indulgent: Served, closing: ExitStack
) -> None:
    crowd, control = Crowd(crowded, closing), Crowd(indulgent, closing)
    for _ in range(_MOST):
        control.unread()
    unread = [crowd.unread() for _ in range(_MOST)]
    deadline = time.monotonic() + 20
    while not crowd.has_room():
        assert time.monotonic() < deadline
    assert unread[0].is_reset(20)
    assert not unread[-1].is_reset(0)
    assert not control.has_room()


def test_a_connection_that_reads_all_is_kept(crowded: Served, closing: ExitStack) -> None:
    """Only one gives way to each new one: a client that reads on has its response."""
    crowd = Crowd(crowded, closing)
    others = [crowd.half() for _ in range(_MOST - 1)]
    reader = crowd.unread()
    for _ in range(_MOST - 1):
        crowd.half()
    assert all(other.has_ended() for other in others)
    for _ in range(200):
        assert reader.answer().status == 200


def test_a_new_connection_is_refused_when_all_are_being_served(
    crowded: Served, roomy: Served, closing: ExitStack
) -> None:
    crowd, control = Crowd(crowded, closing), Crowd(roomy, closing)
    serving = [crowd.served() for _ in range(_MOST)]
    others = [control.served() for _ in range(_MOST)]
    refused, taken = crowd.connect(), control.connect()
    answer = refused.answer()  # without a request
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.problem["type"] == "urn:backstory:problem:too-many-connections"
    assert refused.has_ended()
    taken.send(_HEALTH)
    assert taken.answer().status == 200
    for kept in (*serving, *others):
        kept.send(b'{"name": "Been here"')
        assert kept.answer().status == 422


def test_there_is_room_again_when_a_connection_ends(crowded: Served, closing: ExitStack) -> None:
    crowd = Crowd(crowded, closing)
    serving = [crowd.served() for _ in range(_MOST)]
    serving[0].send(b'{"name": "Done"}    ')
    assert serving[0].answer().status == 201
    new = crowd.connect()
    new.send(_HEALTH)
    assert new.answer().status == 200
    assert serving[0].has_ended()


def test_of_very_many_new_connections_not_all_are_answered(
    crowded: Served, closing: ExitStack
) -> None:
    crowd = Crowd(crowded, closing)
    serving = [crowd.served() for _ in range(_MOST)]
    surplus = [crowd.connect() for _ in range(3 * _MOST)]
    answered = [client.socket.recv(12) for client in surplus if not _is_reset(client)]
    assert answered.count(b"HTTP/1.1 503") == _MOST
    serving[0].send(b'{"name": "Been here"')
    assert serving[0].answer().status == 422


def _is_reset(client: Connection) -> bool:
    try:
        return client.socket.recv(1, socket.MSG_PEEK) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(("hard", "allowed"), [(4096, 2256), (500, 500)])
def test_the_process_may_open_as_many_files_as_connections_need(
    tmp_path: Path,
    hard: int,
    allowed: int,
) -> None:
    preamble = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))"
    with serving(tmp_path / "backstory.db", preamble=preamble) as running:
        assert psutil.Process(running.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (allowed, hard)
    assert ("few_files" in (tmp_path / "log").read_text()) == (hard == 500)
