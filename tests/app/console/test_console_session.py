"""Sessions: signing in and out, and the cookie."""

from __future__ import annotations

import asyncio
import html
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.accounts import sessions
from app.accounts.sessions import CODE_LIFETIME, LIFETIME, Codes, Sessions
from app.console.cookies import COOKIE, local
from app.main import create_app
from app.services import utc_now
from app.transactions.clock import TOLERANCE
from app.transactions.unit_of_work import UnitOfWork
from tests.app import stored
from tests.app.route_table import KEYS, PAGES, routes_of
from tests.conftest import Organization, Server, make_organizations, serving
from tests.console import Browser, field
from tests.databases import config_of, writing_engine

if TYPE_CHECKING:
    from pathlib import Path


_OPEN = frozenset(("/sign-in", "/sign-in/once", "/static/{name}"))


_GUARDED = [(verb, path) for verb, path in PAGES if path not in _OPEN]


_AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_a_valid_key_signs_in_and_leads_on_to_the_requested_page(
    browser: Browser, organization: Organization
) -> None:
    asked = browser.get("/assistants?search=front")
    assert (asked.status_code, asked.headers["location"]) == (
        303, "/sign-in?back=/assistants%3Fsearch%3Dfront",
    )  # fmt: skip
    form = browser.get(asked.headers["location"])
    answer = browser.post(
        "/sign-in", {"key": organization.viewer, "back": field(form.text, "back")}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/assistants?search=front")
    assert "viewer key" in browser.get("/").text


def test_the_cookie_is_sealed_and_for_this_site_alone(
    browser: Browser, organization: Organization
) -> None:
    answer = browser.sign_in(organization.viewer)
    said = answer.headers["set-cookie"]
    assert {part.strip().lower() for part in said.split(";")} >= {
        "httponly", "samesite=strict", "path=/", f"max-age={int(LIFETIME.total_seconds())}",
    }  # fmt: skip
    assert organization.viewer not in said
    assert organization.viewer not in browser.get("/").text


@pytest.mark.parametrize("host", ["localhost:abc", "localhost:99999", "[", "[::1", ""])
def test_an_invalid_host_breaks_nothing(
    server: Server, browser: Browser, organization: Organization, host: str
) -> None:
    sent = [(b"host", host.encode())]
    assert httpx.get(server.url, headers=sent).status_code == 303
    assert httpx.get(f"{server.url}/sign-in", headers=sent).status_code == 200
    browser.sign_in(organization.viewer)
    assert httpx.get(server.url, headers=sent, cookies=browser.client.cookies).status_code == 200


def test_the_cookie_is_secure_except_on_this_machine(
    server: Server, organization: Organization
) -> None:
    with Browser(server.url) as browser:
        for host, is_secure in (("localhost", False), ("console.example", True)):
            answer = browser.post("/sign-in", {"key": organization.viewer}, headers={"host": host})
            assert ("secure" in answer.headers["set-cookie"].lower()) == is_secure


@pytest.mark.parametrize(("verb", "path"), _GUARDED)
def test_no_page_shows_anything_without_a_session(browser: Browser, verb: str, path: str) -> None:
    filled = re.sub(r"\{\w+\}", "1", path)
    answer = browser.client.request(verb, filled)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


def test_there_are_pages_to_guard() -> None:
    assert ("POST", "/sign-out") in _GUARDED
    assert ("GET", "/") in _GUARDED


@pytest.mark.parametrize("key", ["", "bks_junk", "ключ", "x" * 5000])
def test_an_invalid_key_does_not_sign_in(browser: Browser, key: str) -> None:
    answer = browser.post("/sign-in", {"key": key})
    assert answer.status_code == 401
    assert "unknown" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_refused_sign_in_is_an_event_of_the_log(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    with serving(database, []) as running, Browser(running.url) as browser:
        with running.client(tenant.admin) as admin:
            made = admin.post(KEYS, json={"name": "gone"}).json()
            admin.delete(f"{KEYS}/{made['api_key']['id']}")
        assert browser.post("/sign-in", {"key": made["key"]}).status_code == 401
    (refused,) = (e for e in stored.events(database, 1) if e["type"] == "login_refused.v1")
    assert refused["key_id"] == made["api_key"]["id"]
    assert made["key"] not in str(refused)


def test_revoking_the_key_ends_the_session_at_its_next_request(
    browser: Browser, admin: httpx.Client
) -> None:
    made = admin.post(KEYS, json={"name": "short-lived"}).json()
    browser.sign_in(made["key"])
    assert browser.get("/").status_code == 200  # the control: it was good
    admin.delete(f"{KEYS}/{made['api_key']['id']}")
    answer = browser.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert COOKIE not in browser.client.cookies


def test_a_link_on_another_site_keeps_the_session(
    browser: Browser, organization: Organization
) -> None:
    browser.sign_in(organization.viewer)
    cookies = dict(browser.client.cookies)
    browser.client.cookies.clear()  # as SameSite=Strict has it
    headers = {"sec-fetch-site": "cross-site"}
    answer = browser.get("/assistants?search=%22front%22&sort=name", headers=headers)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    (address,) = re.findall(r'content="0; url=([^"]*)"', answer.text)
    assert html.unescape(address) == "/assistants?search=%22front%22&sort=name"
    browser.client.cookies.update(cookies)
    assert browser.get(html.unescape(address)).status_code == 200
    # The controls: there is no loop, and a cookie that has ended is removed.
    browser.client.cookies.clear()
    asked = browser.get("/", headers={"sec-fetch-site": "same-origin"})
    assert (asked.status_code, "set-cookie" in asked.headers) == (303, False)
    ended = browser.get("/", headers=headers | {"cookie": f"{COOKIE}=AAAA"})
    assert (ended.status_code, "set-cookie" in ended.headers) == (303, True)
    assert browser.client.post("/sign-out", headers=headers).status_code == 303


def test_signing_out_takes_the_cookie_away(browser: Browser, organization: Organization) -> None:
    browser.sign_in(organization.viewer)
    answer = browser.submit("/sign-out", {})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert COOKIE not in browser.client.cookies
    assert browser.get("/").status_code == 303


def opens(url: str, cookie: str) -> bool:
    return httpx.get(url, cookies={COOKIE: cookie}).status_code == 200


def test_a_copied_cookie_opens_nothing_after_sign_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)

    with (
        serving(database, []) as running,
        Browser(running.url) as browser,
        Browser(running.url) as other,
    ):
        browser.sign_in(tenant.viewer)
        other.sign_in(tenant.viewer)
        copies = browser.client.cookies[COOKIE], other.client.cookies[COOKIE]
        assert [opens(running.url, one) for one in copies] == [True, True]
        browser.submit("/sign-out", {})
        assert [opens(running.url, one) for one in copies] == [False, True]
    with serving(database, []) as running:  # another process, after a restart
        assert [opens(running.url, one) for one in copies] == [False, True]
        # The control: a server that does not ask opens it.
        monkeypatch.setattr(sessions, "is_session_ended", lambda *_: False)
        assert [opens(running.url, one) for one in copies] == [True, True]


def test_ended_sessions_are_kept_for_a_while_after_they_expired(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    make_organizations(database, 1)
    engine = writing_engine(database)
    digests = [bytes([number]) * 32 for number in range(3)]
    with engine.begin() as connection:
        for digest, now in zip(digests, (_AT, _AT, _AT + timedelta(days=31)), strict=True):
            for _ in range(2):  # twice is once
                sessions.end_session(
                    connection, 1, digest, now + LIFETIME, now - sessions.SESSIONS_KEPT
                )
            assert sessions.is_session_ended(connection, 1, digest)
        assert not sessions.is_session_ended(connection, 2, digests[2])
        assert [sessions.is_session_ended(connection, 1, one) for one in digests] == [
            False, False, True,
        ]  # fmt: skip
    engine.dispose()


@pytest.mark.parametrize("believes_all", [False, True], ids=["guarded", "control"])
def test_a_clock_that_was_ahead_for_a_while_opens_no_ended_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, believes_all: bool
) -> None:
    if believes_all:
        monkeypatch.setattr(UnitOfWork, "longer_ago", lambda unit, _, age: unit.clock() - age)
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    copied = ""
    for off in (timedelta(0), timedelta(days=60)):
        with (
            serving(database, [], lambda off=off: utc_now() + off) as running,  # type: ignore[misc]
            Browser(running.url) as browser,
        ):
            browser.sign_in(tenant.viewer)
            copied = copied or browser.client.cookies[COOKIE]
            token = field(browser.get("/").text, "form_token")
            assert browser.post("/sign-out", {"form_token": token}).status_code == 303
    with serving(database, []) as running:
        assert opens(running.url, copied) == believes_all


@pytest.mark.parametrize(
    "cookie", ["null", "", "AAAA", "!", "A" * 400, "bnVsbA==", "a,_associated_data_b", "é"]
)
def test_a_forged_cookie_is_no_session(server: Server, cookie: str) -> None:
    headers = [(b"cookie", f"{COOKIE}={cookie}".encode())]
    answer = httpx.get(f"{server.url}/", headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


def test_a_session_of_another_installation_is_not_accepted(
    server: Server, browser: Browser, organization: Organization, tmp_path: Path
) -> None:
    browser.sign_in(organization.viewer)
    other = tmp_path / "backstory.db"
    make_organizations(other, 1)
    cookie = browser.client.cookies[COOKIE]
    # The control: the server that sealed it opens it.
    assert httpx.get(server.url, cookies={COOKIE: cookie}).status_code == 200
    with serving(other, []) as running:
        assert httpx.get(running.url, cookies={COOKIE: cookie}).status_code == 303


@pytest.mark.parametrize(
    "address",
    ["//elsewhere.example", "/\\elsewhere.example", "https://elsewhere.example", "",
     "/\r\nx: y", "javascript:alert(1)"],
)  # fmt: skip
def test_signing_in_never_leads_to_another_site(address: str) -> None:
    assert local(address) == "/"
    assert local("/assistants?search=front") == "/assistants?search=front"


def test_a_code_signs_in_once(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    app: Any = create_app(config_of(database))
    codes: Codes = routes_of(app).state.codes
    code = codes.issue(tenant.admin)
    transport = httpx.ASGITransport(app)

    async def visit() -> None:
        async with (
            routes_of(app).lifespan(),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            first = await client.get("/sign-in/once", params={"code": code})
            assert first.status_code == 200
            assert 'content="0; url=/"' in first.text
            assert (await client.get("/")).status_code == 200
            client.cookies.clear()
            again = await client.get("/sign-in/once", params={"code": code})
            assert again.status_code == 401
            assert "used already" in again.text

    asyncio.run(visit())


def test_a_code_expires_after_ten_minutes() -> None:
    now = [_AT]
    codes = Codes(lambda: now[0])
    kept, late = codes.issue("one"), codes.issue("other")
    now[0] += CODE_LIFETIME - timedelta(seconds=1)
    assert codes.redeem(kept) == "one"
    now[0] += timedelta(seconds=1)
    assert codes.redeem(late) is None


def test_a_session_ends_after_twelve_hours_and_opens_under_an_older_master_key() -> None:
    now = [_AT]
    old, new = bytes(32), bytes(range(32))
    session = Sessions([old], lambda: now[0])
    sealed = session.seal("bks_key")
    rotated = Sessions([new, old], lambda: now[0])
    opened = rotated.unseal(sealed)
    assert opened is not None
    assert opened.key == "bks_key"
    assert Sessions([new], lambda: now[0]).unseal(sealed) is None  # the control
    now[0] += LIFETIME
    assert rotated.unseal(sealed) is None


def test_a_session_from_a_clock_that_was_ahead_ends_when_the_clock_is_set_back() -> None:
    now = [_AT]
    sessions = Sessions([bytes(32)], lambda: now[0])
    sealed = sessions.seal("bks_key")
    now[0] -= TOLERANCE
    assert sessions.unseal(sealed) is not None  # the control: clocks differ as much anyway
    now[0] -= timedelta(seconds=1)
    assert sessions.unseal(sealed) is None
