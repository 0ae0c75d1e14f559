"""What script adds to the console's pages, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.browsers import TEMPERATURE, control, save, visiting
from tests.conftest import ASSISTANTS, Organization, Server

ONE = f"{ASSISTANTS}/1"
AT = "/assistants/1"
_POLL = 6000  # milliseconds, in which a page has asked
pytestmark = pytest.mark.usefixtures("assistant")


@pytest.fixture
def page(chromium: Browser, server: Server, organization: Organization) -> Iterator[Page]:
    """An admin's window."""
    with visiting(chromium, server.url, organization.admin) as opened:
        yield opened


def change(client: httpx.Client, body: dict[str, Any], why: str = "") -> None:
    answer = client.patch(ONE, json=body | {"change_description": why or None})
    assert answer.is_success


# -- exports


def test_an_export_shows_its_progress_and_is_saved_whole(
    page: Page, editor: httpx.Client, admin: httpx.Client
) -> None:
    for number in range(20):
        change(editor, {"idle_timeout": number})
    page.goto("/audit?event_type=assistant_settings_changed")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Export filtered events").click()
    download = saving.value
    assert download.suggested_filename == "audit.ndjson"
    events = [json.loads(line) for line in download.path().read_text().splitlines()]
    logged = admin.get("/api/v1/audit/logs", params={"event_type": "assistant_settings_changed"})
    assert len(events) == logged.json()["total"] + 1  # and its closing line
    expect(page.locator("[data-status]")).to_contain_text("Done: ")
    expect(page.locator("[data-progress]")).to_be_hidden()


def test_a_broken_export_shows_an_error_and_saves_nothing(page: Page) -> None:
    page.goto("/audit")
    page.route("**/audit/export*", lambda route: route.abort("connectionreset"))
    page.on("download", lambda _: pytest.fail("half an export was saved"))
    page.get_by_role("button", name="Export all events").click()
    expect(page.locator("[data-status]")).to_contain_text("failed")
    expect(page.get_by_role("button", name="Export all events")).to_be_enabled()


def test_the_command_that_verifies_can_be_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/audit")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "backstory audit verify audit.ndjson --key audit-key.json"


# -- what others do meanwhile


def test_a_banner_reports_changes_by_others_and_leaves_the_page_as_it_is(
    page: Page, editor: httpx.Client
) -> None:
    page.clock.install()
    page.goto(AT)
    control(page, TEMPERATURE).fill("0.25")
    page.clock.fast_forward(_POLL)
    expect(page.locator("[data-live-message]")).to_have_count(0)  # there was no change
    change(editor, {"idle_timeout": 9}, "Silent lines stayed open")
    page.clock.fast_forward(_POLL)
    said = page.locator("[data-live-message='2']")
    expect(said).to_contain_text("editor key")
    expect(said).to_contain_text("Silent lines stayed open")
    expect(control(page, TEMPERATURE)).to_be_focused()
    expect(control(page, TEMPERATURE)).to_have_value("0.25")
    editor.delete(ONE)
    page.clock.fast_forward(_POLL)
    expect(page.locator("[data-live-message='deleted']")).to_be_visible()


def test_no_banner_reports_an_own_change(page: Page) -> None:
    page.clock.install()
    page.goto(AT)
    control(page, TEMPERATURE).fill("0.25")
    save(page, TEMPERATURE)
    expect(page.locator(".title")).to_contain_text("version 2")
    with page.expect_response(re.compile(r"/live\?since=2")) as asked:
        page.clock.fast_forward(_POLL)
    assert asked.value.status == 204
    expect(page.locator("[data-live-message]")).to_have_count(0)


def test_the_banner_reports_that_the_session_has_ended(page: Page, admin: httpx.Client) -> None:
    page.clock.install()
    page.goto(AT)
    (key,) = [k for k in admin.get("/api/v1/users/me/api-keys").json() if k["name"] == "admin key"]
    admin.delete(f"/api/v1/users/me/api-keys/{key['id']}")
    page.clock.fast_forward(_POLL)
    expect(page.locator("[data-live-message='ended']")).to_contain_text("signed out")


# -- a long past


