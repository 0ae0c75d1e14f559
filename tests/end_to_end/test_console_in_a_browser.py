"""What operators do at the console, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsers import TEMPERATURE, control, save, sign_in, visiting
from tests.conftest import ASSISTANTS, Organization, Server

ONE = f"{ASSISTANTS}/1"
AT = "/assistants/1"
pytestmark = pytest.mark.usefixtures("assistant")


@pytest.fixture
def page(chromium: Browser, server: Server, organization: Organization) -> Iterator[Page]:
    """An editor's window."""
    with visiting(chromium, server.url, organization.editor) as opened:
        yield opened


def now(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get(ONE).json()
    return found


def change(client: httpx.Client, body: dict[str, Any], why: str = "") -> None:
    answer = client.patch(ONE, json=body | {"change_description": why or None})
    assert answer.is_success


def sign_out(page: Page) -> None:
    page.get_by_role("banner").locator("summary").click()
    page.get_by_role("button", name="Sign out").click()


def test_signing_in_leads_to_the_requested_page_and_signing_out_ends_it(
    chromium: Browser, server: Server, organization: Organization
) -> None:
    with visiting(chromium, server.url, None) as page:
        page.goto(f"{AT}/history")
        page.get_by_label("API key").fill("bks_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("unknown")
        page.get_by_label("API key").fill(organization.viewer)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{server.url}{AT}/history")
        expect(page.get_by_role("banner")).to_contain_text("viewer key, viewer")
        sign_out(page)
        expect(page.get_by_label("API key")).to_be_visible()
        page.goto(AT)
        expect(page.get_by_label("API key")).to_be_visible()
        assert page.context.cookies() == []


def test_a_field_that_was_edited_is_in_the_history_with_its_reason(
    page: Page, viewer: httpx.Client
) -> None:
    page.goto(AT)
    control(page, TEMPERATURE).fill("0.25")
    save(page, TEMPERATURE, "Callers asked for it")
    expect(page.locator(".title")).to_contain_text("version 2")
    page.get_by_role("link", name="History").click()
    entry = page.get_by_role("listitem").filter(has_text="version 2")
    expect(entry).to_contain_text("editor key")
    expect(entry).to_contain_text("Callers asked for it")
    entry.get_by_role("link", name="version 2", exact=True).click()
    expect(page.locator("del")).to_have_text("0.5")
    expect(page.locator("ins")).to_have_text("0.25")
    assert now(viewer)["llm_settings"]["temperature"] == 0.25


FREE = "/custom_settings"
SPEED = "/tts_settings/speed"
PROMPT = "/llm_settings/system_prompt"


def changes(client: httpx.Client) -> list[Any]:
    """What the last change says that it changed."""
    found: list[Any] = client.get(f"{ONE}/settings-history?limit=1").json()[0]["changes"]
    return found


def test_a_browser_sends_the_edited_values_and_nothing_else(
    page: Page, editor: httpx.Client, admin: httpx.Client
) -> None:
    prompt = "One\r\n\r\ntwo \rthree\n  four\t\r\n"
    sequences = [" Human:", "a ", "\tb"]
    body = {
        "description": " kept \r\n as it is ",
        "llm_settings": {"system_prompt": prompt, "stop_sequences": sequences},
        "custom_settings": {"one": 1, "none": 0, "in": {"a": "x\r\ny ", "b": [1, 1.0, True]}},
        "api_keys": {"openai": "sk-not-a-real-key"},
    }
    change(editor, body)

    page.goto(AT)
    control(page, PROMPT).fill(control(page, PROMPT).input_value().replace("three", "3"))
    save(page, PROMPT)
    expect(page.locator(".title")).to_contain_text("version 3")
    after = prompt.replace("three", "3")
    assert changes(editor) == [{"path": PROMPT, "before": prompt, "after": after}]

    lines = control(page, "/llm_settings/stop_sequences")
    lines.fill(lines.input_value().replace("a ", "c"))
    save(page, PROMPT)
    expect(page.locator(".title")).to_contain_text("version 4")
    (only,) = changes(editor)
    assert only["after"] == [" Human:", "c", "\tb"]

    text = control(page, FREE).input_value()
    change(admin, {"custom_settings": {"two": 2}})  # meanwhile, beside it
    control(page, FREE).fill(text.replace('"one": 1', '"one": true').replace('"b":', '"c":'))
    save(page, FREE)
    expect(page.locator(".title")).to_contain_text("version 6")
    assert [(one["path"], one.get("after")) for one in changes(editor)] == [
        (f"{FREE}/one", True), (f"{FREE}/in/b", None), (f"{FREE}/in/c", [1, 1.0, True]),
    ]  # fmt: skip
    assert changes(editor)[0]["after"] is True
    kept = now(editor)
    assert kept["custom_settings"]["two"] == 2
    assert kept["description"] == body["description"]


def test_an_unedited_form_changes_nothing(page: Page, editor: httpx.Client) -> None:
    texts = {"system_prompt": "a\rb\r\n\nc ", "stop_sequences": ["", " ", "x\r"]}
    body = {"llm_settings": texts, "webhook_url": "https://example.com/\r", "bypass_numbers": []}
    change(editor, body | {"custom_settings": {"a\r\nb": None, "": [[], {}]}})
    before = now(editor)
    page.goto(AT)
    for button in range(page.get_by_role("button", name="Save").count()):
        page.get_by_role("button", name="Save").nth(button).click()
        expect(page.locator(".title")).to_contain_text("version 2")
    assert now(editor) == before
    control(page, "/name").fill("Night desk")  # the control
    save(page, "/name")
    expect(page.locator(".title")).to_contain_text("version 3")
    assert changes(editor) == [{"path": "/name", "before": "Front desk", "after": "Night desk"}]


def test_a_choice_works_for_a_member_whose_name_has_a_line_end(
    page: Page, editor: httpx.Client, admin: httpx.Client
) -> None:
    change(editor, {"custom_settings": {"a\r\nb%": 1, "c": 1}})
    page.goto(AT)
    change(admin, {"custom_settings": {"a\r\nb%": 2}})
    control(page, FREE).fill('{"a\\r\\nb%": 3, "c": 4}')
    save(page, FREE)
    expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
    page.get_by_label("Original").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".title")).to_contain_text("version 4")
    assert now(editor)["custom_settings"] == {"a\r\nb%": 1, "c": 4}
    page.goto(f"{AT}/rollback/2")
    page.get_by_label("Custom settings \u203a c").uncheck()
    expect(page.get_by_role("checkbox")).to_have_count(1)


