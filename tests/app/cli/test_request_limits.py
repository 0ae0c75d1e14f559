"""Limits on the size of a request: each is an error that the client can read, and an option."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from tests.app.cli.raw_connection import PATH, Connection, with_key
from tests.conftest import Organization, Server, make_organizations, serving_process

if TYPE_CHECKING:
    from collections.abc import Iterator

Served = tuple[Server, Organization]
_ASSISTANT = b'{"name": "Front desk"}'


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with small limits."""
    database = tmp_path_factory.mktemp("small") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    with serving_process(
        database,
        [],
        BACKSTORY_MAX_URL="200",
        BACKSTORY_MAX_HEADER_SIZE="1000",
        BACKSTORY_MAX_HEADERS="10",
    ) as server:
        yield server, organization


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the limits that it has by default."""
    database = tmp_path_factory.mktemp("usual") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    with serving_process(database, []) as server:
        yield server, organization


def head(*headers: str, target: str = "/health", verb: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{verb} {target} HTTP/{version}", "host: here", *headers, "", ""]
    return "\r\n".join(lines).encode()


class Excess(Struct, frozen=True):
    """A head that is over a small limit, and how that is answered."""

    sent: bytes
    status: int
    code: str


EXCESSES = {
    "url": Excess(head(target="/health?" + "q" * 200), 414, "url-too-long"),
    "field": Excess(head("x: " + "v" * 1000), 431, "headers-too-large"),
    "name": Excess(head("n" * 1000 + ": v"), 431, "headers-too-large"),
    "fields": Excess(head(*["x: " + "v" * 200] * 5), 431, "headers-too-large"),
    "count": Excess(head(*["x: v"] * 10), 431, "too-many-headers"),
    "old": Excess(head(*["x: v"] * 10, version="1.0"), 431, "too-many-headers"),
    "upgrade": Excess(
        head("connection: upgrade", "upgrade: h2c", "x: " + "v" * 1000), 431, "headers-too-large"
    ),
}


@pytest.mark.parametrize("piece", [100, 1 << 30])
@pytest.mark.parametrize("name", EXCESSES)
def test_a_head_over_a_limit_is_an_error_and_ends_the_connection(
    small: Served, name: str, piece: int
) -> None:
    excess = EXCESSES[name]
    with Connection(small[0]) as client:
        client.send(excess.sent, piece)
        answer = client.answer()
        assert (answer.status, answer.problem["status"]) == (excess.status, excess.status)
        assert answer.problem["type"] == f"urn:backstory:problem:{excess.code}"
        assert answer.headers["connection"] == "close"
        assert answer.headers["x-request-id"]
        assert client.has_ended()


@pytest.mark.parametrize("name", EXCESSES)
def test_control_the_same_head_is_served_by_usual_limits(usual: Served, name: str) -> None:
    with Connection(usual[0]) as client:
        client.send(EXCESSES[name].sent)
        assert client.answer().status == 200


@pytest.mark.parametrize(
    ("begin", "more", "status"),
    [
        (b"GET /", b"q" * 5000, 414),
        (b"GET / HTTP/1.1\r\nx: ", b"v" * 5000, 431),
        (b"GET / HTTP/1.1\r\n", b"n" * 5000, 431),
        (b"GET / HTTP/1.1\r\nx:", b" " * 5000, 431),
        (b"GET / HTTP/1.1\r\n", b"x: v\r\n" * 1000, 431),
    ],
)
def test_a_head_without_an_end_is_refused_before_its_end(
    small: Served, begin: bytes, more: bytes, status: int
) -> None:
    with Connection(small[0]) as client:
        client.send(begin + more)
        assert client.answer().status == status
        assert client.has_ended()


def test_a_client_that_still_sends_can_read_why_it_is_refused(usual: Served) -> None:
    with Connection(usual[0]) as client:
        client.send(head("x: " + "v" * 500_000))
        assert client.answer().status == 431


def test_head_is_refused_without_a_body(small: Served) -> None:
    with Connection(small[0]) as client:
        client.send(head(*["x: v"] * 10, verb="HEAD"))
        assert client.answer(has_body=False).status == 431
        assert client.has_ended()


def chunked(organization: Organization, body: bytes) -> bytes:
    fields = (with_key(organization.editor), "content-type: application/json")
    return head(*fields, "transfer-encoding: chunked", target=PATH, verb="POST") + body


_CHUNK = b"%x\r\n%b\r\n" % (len(_ASSISTANT), _ASSISTANT)
_TINY = b"".join(b"1\r\n%c\r\n" % byte for byte in _ASSISTANT)
# Sizes are measured to a few KiB: the parser does not hand this over.
SURROUNDED = {
    "extension": b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(_ASSISTANT), b"e" * 9000, _ASSISTANT),
    "extensions": _TINY.replace(b"1\r", b"1;%b\r" % (b"e" * 500)) + b"0\r\n\r\n",
    "zeros": b"%b%x\r\n%b\r\n0\r\n\r\n" % (b"0" * 9000, len(_ASSISTANT), _ASSISTANT),
    "trailer": _CHUNK + b"0\r\nx: " + b"v" * 9000 + b"\r\n\r\n",
    "trailers": _CHUNK + b"0\r\n" + b"x: %b\r\n" % (b"v" * 95) * 99 + b"\r\n",
}


@pytest.mark.parametrize("name", SURROUNDED)
def test_what_surrounds_chunks_counts_like_headers(small: Served, name: str) -> None:
    server, organization = small
    with Connection(server) as client:
        client.send(chunked(organization, SURROUNDED[name]), 1000)
        assert client.answer().status == 431
        assert client.has_ended()


@pytest.mark.parametrize("name", SURROUNDED)
def test_control_the_same_chunks_are_taken_by_usual_limits(usual: Served, name: str) -> None:
    server, organization = usual
    with Connection(server) as client:
        client.send(chunked(organization, SURROUNDED[name]), 1000)
        assert client.answer().status == 201


def test_chunks_of_one_byte_are_a_body_like_any_other(small: Served) -> None:
    server, organization = small
    body = _ASSISTANT + b" " * 5000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with Connection(server) as client:
        client.send(chunked(organization, chunks + b"0\r\n\r\n"))
        assert client.answer().status == 201


def test_a_body_in_chunks_has_the_limit_of_any_body(small: Served) -> None:
    server, organization = small
    piece = b"%x\r\n%b\r\n" % (64 * 1024, b" " * 64 * 1024)
    with Connection(server) as client:
        client.send(chunked(organization, b""))
        client.pour(piece, 2 * 1024 * 1024)
        assert client.answer().status == 413


def test_trailers_are_no_headers(usual: Served) -> None:
    """``Prefer`` is read after the body."""
    server, organization = usual
    with Connection(server) as client:
        client.send(chunked(organization, _CHUNK + b"0\r\nprefer: return=minimal\r\n\r\n"))
        assert client.answer().status == 201


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\x00" * 5000])
def test_what_is_no_http_is_an_error_after_the_answers_before_it(
    usual: Served, garbage: bytes
) -> None:
    with Connection(usual[0]) as client:
        client.send(head() + garbage)
        assert client.answer().status == 200
        answer = client.answer()
        assert (answer.status, answer.problem["title"]) == (400, "Bad Request")
        assert client.has_ended()


def test_control_uvicorn_answers_it_first(usual: Served) -> None:
    database = usual[0].database.with_name("control.db")
    make_organizations(database, 1)
    preamble = """
from app.cli import server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
server.limited_protocol = lambda _: HttpToolsProtocol
"""
    with serving_process(database, [], preamble=preamble) as other, Connection(other) as client:
        client.send(head() + b"\x16\x03\x01\x02\x00")
        assert client.answer().status == 400
        assert client.has_ended()
