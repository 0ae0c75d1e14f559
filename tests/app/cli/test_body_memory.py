"""The bodies of requests that are not answered take so much memory together, and no more."""

from __future__ import annotations

import select
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.app.cli.raw_connection import Connection, with_key
from tests.conftest import Organization, Server, make_organizations, serving_process

if TYPE_CHECKING:
    from collections.abc import Iterator

Served = tuple[Server, Organization]
_LENGTH = 1_000_000
_PART = b'{"name": "Long", ' + b" " * 900_000
_REST = b'"language": "en"}'.rjust(_LENGTH - len(_PART))
_SHORT = b'{"name": "Short"}'.ljust(60_000)
_HEALTH = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with memory for one long body."""
    database = tmp_path_factory.mktemp("narrow") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    with serving_process(database, [], BACKSTORY_BODY_MEMORY="1MiB") as server:
        yield server, organization


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The control."""
    database = tmp_path_factory.mktemp("wide") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    with serving_process(database, []) as server:
        yield server, organization


def begin(served: Served, body: bytes = _PART, length: int = _LENGTH) -> Connection:
    """A connection that has sent a part of a body."""
    server, organization = served
    client = Connection(server)
    json = ("content-type: application/json", f"content-length: {length}")
    client.ask(with_key(organization.editor), *json, "expect: 100-continue")
    assert client.answer().status == 100
    client.send(body)
    return client


def first_answered(*clients: Connection) -> Connection:
    """The client that gets an answer first."""
    by_socket = {client.socket: client for client in clients}
    readable, _, _ = select.select(list(by_socket), [], [], 20)
    return by_socket[readable[0]]


def test_of_two_bodies_with_memory_for_one_the_later_is_refused(
    narrow: Served, wide: Served
) -> None:
    with begin(narrow) as one, begin(narrow) as other, begin(wide) as a, begin(wide) as b:
        refused = first_answered(one, other)
        answer = refused.answer()
        assert answer.problem["type"] == "urn:backstory:problem:too-many-bodies"
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert int(answer.headers["retry-after"]) > 0
        for kept in (other if refused is one else one, a, b):
            kept.send(_REST)
            assert kept.answer().status == 201
    # What was held is free again, of a refused body as well as of an answered one.
    with begin(narrow) as later:
        later.send(_REST)
        assert later.answer().status == 201


def test_a_short_body_does_not_wait_for_long_ones(narrow: Served) -> None:
    with begin(narrow) as long, begin(narrow, _SHORT, len(_SHORT)) as short:
        assert short.answer().status == 201
        long.send(_REST)
        assert long.answer().status == 201


def test_the_memory_of_a_client_that_leaves_is_free(narrow: Served) -> None:
    for _ in range(5):
        with begin(narrow) as leaving, begin(narrow) as other:
            first_answered(leaving, other)
    with begin(narrow) as later:
        assert outcome_of(later) == 201


def outcome_of(client: Connection) -> int:
    client.send(_REST)
    return client.answer().status


def test_bodies_that_nobody_may_send_leave_room_for_others(narrow: Served) -> None:
    with ExitStack() as closing:
        for _ in range(20):
            nobody = closing.enter_context(Connection(narrow[0]))
            nobody.ask(f"content-length: {_LENGTH}", body=_PART[:200_000])
        with begin(narrow) as client:
            assert outcome_of(client) == 201
