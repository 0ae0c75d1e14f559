"""Reads that take too long, that are too many, or that nobody waits for any more."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.api import connected
from app.api.routes import audit
from app.audit.search import log_page
from tests.app.storage.test_read_pool import ENDLESS, LONG, one_statement
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations, serving
from tests.console import Browser
from tests.no_tls import NO_TLS

LOGS = "/api/v1/audit/logs"
_MOST = 1 + 32  # reads of an organization: its share, and those that wait


@pytest.fixture
def organizations(tmp_path: Path) -> list[Organization]:
    return make_organizations(tmp_path / "backstory.db", 2)


@pytest.fixture
def server(tmp_path: Path, organizations: list[Organization]) -> Iterator[Server]:
    """A server of the test's own, which a read may keep for a second."""
    with serving(tmp_path / "backstory.db", organizations, read_timeout="1s") as running:
        yield running


class Slow:
    """A search of the log with an endless statement before it, and how that ended."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.begun, self.ended = threading.Event(), threading.Event()
        self.is_stopped = True

    def read(self, connection: sa.Connection, *args: Any, **kwargs: Any) -> Any:
        self.begun.set()
        try:
            one_statement(connection, self.count)
            self.is_stopped = False
        finally:
            self.ended.set()
        return log_page(connection, *args, **kwargs)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    search = Slow(ENDLESS)
    monkeypatch.setattr(audit, "log_page", search.read)
    return search


def test_a_search_that_takes_too_long_is_told_how_to_ask_for_less(
    server: Server, organizations: list[Organization], slow: Slow
) -> None:
    with server.client(organizations[0].admin) as admin, capture_logs() as lines:
        answer = admin.get(LOGS, params={"resource_id": "4711", "limit": 9})
        assert admin.get(ASSISTANTS).status_code == 200
    assert (answer.status_code, answer.json()) == (
        503,
        {
            "type": "urn:backstory:problem:read-too-long",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "The read of /api/v1/audit/logs took longer than 1 s and was stopped."
            " Narrow it with start_date, end_date, limit",
        },
    )
    assert slow.ended.wait(60)
    (line,) = (line for line in lines if line["event"] == "read_too_long")
    assert line == {
        "event": "read_too_long",
        "log_level": "warning",
        "route": f"GET {LOGS}",
        "organization_id": organizations[0].id,
        "seconds": 1.0,
    }


@pytest.fixture
def patient(tmp_path: Path, organizations: list[Organization]) -> Iterator[Server]:
    """A server that stops a read only after an hour."""
    with serving(tmp_path / "backstory.db", organizations, read_timeout="1h") as running:
        yield running


def test_a_flood_of_reads_of_one_organization_is_429_and_no_other_notices(
    patient: Server, organizations: list[Organization], monkeypatch: pytest.MonkeyPatch
) -> None:
    flooding, other = organizations
    may_end = threading.Event()

    def search(connection: sa.Connection, organization_id: int, *args: Any, **kwargs: Any) -> Any:
        assert organization_id != flooding.id or may_end.wait(60)
        return log_page(connection, organization_id, *args, **kwargs)

    async def story() -> tuple[list[httpx.Response], list[httpx.Response]]:
        async with client_of(patient, flooding) as many, client_of(patient, other) as admin:
            reads = [asyncio.create_task(many.get(LOGS)) for _ in range(_MOST + 3)]
            refused = [await read for read in [*islice(asyncio.as_completed(reads), 3)]]
            assert (await admin.get(LOGS)).status_code == 200
            may_end.set()
            return refused, await asyncio.gather(*reads)

    monkeypatch.setattr(audit, "log_page", search)
    refused, answers = asyncio.run(story())
    for answer in refused:
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.json()["type"] == "urn:backstory:problem:too-many-reads"
        policy = f'"waiting-reads";q={_MOST - 1};qu="concurrent-requests"'
        assert answer.headers["ratelimit-policy"] == policy
        assert answer.headers["ratelimit"] == '"waiting-reads";a=0'
    assert Counter(answer.status_code for answer in answers) == {200: _MOST, 429: 3}


def client_of(server: Server, organization: Organization) -> httpx.AsyncClient:
    """A client with as many connections as it has requests."""
    return httpx.AsyncClient(
        base_url=server.url,
        headers={"authorization": f"Bearer {organization.admin}"},
        limits=httpx.Limits(max_connections=None),
        timeout=60,
        verify=NO_TLS,
    )


def _leave(server: Server, head: str, wait: Callable[[], object]) -> None:
    """Send a request, and leave while it is being answered."""
    address = urlsplit(server.url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 0)) as client:
        client.sendall(f"{head}\r\nhost: here\r\n\r\n".encode())
        wait()


@pytest.mark.parametrize("is_watched", [True, False])
def test_the_read_of_a_client_that_left_is_stopped(
    patient: Server,
    organizations: list[Organization],
    slow: Slow,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_watched: bool,
) -> None:
    if not is_watched:  # the control
        monkeypatch.setattr(connected, "_WATCHED_AFTER", 3600)
        slow.count = 4 * LONG
    key = organizations[0].admin
    _leave(patient, f"GET {LOGS} HTTP/1.1\r\nauthorization: Bearer {key}", slow.begun.wait)
    assert slow.ended.wait(60)
    assert slow.is_stopped is is_watched


def test_the_read_of_a_page_whose_visitor_left_is_stopped(
    patient: Server, organizations: list[Organization], slow: Slow
) -> None:
    with Browser(patient.url) as browser:
        browser.sign_in(organizations[0].admin)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
    _leave(patient, f"GET /audit HTTP/1.1\r\ncookie: {cookie}", slow.begun.wait)
    assert slow.ended.wait(60)
    assert slow.is_stopped
