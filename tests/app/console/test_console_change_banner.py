from __future__ import annotations

import re
from types import SimpleNamespace

import httpx
import pytest

from app.console.rendering import templates
from tests.conftest import Server
from tests.console import Browser, change

_BAR = re.compile(r'role="status" data-live="([^"]*)" data-version="(\d+)"></div>')
PAGES = ("", "/history", "/versions/1", "/compare", "/life", "/undo/2", "/rollback/1")


@pytest.fixture(autouse=True)
def past(at: str, editor: httpx.Client) -> None:
    """There is a change to undo."""
    change(editor, at, {"idle_timeout": 3}, "Patient")


def ask(browser: Browser, page: str) -> httpx.Response:
    """What the bar of a page asks first."""
    ((address, version),) = _BAR.findall(page)
    return browser.get(f"{address.replace('&amp;', '&')}&known={version}")


@pytest.mark.parametrize("below", PAGES)
def test_every_page_of_an_assistant_reports_the_next_change_and_no_earlier_one(
    operator: Browser, admin: httpx.Client, at: str, below: str
) -> None:
    page = operator.get(at + below).text
    quiet = ask(operator, page)
    assert (quiet.status_code, quiet.content) == (204, b"")
    change(admin, at, {"idle_timeout": 9}, "Slower")
    message = ask(operator, page)
    assert (message.status_code, "etag" in message.headers) == (200, False)  # a page has none
    for said in ("<b><bdi>admin key</bdi></b>", "<bdi>Slower</bdi>", f'href="{at}/versions/3"'):
        assert said in message.text
    assert ask(operator, operator.get(at + below).text).status_code == 204  # the control: reloaded


def test_a_page_without_an_assistant_has_no_banner(operator: Browser, at: str) -> None:
    for address in ("/", "/assistants/new", "/assistants/99999"):
        assert not _BAR.findall(operator.get(address).text)
    assert _BAR.findall(operator.get(at).text)  # the control


def test_the_page_after_an_own_change_shows_it_without_a_banner(operator: Browser, at: str) -> None:
    before = operator.get(at).text
    assert operator.submit(at, {"base_version": 2, "/idle_timeout": "8"}).status_code == 303
    assert ask(operator, operator.get(at).text).status_code == 204
    assert ask(operator, before).status_code == 200  # the control: the earlier page


def test_several_changes_are_counted_and_can_be_compared(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    page = operator.get(at).text
    for number in range(10, 13):
        change(admin, at, {"idle_timeout": number}, f"To {number}")
    message = ask(operator, page).text
    assert f'href="{at}/compare?from=2&amp;to=5">3 changes</a>' in message
    assert "<bdi>To 12</bdi>" in message
    assert "To 11" not in message


def test_markup_in_a_reason_is_text_in_the_banner(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    page = operator.get(at).text
    change(admin, at, {"idle_timeout": 9}, "<script>alert(1)</script>\u202e")
    message = ask(operator, page).text
    assert r"<bdi>&lt;script&gt;alert(1)&lt;/script&gt;\u202e</bdi>" in message
    assert "<script" not in message
    # The control: as the template would have it, were nothing escaped.
    last = admin.get(f"/api/v1{at}/versions/3").json()
    raw = templates.overlay(autoescape=False).get_template("live.html")
    reader = SimpleNamespace(may_edit=False)
    shown = raw.render(assistant={"id": 1}, last=last, since=0, visitor=reader)
    assert "<script>alert(1)" in shown


def test_the_banner_leads_an_editor_to_the_undo_of_the_change_and_no_viewer(
    operator: Browser, reader: Browser, admin: httpx.Client, at: str
) -> None:
    pages = [(visitor, visitor.get(at).text) for visitor in (operator, reader)]
    change(admin, at, {"idle_timeout": 9}, "Silent")
    texts = [ask(visitor, page).text for visitor, page in pages]
    assert [f'href="{at}/undo/3"' in text for text in texts] == [True, False]


def test_an_undo_by_another_is_reported_as_an_undo(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    page = operator.get(at).text
    assert admin.post(f"/api/v1{at}/undo", json={"version": 2}).is_success
    assert "(undid version 2)" in ask(operator, page).text


def test_a_deletion_and_then_a_restoration_are_reported(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    page = operator.get(at).text
    assert admin.delete(f"/api/v1{at}").is_success
    gone = ask(operator, page)
    assert gone.status_code == 404
    assert 'data-live-message="deleted"' in gone.text
    assert admin.post(f"/api/v1{at}/restore").is_success
    assert 'data-live-message="4"' in ask(operator, page).text


def test_the_banner_of_an_ended_session_leads_to_sign_in(
    server: Server, admin: httpx.Client, at: str
) -> None:
    made = admin.post("/api/v1/users/me/api-keys", json={"name": "short-lived"}).json()
    with Browser(server.url) as browser:
        browser.sign_in(made["key"])
        page = browser.get(at).text
        assert ask(browser, page).status_code == 204  # the control: it was good
        assert admin.delete(f"/api/v1/users/me/api-keys/{made['api_key']['id']}").is_success
        answer = ask(browser, page)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
    assert "You are signed out" in page


@pytest.mark.parametrize("known", ["-1", "x"])
def test_an_invalid_known_version_is_refused(operator: Browser, at: str, known: str) -> None:
    assert operator.get(f"{at}/live", params={"known": known}).status_code == 422
    assert operator.get(f"{at}/live").status_code == 200  # the control: without one
