"""Failed logins are limited by address, before a key is looked up; good keys go on working."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from app.accounts import tokens
from app.accounts.login_limit import source_of
from tests.app import stored
from tests.app.limited import HERE, Application, served
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.console import field

if TYPE_CHECKING:
    from pathlib import Path

_KEYS = "/api/v1/users/me/api-keys"
_ELSEWHERE = "198.51.100.7"
_LOW: dict[str, Any] = {"failed_login_limit": "3/m"}  # six at once
_FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guessed") / "backstory.db"


@pytest.fixture(scope="module")
def waiting(database: Path) -> list[Organization]:
    return make_organizations(database, 12)


@pytest.fixture
def tenant(waiting: list[Organization]) -> Organization:
    return waiting.pop()


async def guess(application: Application, tenant: Organization, times: int, **at: Any) -> list[int]:
    """The statuses of requests with keys of the right form that do not exist."""
    found = []
    for _ in range(times):
        found += await application.statuses(tokens.make_token(tenant.id), 1, **at)
    return found


def test_an_address_that_guesses_is_refused_before_a_key_is_looked_up(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        with stored.statements() as seen:
            assert await guess(application, tenant, 6) == [401] * 6
        assert [s.table for s in seen].count("api_keys") == 6  # the control
        with stored.statements() as seen:
            assert await guess(application, tenant, 30) == [429] * 30
        assert "api_keys" not in [s.table for s in seen]
        application.seconds.now += 20
        assert await guess(application, tenant, 2) == [401, 429]

    served(database, story, **_LOW)


def test_without_the_limit_every_guess_is_looked_up(database: Path, tenant: Organization) -> None:
    """The control of the test above."""

    async def story(application: Application) -> None:
        assert await guess(application, tenant, 30) == [401] * 30

    served(database, story, failed_login_limit="off")


def test_a_refused_guess_says_when_to_try_again(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        await guess(application, tenant, 6)
        async with application.client(tokens.make_token(tenant.id)) as client:
            answer = await client.get(f"{ASSISTANTS}/1")
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "20"
        assert answer.headers["ratelimit-policy"] == '"failed-logins";q=3;w=60'
        assert answer.headers["ratelimit"] == '"failed-logins";a=0;w=20'
        assert answer.json()["policy"] == "failed-logins"
        assert "limited to 3 a minute; try again in 20 s" in answer.json()["detail"]

    served(database, story, **_LOW)


def test_a_good_key_goes_on_working_beside_a_flood_from_its_address(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        assert await application.statuses(tenant.editor, 1) == [200]
        for _ in range(5):
            assert 429 in await guess(application, tenant, 9)
            assert await application.statuses(tenant.editor, 3) == [200] * 3

    served(database, story, **_LOW)


def test_a_good_key_that_is_new_to_the_process_waits_for_a_token_of_a_flooded_address(
    database: Path, tenant: Organization
) -> None:
    """What the limit costs: until the key is looked up, nobody knows that it is good."""

    async def story(application: Application) -> None:
        await guess(application, tenant, 9)
        assert await application.statuses(tenant.viewer, 1) == [429]
        assert await application.statuses(tenant.viewer, 1, host=_ELSEWHERE) == [200]
        assert await application.statuses(tenant.viewer, 1) == [200]  # now it is known
        assert await application.statuses(tenant.admin, 1) == [429]
        application.seconds.now += 20
        assert await application.statuses(tenant.admin, 5) == [200] * 5

    served(database, story, **_LOW)


def test_a_key_that_was_revoked_is_refused_like_any_other(
    database: Path, tenant: Organization
) -> None:
    async def story(application: Application) -> None:
        async with application.client(tenant.admin) as admin:
            made = (await admin.post(_KEYS, json={"name": "Leaked"})).json()
            assert await application.statuses(made["key"], 2) == [200] * 2
            await admin.delete(f"{_KEYS}/{made['api_key']['id']}")
        assert await application.statuses(made["key"], 9) == [401] * 6 + [429] * 3

    served(database, story, **_LOW)


def test_another_address_is_not_refused(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        assert 429 in await guess(application, tenant, 9)
        assert await guess(application, tenant, 6, host=_ELSEWHERE) == [401] * 6
        # Clients whose address is unknown count together.
        assert await guess(application, tenant, 9, host=None) == [401] * 6 + [429] * 3
        assert await guess(application, tenant, 1, host="unknown") == [429]

    served(database, story, **_LOW)


def test_a_request_without_a_key_is_no_failed_login(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        assert await application.statuses(None, 20) == [401] * 20
        assert await application.statuses("not-a-key", 8) == [401] * 6 + [429] * 2
        assert await application.statuses(None, 2) == [401] * 2
        for path in ("/health", "/ready"):
            assert await guess(application, tenant, 3, path=path) == [200] * 3

    served(database, story, **_LOW)


def test_signing_in_to_the_console_counts(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        async with application.client() as browser:

            async def sign_in(key: str) -> Any:
                form = urlencode({"key": key})
                return await browser.post("/sign-in", content=form, headers=_FORM)

            for _ in range(6):
                assert (await sign_in(tokens.make_token(tenant.id))).status_code == 401
            page = await sign_in(tokens.make_token(tenant.id))
            assert page.status_code == 429
            assert page.headers["retry-after"] == "20"
            assert "try again in 20 s" in page.text
            assert await guess(application, tenant, 1) == [429]
            application.seconds.now += 60
            assert (await sign_in(tenant.editor)).status_code == 303
            assert await guess(application, tenant, 9) == [401] * 3 + [429] * 6
            home = await browser.get("/")  # a session goes on, as its key does
            assert home.status_code == 200
            assert field(home.text, "form_token")

    served(database, story, **_LOW)


def test_what_was_refused_unseen_is_not_in_the_log(database: Path, tenant: Organization) -> None:
    async def story(application: Application) -> None:
        await guess(application, tenant, 500)

    served(database, story, failed_login_limit="12/m")
    found = [e for e in stored.events(database, tenant.id) if e["type"] == "login_refused.v1"]
    assert len(found) + sum(event["unrecorded"] for event in found) == 24


@pytest.mark.parametrize(
    ("host", "source"),
    [
        (HERE, HERE),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:0DB8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", HERE),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", ""),
        ("testclient", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_counts_as_itself_or_as_its_network_of_64_bits(
    host: str | None, source: str
) -> None:
    assert source_of(host) == source