def test_older_changes_load_while_scrolling_the_history(page: Page, editor: httpx.Client) -> None:
    for number in range(60):
        change(editor, {"idle_timeout": number})
    page.goto(f"{AT}/history")
    for count in (25, 50, 60):
        entries = page.locator("[data-endless] > li")
        expect(entries).to_have_count(count)
        entries.last.scroll_into_view_if_needed()
        page.keyboard.press("End")
    expect(page.locator("[data-endless-status]")).to_contain_text("10 older changes loaded")
    numbers = page.locator("[data-endless] > li a:text-matches('^version')").all_inner_texts()
    assert numbers == [f"version {number}" for number in range(61, 1, -1)]


def test_the_history_is_filtered_as_one_types_and_by_a_drag_on_its_line(
    page: Page, editor: httpx.Client
) -> None:
    change(editor, {"idle_timeout": 7}, "Calm")
    change(editor, {"tts_settings": {"speed": 1.3}}, "Faster")
    page.goto(f"{AT}/history")
    entries = page.locator("[data-endless] > li")
    expect(entries).to_have_count(2)
    page.get_by_label("Setting").press_sequentially("silence time")
    expect(entries).to_have_count(1)
    expect(entries).to_contain_text("Calm")
    expect(page).to_have_url(re.compile(r"path=silence\+time"))
    page.get_by_role("link", name="Setting: silence time").click()
    expect(entries).to_have_count(2)
    expect(page.get_by_label("Setting")).to_be_focused()
    page.get_by_label("Setting").press_sequentially("nothing like it")
    expect(page.get_by_text("No changes match these filters.")).to_be_visible()
    page.locator("[data-clear]").click()
    expect(entries).to_have_count(2)
    drawing = page.locator("[data-line] svg")
    box = drawing.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 1, box["y"] + 9)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 9)
    page.mouse.up()
    expect(page.get_by_label("From", exact=True)).to_have_value(re.compile(r"^\d{4}-\d\d-\d\d$"))
    expect(page).to_have_url(re.compile(r"since=\d{4}-\d\d-\d\d&until="))
    expect(entries).to_have_count(2)
    for version in (3, 2):
        page.get_by_label(f"Choose version {version} to compare").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_label("From", exact=True)).to_have_value("2")
    expect(page.get_by_role("heading", name="1 difference", exact=True)).to_be_visible()


def test_what_it_said_on_a_day_is_asked_by_a_date_alone(page: Page, editor: httpx.Client) -> None:
    change(editor, {"idle_timeout": 7}, "Calm")
    page.goto(f"{AT}/life")
    expect(page.get_by_label("Date")).to_be_focused()
    page.keyboard.type("01012020")
    expect(page.locator("[data-life-shown] h2").first).to_have_text("Version 1")
    expect(page.locator("[data-life-shown]")).to_contain_text("did not exist on 2020-01-01")
    page.keyboard.press("h")
    page.wait_for_url(re.compile(f"{AT}/history$"))


def test_an_undo_can_be_taken_back_for_ten_seconds(page: Page, editor: httpx.Client) -> None:
    change(editor, {"idle_timeout": 7}, "Calm")
    page.clock.install()
    page.goto(f"{AT}/undo/2")
    page.get_by_role("button", name="Undo version 2").click()
    expect(page.locator("[data-toast]")).to_contain_text("Saved as version 3")
    page.locator("[data-toast]").get_by_role("button", name="Undo").click()
    expect(page.locator("[data-toast]")).to_contain_text("Saved as version 4")
    page.clock.fast_forward(11_000)
    expect(page.locator("[data-toast]").get_by_role("button", name="Undo")).to_be_hidden()
    assert editor.get(ONE).json()["idle_timeout"] == 7


def test_the_slider_shows_each_version_as_it_is_moved(page: Page, editor: httpx.Client) -> None:
    change(editor, {"idle_timeout": 7}, "Calm")
    change(editor, {"idle_timeout": 8})
    page.goto(f"{AT}/life")
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-life-shown] h2").first).to_have_text("Version 2")
    expect(page.locator("[data-life-shown]")).to_contain_text("Calm")
    expect(page).to_have_url(re.compile(r"/life\?version=2$"))
    expect(page.get_by_role("slider")).to_be_focused()
    page.locator("[data-life-step=after]").click()
    expect(page.locator("[data-life-shown] h2").first).to_contain_text("Version 3")


