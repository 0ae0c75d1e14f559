"""Requests beyond the limits of a key and of its organization are refused, and say until when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.app.limited import Application, served
from tests.conftest import ASSISTANTS, Organization, make_organizations

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

_POLICY = "/api/v1/policy"
# A key has ten requests at once, its organization 16.
_LOW: dict[str, Any] = {"rate_limit": "5/s", "organization_rate_limit": "8/s"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limited") / "backstory.db"


@pytest.fixture(scope="module")
def waiting(database: Path) -> list[Organization]:
    return make_organizations(database, 16)


@pytest.fixture
def tenant(waiting: list[Organization]) -> Organization:
    return waiting.pop()


def test_a_key_beyond_its_limit_is_refused_until_it_has_a_token(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        assert await application.statuses(tenant.editor, 12) == [200] * 10 + [429] * 2
        application.seconds.now += 0.2
        assert await application.statuses(tenant.editor, 2) == [200, 429]
        application.seconds.now += 60
        assert await application.statuses(tenant.editor, 12) == [200] * 10 + [429] * 2

    served(database, story, **_LOW)


@pytest.mark.parametrize("delay", [0, 0.2])
def test_a_client_that_tries_again_at_once_waits_and_others_do_not(
    database: Path, waiting: list[Organization], delay: float
) -> None:
    hasty, other = waiting.pop(), waiting.pop()
    order: list[str] = []

    async def read(application: Application, key: str) -> None:
        order.append(f"{key == other.editor} {(await application.statuses(key, 1))[0]}")

    async def story(application: Application) -> None:
        await application.statuses(hasty.editor, 10)
        await asyncio.gather(read(application, hasty.editor), read(application, other.editor))
        # Without the delay, the control, the refusal comes first.
        assert order == (["True 200", "False 429"] if delay else ["False 429", "True 200"])

    served(database, story, delay, **_LOW)


def test_without_a_limit_nothing_is_refused(database: Path, tenant: Organization) -> None:
    """The control of the test above."""

    async def story(application: Application) -> None:
        assert await application.statuses(tenant.editor, 30) == [200] * 30

    served(database, story, rate_limit="off", organization_rate_limit="0")


def test_a_refusal_says_which_limit_and_when_to_try_again(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        async with application.client(tenant.editor) as client:
            for _ in range(2):
                assert (await client.get(_POLICY)).status_code == 200
            answer = await client.get(_POLICY, headers={"x-request-id": "mine"})
            assert answer.status_code == 429
            assert answer.headers["retry-after"] == "60"
            assert answer.headers["ratelimit-policy"] == '"key";q=1;w=60'
            assert answer.headers["ratelimit"] == '"key";a=0;w=60'
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["cache-control"] == "private, no-cache"
            assert answer.headers["x-request-id"] == "mine"
            assert answer.json() == {
                "type": "urn:backstory:problem:rate-limited",
                "title": "Too Many Requests",
                "status": 429,
                "detail": "Requests of an API key are limited to 1 a minute; try again in 60 s",
                "policy": "key",
            }
            head = await client.head(_POLICY)
            assert (head.status_code, head.content) == (429, b"")
            assert head.headers["retry-after"] == "60"

    served(database, story, rate_limit="1/m")


def test_a_refused_request_changes_nothing_whatever_it_is(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        async with application.client(tenant.admin) as client:
            assert (await client.post(ASSISTANTS, json={"name": "One"})).status_code == 201
            await client.get(_POLICY)
            for verb in ("GET", "POST", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
                for path in (f"{ASSISTANTS}/1", ASSISTANTS, "/schema", "/nowhere"):
                    answer = await client.request(verb, path, json={"name": "Two"})
                    assert answer.status_code == 429, (verb, path)
            application.seconds.now += 120
            assert (await client.get(f"{ASSISTANTS}/1")).json()["name"] == "One"
            assert (await client.get(f"{ASSISTANTS}/count")).json() == {"count": 1}

    served(database, story, rate_limit="1/m")


def test_the_other_keys_of_an_organization_share_its_limit(
    database: Path, tenant: Organization, waiting: list[Organization]
) -> None:
    async def story(application: Application) -> None:
        # What the editor is refused takes nothing from the others.
        assert (await application.statuses(tenant.editor, 99)).count(200) == 10
        assert (await application.statuses(tenant.admin, 9)).count(200) == 6
        async with application.client(tenant.viewer) as client:
            answer = await client.get(_POLICY)
        assert answer.headers["ratelimit-policy"] == '"organization";q=8;w=1'
        assert answer.json()["policy"] == "organization"
        assert await application.statuses(waiting[0].viewer, 10) == [200] * 10

    served(database, story, **_LOW)


def test_health_and_readiness_are_never_refused_nor_counted(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        for path in ("/health", "/ready"):
            assert await application.statuses(tenant.editor, 20, path=path) == [200] * 20
        assert (await application.statuses(tenant.editor, 12)).count(200) == 10
        for path in ("/health", "/ready"):
            assert await application.statuses(tenant.editor, 3, path=path) == [200] * 3

    served(database, story, **_LOW)


def test_without_a_key_nothing_is_counted(database: Path, waiting: list[Organization]) -> None:
    assert waiting

    async def story(application: Application) -> None:
        assert await application.statuses(None, 30) == [401] * 30
        public = f"{ASSISTANTS}/providers"
        assert await application.statuses(None, 30, path=public) == [200] * 30

    served(database, story, **_LOW)


async def _sign_in(client: httpx.AsyncClient, key: str) -> httpx.Response:
    form = {"content-type": "application/x-www-form-urlencoded"}
    return await client.post("/sign-in", content=urlencode({"key": key}), headers=form)


def test_pages_count_as_requests_of_their_sessions_key(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        async with application.client() as browser:
            await _sign_in(browser, tenant.editor)
            shown = 0
            while (page := await browser.get("/")).status_code == 200:
                shown += 1
            # A page calls the API, and that counts, too; but it is shown whole or not at all.
            assert 0 < shown < 10
            assert page.status_code == 429
            assert page.headers["content-type"].startswith("text/html")
            assert page.headers["retry-after"] == "1"
            assert "Requests of an API key are limited to 5 a second; try again in 1 s" in page.text
            assert await application.statuses(tenant.editor, 1) == [429]
            application.seconds.now += 60
            assert (await browser.get("/")).status_code == 200

    served(database, story, **_LOW)


def test_a_page_that_is_accepted_is_shown_whole(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        async with application.client() as browser:
            await _sign_in(browser, tenant.admin)
            await application.statuses(tenant.admin, 9)
            assert (await browser.get("/audit")).status_code == 200  # with the last token
            assert (await browser.get("/audit")).status_code == 429

    served(database, story, **_LOW)
