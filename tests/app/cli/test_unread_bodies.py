"""A request that is answered before its body has come: how much of that the server still takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.app.cli.raw_connection import Connection, with_key
from tests.conftest import Organization, Server, make_organizations, serving_process

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 800_000
ENDLESS = 64 * 1024 * 1024
_CHUNK = b"%x\r\n%b\r\n" % (64 * 1024, bytes(64 * 1024))
_CONTROL = """
from app.cli import server
from app.cli.protocol.trailers import TrailersProtocol
server.limited_protocol = lambda _: TrailersProtocol
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Organization]]:
    database = tmp_path_factory.mktemp("unread") / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    with serving_process(database, []) as server:
        yield server, tenant


@pytest.mark.parametrize("role", [None, "viewer"])
@pytest.mark.parametrize("how", [f"content-length: {LONG}", "transfer-encoding: chunked"])
def test_who_may_not_send_a_body_is_answered_without_it(
    served: tuple[Server, Organization], role: str | None, how: str
) -> None:
    server, tenant = served
    who = [with_key(tenant.viewer)] if role else []
    with Connection(server) as client:
        client.ask(*who, how)  # and nothing of the body
        assert client.outcome() == (403 if role else 401, False)
        assert client.has_ended()


def test_a_body_beyond_the_limit_is_refused_by_the_length_that_it_declares(
    served: tuple[Server, Organization],
) -> None:
    server, tenant = served
    with Connection(server) as client:
        client.ask(with_key(tenant.editor), f"content-length: {1024 * 1024 + 1}")
        assert client.outcome() == (413, False)
        assert client.has_ended()


def test_a_client_that_sends_all_before_it_reads_finds_its_answer(
    served: tuple[Server, Organization],
) -> None:
    server, _ = served
    with Connection(server) as client:
        client.ask(f"content-length: {LONG}", body=bytes(LONG))
        assert client.outcome() == (401, False)
        assert client.has_ended()


@pytest.mark.parametrize("piece", [bytes(64 * 1024), _CHUNK], ids=["declared", "chunked"])
def test_no_more_than_some_of_an_endless_body_is_taken(
    served: tuple[Server, Organization], piece: bytes
) -> None:
    server, _ = served
    chunked = piece == _CHUNK
    how = "transfer-encoding: chunked" if chunked else f"content-length: {2**40}"
    with Connection(server) as client:
        client.ask(how)
        # What the kernel holds is taken from the client, and never read by the server.
        assert client.pour(piece, ENDLESS) < ENDLESS / 2


def test_control_uvicorn_takes_all_of_it(served: tuple[Server, Organization]) -> None:
    server, _ = served
    control = server.database.with_name("control.db")
    make_organizations(control, 1)
    with serving_process(control, [], preamble=_CONTROL) as other, Connection(other) as client:
        client.ask(f"content-length: {2**40}")
        assert client.pour(bytes(64 * 1024), ENDLESS) == ENDLESS


def test_a_short_body_that_is_refused_leaves_the_connection_as_it_was(
    served: tuple[Server, Organization],
) -> None:
    server, tenant = served
    with Connection(server) as client:
        for _ in range(3):
            client.ask("content-length: 300")
            assert client.outcome() == (401, True)
            client.socket.sendall(bytes(300))
        client.ask(with_key(tenant.viewer), verb="GET")
        assert client.outcome() == (200, True)


def test_a_client_that_waits_to_be_asked_for_its_body_is_told_to_connect_anew(
    served: tuple[Server, Organization],
) -> None:
    server, _ = served
    with Connection(server) as client:
        client.ask("expect: 100-continue", "content-length: 30")
        assert client.outcome() == (401, False)


def test_a_long_body_that_is_read_leaves_the_connection_as_it_was(
    served: tuple[Server, Organization],
) -> None:
    server, tenant = served
    body = b'{"name": "Long"' + b" " * LONG + b"}"
    who = with_key(tenant.editor)
    with Connection(server) as client:
        for _ in range(2):
            json = "content-type: application/json"
            client.ask(who, json, f"content-length: {len(body)}", body=body)
            assert client.outcome() == (201, True)