# -- single keys


def test_single_keys_do_what_their_list_says_and_nothing_while_typing(page: Page) -> None:
    page.goto(AT)
    control(page, "/name").press("h")
    expect(page).to_have_url(re.compile(f"{AT}$"))
    page.locator("main").focus()
    page.keyboard.press("?")
    listed = page.get_by_role("dialog")
    expect(listed).to_contain_text("History")
    for place in ("Assistants", "Audit log", "API keys", "Policy"):
        expect(listed).to_contain_text(f"Go to {place}")
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    page.wait_for_url(re.compile(f"{AT}/history$"))  # and its scripts, which hear the next key
    for key, address in (("l", "/audit"), ("k", "/keys"), ("p", "/policy"), ("a", "/assistants")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(re.compile(f"\\d{address}$"))


def test_single_keys_can_be_turned_off_and_stay_off(page: Page) -> None:
    page.goto(AT)
    page.get_by_role("banner").locator("summary").click()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Use single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Use single-key shortcuts")).to_be_hidden()
    page.reload()
    page.keyboard.press("h")
    page.get_by_role("banner").locator("summary").click()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Use single-key shortcuts").check()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Use single-key shortcuts")).to_be_hidden()
    expect(page).to_have_url(re.compile(f"{AT}$"))
    page.keyboard.press("h")  # the control
    expect(page).to_have_url(re.compile(f"{AT}/history$"))


# -- one assistant's page


SPEED = "/tts_settings/speed"
PROMPT = "/llm_settings/system_prompt"


def row(page: Page, path: str) -> Any:
    return page.locator(f'[data-row="{path}"]')


def test_settings_are_filtered_as_one_types_and_all_come_back(page: Page) -> None:
    page.goto(AT)
    expect(row(page, "/idle_timeout")).not_to_be_visible()  # its group is closed
    page.get_by_role("searchbox", name="Find a setting").fill("silence timeout")
    expect(row(page, "/idle_timeout")).to_be_visible()
    expect(row(page, "/name")).to_be_hidden()
    page.get_by_role("searchbox", name="Find a setting").fill("front desk")  # a value
    expect(row(page, "/name")).to_be_visible()
    page.get_by_role("searchbox", name="Find a setting").fill("")
    expect(row(page, "/name")).to_be_visible()
    expect(row(page, "/idle_timeout")).not_to_be_visible()


def test_edits_of_two_groups_are_reviewed_and_saved_as_one_change(
    page: Page, viewer: httpx.Client
) -> None:
    page.goto(AT)
    control(page, SPEED).fill("0.9")
    control(page, "/idle_timeout").fill("7")
    expect(page.locator("[data-count]")).to_have_text("2 unsaved changes")
    page.get_by_role("button", name="Review changes").click()
    shown = page.get_by_role("dialog")
    expect(shown.locator("ins")).to_have_text(["0.9", "7"])
    page.keyboard.press("Escape")
    page.get_by_label("Reason").first.fill("Older callers")
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.locator("[data-toast]")).to_contain_text("Saved as version 2")
    (entry,) = viewer.get(f"{ONE}/settings-history").json()
    assert {one["path"] for one in entry["changes"]} == {SPEED, "/idle_timeout"}
    page.locator("[data-toast]").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Version 3", exact=True)).to_be_visible()
    assert viewer.get(ONE).json()["tts_settings"]["speed"] == 1.0


def test_a_draft_is_offered_again_and_never_holds_a_secret(page: Page) -> None:
    page.goto(AT)
    page.on("dialog", lambda dialog: dialog.accept())  # leave the page
    control(page, PROMPT).fill("Greet {{name}}.")
    control(page, "/llm_provider_config/api_key").fill("sk-typed-in-a-draft")
    control(page, "/description").fill("Its key is sk-typed-in-a-text")
    stored = page.evaluate("JSON.stringify(localStorage)")
    assert "Greet {{name}}." in stored
    assert "sk-typed" not in stored
    page.goto(f"{AT}/history")
    page.goto(AT)
    expect(control(page, PROMPT)).not_to_have_value("Greet {{name}}.")
    page.get_by_role("button", name="Restore them").click()
    expect(control(page, PROMPT)).to_have_value("Greet {{name}}.")
    expect(page.locator(".behind mark")).to_have_text("{{name}}")
    expect(page.locator("[data-count]")).to_have_text("1 unsaved change")
    save(page, PROMPT)
    expect(page.locator("[data-toast]")).to_be_visible()
    assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('draft'))") == []