def test_two_windows_that_change_one_field_get_a_choice_and_overwrite_nothing(
    chromium: Browser, server: Server, organization: Organization, page: Page, viewer: httpx.Client
) -> None:
    with visiting(chromium, server.url, organization.admin) as other:
        page.goto(AT)
        other.goto(AT)
        control(other, TEMPERATURE).fill("0.9")
        save(other, TEMPERATURE, "Livelier")
        expect(other.locator(".title")).to_contain_text("version 2")
        control(page, TEMPERATURE).fill("0.1")
        control(page, "/llm_settings/max_tokens").fill("777")
        save(page, TEMPERATURE)
        expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
        assert now(viewer)["version"] == 2
        asked = page.get_by_role("main").get_by_role("group")
        for said in ("0.5", "admin key", "Livelier", "0.9", "0.1"):
            expect(asked).to_contain_text(said)
        page.get_by_label("Theirs").check()
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".title")).to_contain_text("version 3")
    found = now(viewer)["llm_settings"]
    assert (found["temperature"], found["max_tokens"]) == (0.9, 777)


def test_one_change_is_undone_and_later_ones_are_kept(
    page: Page, admin: httpx.Client, viewer: httpx.Client
) -> None:
    change(admin, {"idle_timeout": 30}, "Too patient")
    change(admin, {"max_idle_messages": 4})
    page.goto(f"{AT}/history")
    page.get_by_role("link", name="version 2", exact=True).click()
    page.get_by_role("link", name="Undo this change").click()
    expect(page.get_by_role("heading", name="1 setting will change")).to_be_visible()
    assert now(viewer)["version"] == 3
    page.get_by_label("Reason").fill("It was right before")
    page.get_by_role("button", name="Undo version 2").click()
    expect(page.get_by_role("heading", name="Version 4", exact=True)).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("undid version 2")
    expect(page.get_by_role("main")).to_contain_text("Reason: It was right before")
    found = now(viewer)
    assert (found["idle_timeout"], found["max_idle_messages"]) == (None, 4)


def test_a_rollback_reverts_the_chosen_settings_alone(
    page: Page, admin: httpx.Client, viewer: httpx.Client
) -> None:
    change(admin, {"idle_timeout": 30, "max_idle_messages": 4}, "A trial")
    page.goto(f"{AT}/rollback/1")
    expect(page.get_by_role("heading", name="2 settings will change")).to_be_visible()
    page.get_by_label("Silence timeout").uncheck()
    page.get_by_role("button", name="Restore version 1").click()
    expect(page.get_by_role("heading", name="Version 3", exact=True)).to_be_visible()
    found = now(viewer)
    assert (found["idle_timeout"], found["max_idle_messages"]) == (30, None)


