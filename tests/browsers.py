"""A real browser for the console: Debian's Chromium, driven by Playwright.

Tests of all pages go through the table of pages. Add a line to it for a new page.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import httpx
import pytest
from msgspec import UNSET, Meta, structs
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from events import shape
from events.shape import FreeForm, Listing, Mapping, Record, Scalar, Shape
from tests.conftest import ASSISTANTS, Organization, Server

NEEDED = "BACKSTORY_TEST_BROWSER"  # set in CI, where a missing browser is an error
_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
)
_SECONDS = 30  # before a step times out: other tests keep the machine busy
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")

TEMPERATURE = "/llm_settings/temperature"
_OPEN = """path => {
  const control = document.querySelector(`[name="${path}"]:not([type=hidden])`);
  control?.closest("details.group")?.setAttribute("open", "");
  if (control?.hidden) control.parentElement.querySelector("[data-toggle]")?.click();
}"""


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser; without Chromium the test is skipped, or fails where a browser is needed."""
    executable = shutil.which("chromium")
    if executable is None:
        if NEEDED in os.environ:
            pytest.fail(f"Chromium is missing, and {NEEDED} is set")
        pytest.skip("Chromium is missing: apt-get install chromium")
    expect.set_options(timeout=_SECONDS * 1000)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Browser, url: str, key: str | None, **options: Any) -> Iterator[Page]:
    """A page in a new window, signed in with a key; addresses may be relative."""
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(_SECONDS * 1000)
    try:
        if key is not None:
            sign_in(context, key)
        yield context.new_page()
    finally:
        context.close()


def sign_in(context: BrowserContext, key: str) -> None:
    """Sign in as the form does, without opening a page."""
    answer = context.request.post("/sign-in", form={"key": key}, max_redirects=0)
    assert answer.status == 303


# -- the pages


def _conflict(page: Page) -> None:
    """Save a setting that was changed meanwhile."""
    page.goto("/assistants/1")
    now = control(page, TEMPERATURE).input_value()
    _meanwhile(page, TEMPERATURE, "0.13" if now == "0.11" else "0.11")
    control(page, TEMPERATURE).fill("0.12")
    save(page, TEMPERATURE)
    page.get_by_role("heading", name="Conflicting changes").wait_for()


def _meanwhile(page: Page, path: str, text: str) -> None:
    """Save a setting as another window of the session would, while a page shows it."""
    form = page.locator("form", has=control(page, path))
    names = ("form_token", "base_version")
    kept = {name: form.locator(f'[name="{name}"]').input_value() for name in names}
    address = form.get_attribute("action") or ""
    answer = page.context.request.post(address, form={**kept, path: text}, max_redirects=0)
    assert answer.status == 303


def _warned(page: Page) -> None:
    """Save a value that the policy warns of."""
    page.goto("/assistants/1")
    path = "/tools_settings/transfer_call/transfer_numbers"
    version = page.locator('[name="base_version"]').first.input_value()
    control(page, path).fill(f"+1415555{version:0>4}")
    save(page, path)
    page.get_by_role("heading", name="Saved as version").wait_for()


def _refused(page: Page) -> None:
    """Save a value that the API refuses."""
    page.goto("/assistants/1")
    control(page, "/webhook_headers").fill("{")
    save(page, "/webhook_headers")
    page.get_by_role("alert").wait_for()


def _made(page: Page) -> None:
    """Create a key, which is shown once."""
    page.goto("/keys")
    page.get_by_label("Name", exact=True).fill("Runtime")
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("status").get_by_text("created. Copy it now").wait_for()


def _change_set(page: Page) -> None:
    """The newest change set."""
    page.goto("/change-sets")
    page.locator(".timeline a").first.click()
    page.get_by_role("heading", name="Change set").wait_for()


def _change_set_plan(page: Page) -> None:
    """What taking the newest change set back would change."""
    _change_set(page)
    page.get_by_role("link", name="Take back").click()
    page.get_by_role("heading", name="Take back").first.wait_for()


def _many(page: Page) -> None:
    """Two assistants are selected, and two settings picked."""
    page.goto("/assistants?sort=name")
    for box in page.locator("[name=assistant]").all():
        box.check()
    page.get_by_role("button", name="Change settings").click()
    for name in ("Speech › Speed", "Tools › Transfer call › Transfer numbers"):  # noqa: RUF001
        page.locator("#setting").fill(name)
        page.get_by_role("button", name="Add setting").click()
        page.get_by_role("heading", name=name).wait_for()


def _many_plan(page: Page) -> None:
    """The plan of a change of two assistants."""
    _many(page)
    page.locator('[name="/tts_settings/speed"]').fill("1.1")
    page.get_by_role("button", name="Preview changes").click()
    page.get_by_role("heading", name="will change").wait_for()