def test_a_draft_of_an_older_version_goes_on_over_that_version(
    page: Page, editor: httpx.Client
) -> None:
    page.goto(AT)
    page.on("dialog", lambda dialog: dialog.accept())
    control(page, SPEED).fill("0.8")
    change(editor, {"tts_settings": {"speed": 1.3}}, "Faster")
    page.goto(f"{AT}/history")
    page.goto(AT)
    page.get_by_role("link", name="Continue with version 1").click()
    page.get_by_role("button", name="Restore them").click()
    save(page, SPEED)
    expect(page.get_by_role("heading", name="Conflicting changes")).to_be_visible()


def test_a_list_is_edited_in_rows_and_left_alone_is_not_changed(
    page: Page, editor: httpx.Client, viewer: httpx.Client
) -> None:
    path = "/llm_settings/stop_sequences"
    change(editor, {"llm_settings": {"stop_sequences": ["a", " b", "c"]}})
    page.goto(AT)
    page.get_by_role("link", name="Model and prompt").click()
    page.locator(f'[data-row="{path}"]').get_by_role("button", name="Move down").first.click()
    page.locator(f'[data-row="{path}"]').get_by_role("button", name="Remove").last.click()
    page.get_by_role("button", name="Save as version 3").click()
    expect(page.locator("[data-toast]")).to_be_visible()
    assert viewer.get(ONE).json()["llm_settings"]["stop_sequences"] == [" b", "a"]


def test_a_setting_is_reached_by_its_name_on_the_assistant_that_is_open(page: Page) -> None:
    page.goto(f"{AT}/history")
    page.keyboard.press("Control+k")
    page.keyboard.type("silence timeout")
    page.locator("[data-search-found]").get_by_role("link", name="Silence timeout").first.click()
    expect(row(page, "/idle_timeout")).to_be_visible()
    expect(page).to_have_url(re.compile(f"{AT}\\?q="))


def test_single_keys_ask_before_they_leave_unsaved_edits_and_the_draft_is_kept(page: Page) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.goto(AT)
    page.on("dialog", stay)
    for keys in (["h"], ["g", "a"], ["t"]):
        control(page, SPEED).fill("0.9")
        page.locator("main").focus()
        for key in keys:
            page.keyboard.press(key)
        expect(page.locator("[data-count]")).to_have_text("1 unsaved change")
    assert asked == ["beforeunload"] * 3
    assert "0.9" in page.evaluate("JSON.stringify(localStorage)")


def test_the_review_has_the_reason_and_saves(page: Page, viewer: httpx.Client) -> None:
    page.goto(AT)
    control(page, SPEED).fill("0.9")
    page.get_by_role("button", name="Review changes").click()
    shown = page.get_by_role("dialog")
    expect(shown.get_by_label("Reason")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("[data-bar]").get_by_label("Reason")).to_be_visible()
    page.get_by_role("button", name="Review changes").click()
    shown.get_by_label("Reason").fill("Older callers")
    shown.get_by_role("button", name="Save as version 2").click()
    expect(page.locator("[data-toast]")).to_contain_text("Saved as version 2")
    (entry,) = viewer.get(f"{ONE}/settings-history").json()
    assert entry["change_description"] == "Older callers"


@pytest.mark.parametrize(
    ("ago", "words"),
    [(42 * 86400, "1 month ago"), (30 * 3600, "1 day ago"), (70 * 86400, "2 months ago")],
)
def test_a_moment_is_told_in_full_units_and_not_by_the_calendar(
    page: Page, ago: int, words: str
) -> None:
    page.goto(AT)
    told = page.evaluate(f"() => distance(new Date(Date.now() - {ago} * 1000))")
    assert told == words