def test_an_assistant_is_created_copied_switched_off_and_deleted(
    page: Page, server: Server, viewer: httpx.Client
) -> None:
    page.goto("/assistants")
    page.get_by_role("link", name="New assistant").click()
    page.get_by_label("Name").fill("Night desk")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Night desk")
    page.get_by_role("button", name="Duplicate").click()
    expect(page).to_have_url(f"{server.url}/assistants/3")
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("button", name="Switch on")).to_be_visible()
    expect(page.locator(".title")).to_contain_text("Off")
    page.get_by_text("Delete", exact=True).click()
    page.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{server.url}/assistants")
    expect(page.get_by_role("table")).to_contain_text("1 to 2 of 2 assistants")
    assert viewer.get(f"{ASSISTANTS}/3").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_a_viewer_sees_no_control_that_needs_another_role(
    chromium: Browser, server: Server, organization: Organization, admin: httpx.Client, role: str
) -> None:
    change(admin, {"idle_timeout": 30})
    with visiting(chromium, server.url, getattr(organization, role)) as page:
        seen = set()
        for address in ("/assistants", AT, f"{AT}/history", f"{AT}/versions/1", f"{AT}/versions/2"):
            page.goto(address)
            seen |= set(page.get_by_role("main").get_by_role("button").all_inner_texts())
            seen |= set(page.locator("main a.button").all_inner_texts())
    writing = {"New assistant", "Save as version 3", "Switch off", "Duplicate", "Undo this change"}
    if role == "viewer":
        assert seen == {"Apply", "Compare", "Compare two"}
    else:  # the control: who may, sees them
        assert seen >= writing


def test_a_field_is_edited_and_saved_by_keyboard_alone(
    chromium: Browser, server: Server, organization: Organization, viewer: httpx.Client
) -> None:
    with visiting(chromium, server.url, None) as page:
        page.goto(AT)
        page.keyboard.type(organization.editor)  # the field has the focus already
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Front desk")
        walk(page, lambda: focused(page, "name") == SPEED)
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("0.35")
        walk(page, lambda: focused(page, "name") == "change_description")
        page.keyboard.type("By hand")
        walk(page, lambda: focused(page, "class") == "primary")
        page.keyboard.press("Space")
        expect(page.locator(".title")).to_contain_text("version 2")
    assert now(viewer)["tts_settings"]["speed"] == 0.35


def walk(page: Page, is_there: Any) -> None:
    """Go on from control to control until one is reached; each shows that it has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        drawn = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert drawn != "none", page.evaluate("document.activeElement.outerHTML")
        if is_there():
            return
    raise AssertionError("no way by keyboard")


def focused(page: Page, attribute: str) -> str | None:
    found: str | None = page.evaluate(
        "name => document.activeElement.getAttribute(name)", attribute
    )
    return found


def test_the_first_tab_stop_skips_to_the_content(page: Page) -> None:
    page.goto(AT)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_everything_works_without_script(
    chromium: Browser, server: Server, organization: Organization, viewer: httpx.Client
) -> None:
    with visiting(chromium, server.url, None, java_script_enabled=False) as page:
        page.goto("/")
        page.get_by_label("API key").fill(organization.editor)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Assistants", exact=True).click()
        page.get_by_role("link", name="Front desk").click()
        control(page, TEMPERATURE).fill("0.2")
        save(page, TEMPERATURE, "Calmer")
        expect(page.locator(".title")).to_contain_text("version 2")
        page.get_by_role("link", name="History").click()
        page.get_by_role("link", name="version 2", exact=True).click()
        expect(page.locator("time").first).to_contain_text("UTC")
        page.get_by_role("link", name="Undo this change").click()
        page.get_by_role("button", name="Undo version 2").click()
        expect(page.get_by_role("heading", name="Version 3", exact=True)).to_be_visible()
        sign_out(page)
        expect(page.get_by_label("API key")).to_be_visible()
    assert (now(viewer)["version"], now(viewer)["llm_settings"]["temperature"]) == (3, 0.5)


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Kolkata", 5.5), ("Pacific/Honolulu", -10)])
def test_times_are_in_the_readers_zone_with_utc_in_the_title(
    chromium: Browser, server: Server, organization: Organization, zone: str, hours: float
) -> None:
    options = {"timezone_id": zone, "locale": "ja-JP"}  # a language that writes months as numbers
    with visiting(chromium, server.url, organization.viewer, **options) as page:
        page.goto(f"{AT}/versions/1")
        shown = page.locator("time").first
        then = datetime.fromisoformat(shown.get_attribute("datetime") or "")
        local = then.astimezone(timezone(timedelta(hours=hours)))
        expect(shown).to_contain_text(f"{local:%Y/%m/%d} {local.hour}:{local:%M} (")
        expect(shown).to_have_attribute("title", f"{then:%Y-%m-%d %H:%M:%S} UTC")


def test_a_key_that_is_revoked_ends_the_session_in_the_browser_too(
    page: Page, admin: httpx.Client
) -> None:
    keys = "/api/v1/users/me/api-keys"
    made = admin.post(keys, json={"name": "short-lived"}).json()
    page.context.clear_cookies()
    sign_in(page.context, made["key"])
    page.goto(AT)
    expect(page.get_by_role("banner")).to_contain_text("short-lived")
    admin.delete(f"{keys}/{made['api_key']['id']}")
    page.get_by_role("link", name="History").click()
    expect(page).to_have_url(re.compile(r"/sign-in\?back=/assistants/1/history"))
    assert page.context.cookies() == []