Steps = Callable[[Page], None]
# The name of each page, with its address or the steps that lead to it.
PAGES: dict[str, str | Steps] = {
    "sign in": "/sign-in",
    "home": "/",
    "search": "/search?q=Front",
    "search, one kind": "/search?q=a&kind=settings",
    "search, nothing found": "/search?q=no-such-text",
    "assistants": "/assistants",
    "assistants, none found": "/assistants?search=no-such-name&status=active&sort=name",
    "assistants, deleted": "/assistants?status=deleted",
    "change sets": "/change-sets",
    "change set": _change_set,
    "take back a change set": _change_set_plan,
    "many assistants": _many,
    "plan for many assistants": _many_plan,
    "two assistants": "/assistants/compare?left=1&right=3",
    "copying": "/assistants/copy?source=1&setting=/tts_settings/speed",
    "new assistant": "/assistants/new",
    "assistant": "/assistants/1",
    "history": "/assistants/1/history",
    "history, filtered": "/assistants/1/history?path=/llm_settings&since=2020-01-01T00:00",
    "history, none found": "/assistants/1/history?actor=nobody",
    "history, not understood": "/assistants/1/history?path=none&kind=none&since=none",
    "change": "/assistants/1/versions/2",
    "change, side by side": "/assistants/1/versions/2?view=side",
    "creation": "/assistants/1/versions/1",
    "over time": "/assistants/1/life?version=2",
    "over time, a day": "/assistants/1/life?as_of=2020-01-01",
    "comparison": "/assistants/1/compare?from=1",
    "comparison, not understood": "/assistants/1/compare?from=none&view=side",
    "undo": "/assistants/1/undo/2",
    "undo over a conflict": "/assistants/1/undo/3",
    "rollback": "/assistants/1/rollback/1",
    "problem": "/assistants/1/versions/999",
    "audit log": "/audit",
    "audit log, filtered": "/audit?event_type=assistant_settings_changed&resource_type=assistant",
    "audit log, wrong filter": "/audit?assistant=nobody&event_type=policy_changed",
    "keys": "/keys",
    "key": "/keys/1",
    "a new key": _made,
    "policy": "/policy",
    "conflict": _conflict,
    "saved with warnings": _warned,
    "refused": _refused,
}


_STATUS = {"problem": 404, "audit log, wrong filter": 422}  # of pages that say what is wrong


def open_page(page: Page, name: str) -> None:
    """Go to a page of the table."""
    way = PAGES[name]
    if not isinstance(way, str):
        way(page)
        return
    answer = page.goto(way)
    assert answer is not None
    assert answer.status == _STATUS.get(name, 200)


def control(page: Page, path: str) -> Locator:
    """The control of a setting, in an open group and not as rows."""
    page.evaluate(_OPEN, path)
    return page.locator(f'[name="{path}"]:not([type="hidden"])')


def save(page: Page, path: str, reason: str = "") -> None:
    """Save the form that a setting is in."""
    form = page.locator("form", has=control(page, path))
    if reason:
        form.get_by_label("Reason").fill(reason)
    form.get_by_role("button", name="Save").click()


# -- the data that they show


def as_name(text: str) -> str:
    """The text as a key's name: short, and without the character that turns the direction."""
    return text.replace("\u202e", "")[:100]


def organization_full_of(server: Server, text: str) -> Organization:
    """An organization with a text in all its settings, names, reasons and labels."""
    organization = server.organization()
    with server.client(organization.admin) as admin:
        body = {"name": as_name(text), "role": "admin"}
        made = admin.post("/api/v1/users/me/api-keys", json=body)
        assert made.is_success, made.text
        key = made.json()["key"]
    with server.client(key) as client:
        _fill(client, text)
    return structs.replace(organization, admin=key)


def _fill(client: httpx.Client, text: str) -> None:
    at = f"{ASSISTANTS}/1"
    reason = {"change_description": text[:500]}
    steps = (
        ("POST", ASSISTANTS, {"name": "Front desk"}),
        ("PATCH", at, every_text(text)),
        ("PATCH", at, {"llm_settings": {"temperature": 0.9}}),
        ("PATCH", at, {"llm_settings": {"temperature": 0.8}, "idle_timeout": 9}),
        ("PATCH", at, {"max_idle_messages": 3, "is_active": False}),
        ("POST", f"{at}/undo", {"version": 5}),
        ("POST", ASSISTANTS, {"name": text[:100], "description": text[:500]}),
        ("POST", ASSISTANTS, {"name": "Third", "description": text[:500]}),
        (
            "POST",
            "/api/v1/change-sets",
            {"assistant_ids": [3], "patch": {"idle_timeout": 9}},
        ),
    )
    for verb, path, body in steps:
        answer = client.request(verb, path, json=body | reason)
        assert answer.is_success, answer.text
    answer = client.delete(f"{ASSISTANTS}/2", params=reason)
    assert answer.is_success, answer.text
    label = "".join(letter for letter in text if letter.isprintable() and letter != "/")[:80]
    answer = client.put(f"{at}/versions/2/label", json={"label": label})
    assert answer.is_success, answer.text


def every_text(text: str) -> dict[str, Any]:
    """A patch with a text in every setting that takes one, and in names of members."""
    patch: dict[str, Any] = _filled(shape.SETTINGS, text)
    del patch["bypass_numbers"]  # takes only phone numbers
    return patch


def _filled(place: Shape, text: str) -> Any:
    match place:
        case Record(members=members):
            values = {name: _filled(member.shape, text) for name, member in members.items()}
            return {name: value for name, value in values.items() if value is not UNSET}
        case Listing(item=item):
            return [_filled(item, text)]
        case Mapping(value=value):
            return {text: _filled(value, text)}
        case FreeForm():
            return {text: [text]}
        case Scalar(type=kind) if getattr(kind, "__origin__", kind) is str:
            (bounds,) = getattr(kind, "__metadata__", (Meta(),))
            return text[: bounds.max_length]
        case _:
            return UNSET
