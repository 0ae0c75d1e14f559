"""No header breaks the server or gets around its rules."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from tests.app.api.bad_input.answers import REQUEST_ID, places
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "sent", ["a", "A-z_0.9:", "a" * 128, "01890c2e-7b5c-7c3e-9f00-8f6d7d0b1c2d"]
)
def test_a_request_id_is_echoed(admin: httpx.Client, sent: str) -> None:
    answer = admin.get(f"{ASSISTANTS}/count", headers={"x-request-id": sent})
    assert answer.headers.get_list("x-request-id") == [sent]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"a" * 129,
        b"a b",
        b"a\tb",
        b"a,b",
        b'a"b',
        b"a;b=c",
        b"\xc3\xa9",
        b"\xff",
        b"<a>",
        b"a%0Ab",
    ],
)
def test_a_request_id_that_is_not_plain_is_replaced(admin: httpx.Client, sent: bytes) -> None:
    answer = admin.get(f"{ASSISTANTS}/count", headers={"x-request-id": sent})  # type: ignore[arg-type]  # bytes are what must be sent
    assert answer.status_code == 200
    (given,) = answer.headers.get_list("x-request-id")
    assert REQUEST_ID.fullmatch(given)
    assert given.encode() != sent


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A bare connection, for what no client library would send."""
    url = httpx.URL(server.url)
    assert url.port is not None
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        yield connection


def exchange(server: Server, request: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n ", b"\x00", b"\x0b", b"\x7f"])
def test_a_line_end_in_a_header_makes_no_header_of_ours(
    server: Server, organization: Organization, end: bytes
) -> None:
    answer = exchange(
        server,
        b"GET /api/v1/assistants/count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer " + organization.viewer.encode() + b"\r\n"
        b"X-Request-ID: a" + end + b"x-evil: 1\r\n\r\n",
    )
    assert re.match(rb"HTTP/1.1 (200|400) ", answer)
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"x-evil" not in head


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET",
        b"GET /x",
        b"BREW / HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET /\xff HTTP/1.1",
        b"\x16\x03\x01",
    ],
)
def test_what_is_no_http_is_turned_away(server: Server, request_line: bytes) -> None:
    answer = exchange(server, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.match(rb"HTTP/1.1 4\d\d ", answer)
    with server.client(None) as client:
        assert client.get("/health").status_code == 200


_NAMES = [
    "accept", "accept-encoding", "content-encoding", "cookie", "expect", "forwarded",
    "origin", "prefer", "range", "referer", "te", "user-agent",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-http-method-override",
]  # fmt: skip
_JUNK = (b"", b"x", b"\xff\xfe", b";;,=", b'"', b"*/*;q=x", b"DELETE", b"a" * 8000)
_NO_TAGS = (*_JUNK, b"7", b'w/"7"', b'"7" "8"', b'*, "7"', b'"7";', b",".join([b'"7"'] * 101))
_NO_HTTP_DATE = (*_JUNK, b"2026-03-01T09:00:00Z", b"Sun, 31 Feb 2026 09:00:00 GMT", b"1772355600")
_NO_KEY = (b"", b'"', b'""', b"\xff\xfe", b"\xc3\xa9", b'"a"b"', b'"a', b"a\tb", b"a" * 256)
_MALFORMED = {
    ("GET", "If-Match"): _NO_TAGS,
    ("PATCH", "If-Match"): _NO_TAGS,
    ("GET", "If-None-Match"): _NO_TAGS,
    ("PATCH", "If-None-Match"): _NO_TAGS,
    ("GET", "Accept-Datetime"): _NO_HTTP_DATE,
    ("PATCH", "Idempotency-Key"): _NO_KEY,
}
_WELL_FORMED = {
    "If-Match": b'"3", W/"9"',
    "If-None-Match": b'"4"',
    "Accept-Datetime": b"Thu, 01 Jan 2099 00:00:00 GMT",
    "Idempotency-Key": b'"a key"',
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", _NAMES)
def test_no_header_breaks_the_server_or_gets_around_its_rules(
    server: Server, admin: httpx.Client, path: str, name: str
) -> None:
    with server.client(None) as nobody:
        for value in _JUNK:
            headers: Any = {name: value}
            assert admin.get(path, headers=headers).status_code == 200
            assert admin.patch(path, json={}, headers=headers).status_code == 200
            assert nobody.get(path, headers=headers).status_code == 401


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("verb", "name"), _MALFORMED)
def test_a_header_that_is_read_and_means_nothing_is_refused(
    server: Server, admin: httpx.Client, path: str, verb: str, name: str
) -> None:
    body = msgspec.json.encode({"name": "Other"})
    with server.client(None) as nobody:
        for value in _MALFORMED[verb, name]:
            headers: Any = JSON | {name: value}
            answer = admin.request(verb, path, content=body, headers=headers)
            if name == "Accept-Datetime":
                assert answer.status_code == 400, value[:40]
            else:
                assert places(answer) == [["header", name]], value[:40]
            assert nobody.request(verb, path, content=body, headers=headers).status_code == 401


@pytest.mark.parametrize(("verb", "name"), _MALFORMED)
def test_a_header_that_means_something_is_no_obstacle(
    spare: httpx.Client, verb: str, name: str
) -> None:
    url = f"{ASSISTANTS}/{spare.post(ASSISTANTS, json={'name': 'Headers'}).json()['id']}"
    for number in (2, 3):
        spare.patch(url, json={"tts_limit": number})
    headers: Any = JSON | {name: _WELL_FORMED[name]}
    assert spare.request(verb, url, content=b'{"tts_limit":4}', headers=headers).is_success


@pytest.mark.parametrize(
    "value", [b"\xff", b"Bearer \xff", b"Bearer " + b"\xc3\xa9" * 20, b"Bearer " + b"a" * 60_000]
)
def test_no_authorization_breaks_the_server(server: Server, value: bytes) -> None:
    with server.client(None) as nobody:
        answer = nobody.get(ASSISTANTS, headers={"authorization": value})  # type: ignore[arg-type]  # bytes are what must be sent
    assert answer.status_code == 401
