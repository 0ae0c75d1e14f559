"""An organization has so many exports at a time, until one ends or its client leaves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from app import pages
from tests.app import stored
from tests.app.limited import Application, served
from tests.conftest import ASSISTANTS, Organization, make_organizations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_AUDIT = "/api/v1/audit/export"
_LISTING = f"{ASSISTANTS}/export"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported") / "backstory.db"


@pytest.fixture(scope="module")
def waiting(database: Path) -> list[Organization]:
    return make_organizations(database, 8)


@pytest.fixture
def tenant(waiting: list[Organization]) -> Organization:
    return waiting.pop()


class Reader:
    """A client that reads the head of an export, and the rest once ``reads_on`` is set."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.reads_on = asyncio.Event()
        self.leaves = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            return
        self.has_begun.set()
        await self.reads_on.wait()
        if not message["more_body"]:
            self.leaves.set()


@asynccontextmanager
async def exporting(
    application: Application, path: str, *headers: tuple[bytes, bytes]
) -> AsyncIterator[tuple[Reader, asyncio.Task[None]]]:
    """An export whose client does not read on."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "headers": [(b"host", b"here"), *headers],
        "client": ("192.0.2.1", 1), "server": ("here", 80), "state": {},
    }  # fmt: skip
    reader = Reader()
    task = asyncio.create_task(application.app(scope, reader.receive, reader.send))
    begun = asyncio.create_task(reader.has_begun.wait())
    await asyncio.wait((begun, task), return_when=asyncio.FIRST_COMPLETED)
    assert reader.has_begun.is_set()
    try:
        yield reader, task
    finally:
        reader.reads_on.set()
        await task


def with_key(token: str) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {token}".encode()


@pytest.mark.parametrize(
    ("path", "ends"), [(_AUDIT, "reads_on"), (_AUDIT, "leaves"), (_LISTING, "reads_on")]
)
def test_one_more_is_refused_until_one_ends_or_its_client_leaves(
    database: Path, tenant: Organization, waiting: list[Organization], path: str, ends: str
) -> None:
    async def story(application: Application) -> None:
        async with exporting(application, path, with_key(tenant.admin)) as (reader, task):
            for other in (_AUDIT, _LISTING):  # they count together
                assert await application.statuses(tenant.admin, 1, path=other) == [429]
            assert await application.statuses(tenant.admin, 1) == [200]
            assert await application.statuses(waiting[0].admin, 1, path=path) == [200]
            getattr(reader, ends).set()
            await task
            assert await application.statuses(tenant.admin, 3, path=path) == [200] * 3

    served(database, story, export_limit=1)


def test_as_many_as_the_limit_run_at_a_time(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        key = with_key(tenant.admin)
        async with application.client(tenant.admin) as admin:
            await admin.post(ASSISTANTS, json={"name": "Front desk"})
        async with (
            exporting(application, _AUDIT, key),
            exporting(application, _AUDIT, key),
            exporting(application, _AUDIT, key),
            application.client(tenant.admin) as admin,
        ):
            assert (await admin.get(_AUDIT)).status_code == 200
            async with exporting(application, _AUDIT, key):
                answer = await admin.get(_AUDIT)
            assert answer.status_code == 429
            assert answer.headers["retry-after"] == "5"
            assert answer.headers["ratelimit-policy"] == '"exports";q=4;qu="concurrent-requests"'
            assert answer.headers["ratelimit"] == '"exports";a=0'
            assert answer.json()["detail"] == (
                "Exports of an organization are limited to 4 at a time; try again in 5 s"
            )

    served(database, story, export_limit=4)
    # What is refused is no export: it is not in the log.
    types = [event["type"] for event in stored.events(database, tenant.id)]
    assert types.count("audit_exported.v1") == 5


@pytest.mark.parametrize("most_bytes", [1, pages.MOST_BYTES])
def test_a_long_list_counts_while_it_is_sent_and_a_short_one_does_not(
    database: Path, tenant: Organization, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", most_bytes)
    is_long = most_bytes == 1

    async def story(application: Application) -> None:
        async with application.client(tenant.admin) as admin:
            await admin.post(ASSISTANTS, json={"name": "Front desk"})
            tag = (await admin.get(ASSISTANTS)).headers["etag"]
            async with exporting(application, ASSISTANTS, with_key(tenant.admin)) as (reader, _):
                status = (await admin.get(_LISTING)).status_code
                assert status == (429 if is_long else 200)
                assert (await admin.get(ASSISTANTS)).status_code == status
                # Whoever has the list gets no export, and is not refused.
                known = await admin.get(ASSISTANTS, headers={"if-none-match": tag})
                assert known.status_code == 304
                reader.leaves.set()
            assert (await admin.get(_LISTING)).status_code == 200

    served(database, story, export_limit=1)


def test_an_export_of_the_console_counts(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        form = {"content-type": "application/x-www-form-urlencoded"}
        async with application.client() as browser:
            key = urlencode({"key": tenant.admin})
            await browser.post("/sign-in", content=key, headers=form)
            cookie = "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar).encode()
            async with exporting(application, "/audit/export", (b"cookie", cookie)):
                assert await application.statuses(tenant.admin, 1, path=_AUDIT) == [429]
                page = await browser.get("/audit/export")
                assert page.status_code == 429
                assert page.headers["retry-after"] == "5"
            assert (await browser.get("/audit/export")).status_code == 200

    served(database, story, export_limit=1)


def test_a_refused_or_failed_export_leaves_its_place(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        for _ in range(5):
            assert await application.statuses(tenant.viewer, 1, path=_AUDIT) == [403]
            wrong = f"{_AUDIT}?format=x"
            assert await application.statuses(tenant.admin, 1, path=wrong) == [422]
            async with application.client(tenant.admin) as admin:
                assert (await admin.head(_AUDIT)).status_code == 200
        assert await application.statuses(tenant.admin, 1, path=_AUDIT) == [200]

    served(database, story, export_limit=1)
