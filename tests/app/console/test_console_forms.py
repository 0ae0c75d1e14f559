"""Forms: only those of the session and this site are accepted; and long ones."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from app.console import forms
from tests.app import stored
from tests.app.route_table import PAGES
from tests.conftest import ASSISTANTS, Organization, Server
from tests.console import Browser, fill

_WRITING = [(verb, path) for verb, path in PAGES if verb == "POST" and path != "/sign-in"]


@pytest.mark.usefixtures("assistant")
@pytest.mark.parametrize(("verb", "path"), _WRITING)
def test_every_form_must_carry_the_sessions_token_and_come_from_this_site(
    server: Server, organization: Organization, administrator: Browser, verb: str, path: str
) -> None:
    assert verb == "POST"
    before = stored.rows(server.database, organization.id)
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert administrator.post(fill(path), {"name": "x"}).status_code == 403
    assert administrator.post(fill(path), {"name": "x", "form_token": "wrong"}).status_code == 403
    assert administrator.submit(fill(path), {"name": "x"}, elsewhere).status_code == 403
    assert stored.rows(server.database, organization.id) == before
    assert administrator.submit(fill(path), {"name": "x"}).status_code != 403  # the control


@pytest.mark.parametrize(("size", "where"), [(100, "loop"), (100_000, "thread")])
def test_a_long_form_is_read_in_a_thread(
    operator: Browser, monkeypatch: pytest.MonkeyPatch, size: int, where: str
) -> None:
    readers = []

    def read(*arguments: Any, **options: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            readers.append("thread")
        else:
            readers.append("loop")
        return parse_qsl(*arguments, **options)

    monkeypatch.setattr(forms, "parse_qsl", read)
    operator.submit("/assistants/new", {"name": "x" * size})
    assert readers == [where]


def test_a_prompt_as_long_as_the_api_takes_is_saved_and_shown(
    operator: Browser, viewer: httpx.Client, assistant: dict[str, Any]
) -> None:
    at = f"/assistants/{assistant['id']}"
    prompt = "Здравствуйте, чем могу помочь? " * 18_000  # each letter takes six bytes in a form
    form = {"base_version": 1, "/llm_settings/system_prompt": prompt}
    answer = operator.submit(at, form)
    assert answer.status_code in (200, 303)
    found = viewer.get(f"{ASSISTANTS}/{assistant['id']}").json()
    assert found["llm_settings"]["system_prompt"] == prompt
    for page in (at, f"{at}/history", f"{at}/versions/2", f"{at}/compare", f"{at}/undo/2"):
        assert operator.get(page).status_code == 200
    too_long = operator.submit(at, form | {"/llm_settings/system_prompt": prompt * 2})
    assert too_long.status_code == 413
    assert "<h1>" in too_long.text


@pytest.mark.parametrize("token", [None, "", "wrong", "ключ"])
def test_a_form_without_the_sessions_token_is_refused(
    browser: Browser, organization: Organization, token: str | None
) -> None:
    browser.sign_in(organization.viewer)
    fields = {} if token is None else {"form_token": token}
    assert browser.post("/sign-out", fields).status_code == 403
    assert browser.get("/").status_code == 200
    # The control: with the token it is taken.
    assert browser.submit("/sign-out", {}).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
     {"origin": "https://elsewhere.example"}],
)  # fmt: skip
def test_a_form_of_another_site_is_refused(
    browser: Browser, organization: Organization, headers: dict[str, str]
) -> None:
    fields = {"key": organization.viewer}
    assert browser.post("/sign-in", fields, headers=headers).status_code == 403
    own = {"sec-fetch-site": "same-origin", "origin": "null"}  # as browsers send without referrer
    assert browser.post("/sign-in", fields, headers=own).status_code == 303
    assert browser.submit("/sign-out", {}, headers=headers).status_code == 403
    assert browser.submit("/sign-out", {}, headers=own).status_code == 303


@pytest.mark.parametrize(
    "body", [b"key=%ff", b"\xff", b"&".join([b"a=1"] * 3000)], ids=["utf-8", "ascii", "many"]
)
def test_an_unreadable_form_shows_an_error(browser: Browser, body: bytes) -> None:
    answer = browser.client.post(
        "/sign-in", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 422
    assert "Input should be a form" in answer.text


def test_a_form_that_is_too_long_shows_an_error(browser: Browser) -> None:
    answer = browser.post("/sign-in", {"key": "x" * 5_000_000})
    assert answer.status_code == 413
    assert "<h1>" in answer.text


def test_a_form_without_a_session_must_be_short(browser: Browser) -> None:
    assert browser.post("/sign-in", {"key": "x" * 17_000}).status_code == 413
    assert browser.post("/sign-in", {"key": "x" * 16_000}).status_code == 401  # the control
