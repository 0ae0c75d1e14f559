"""The page of an assistant; and switching, copying and deleting it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from app.console import fields
from events.settings import SETTING_NAMES
from tests.conftest import ASSISTANTS
from tests.console import Browser, field, now, plain

POLICY = "/api/v1/policy"


TEMPERATURE = "/llm_settings/temperature"


def test_every_setting_is_on_the_page_in_one_group(assistant: dict[str, Any]) -> None:
    groups = fields.groups(assistant)
    shown = [one.path.split("/")[1] for group in groups for one in group.fields]
    assert set(shown) == set(SETTING_NAMES) - {"is_active"}
    paths = [one.path for group in groups for one in group.fields]
    assert len(paths) == len(set(paths))
    assert all(group.fields for group in groups)


def test_an_assistant_is_switched_duplicated_and_deleted(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    off = {"is_active": "false", "change_description": "Holiday", "etag": '"1"'}
    operator.submit(f"{at}/status", off)
    assert now(editor, at)["is_active"] is False
    copied = operator.submit(f"{at}/duplicate", {})
    assert now(editor, copied.headers["location"])["name"] == "Front desk (Copy)"
    assert operator.submit(f"{at}/delete", {"etag": '"2"'}).headers["location"] == "/assistants"
    assert operator.get(at).status_code == 404


def test_a_viewer_reads_and_may_not_change(
    reader: Browser, operator: Browser, editor: httpx.Client, at: str
) -> None:
    page = reader.get(at).text
    assert "<textarea" not in page
    main = page[page.index("<main") : page.index("</main>")]
    assert 'method="post"' not in main
    assert "formaction" not in main
    assert "helpful assistant" in page
    assert operator.get(at).text.count('method="post"') > 3  # the control
    for address, form in (
        (at, {"base_version": "1", TEMPERATURE: "0.3"}), (f"{at}/status", {"is_active": "false"}),
        (f"{at}/duplicate", {}), (f"{at}/delete", {}),
    ):  # fmt: skip
        assert reader.submit(address, form).status_code == 403
    assert now(editor, at)["version"] == 1


@pytest.mark.parametrize("below", ["", "/status", "/duplicate", "/delete"])
def test_another_organizations_assistant_is_not_found(
    outsider: Browser, operator: Browser, at: str, below: str
) -> None:
    form = {"base_version": 1, "is_active": "false", "/description": "Ours", "etag": '"1"'}
    assert outsider.get(at).status_code == 404
    assert outsider.submit(at + below, form).status_code == 404
    assert operator.submit(at + below, form).status_code == 303  # the control


@pytest.mark.parametrize("number", ["0", "x", "-1", "99999999999", "%00"])
def test_an_invalid_assistant_id_shows_an_error(operator: Browser, number: str) -> None:
    answer = operator.get(f"/assistants/{number}")
    assert answer.status_code in (404, 422)
    assert "message bad" in answer.text


def test_markup_in_any_text_is_shown_as_text(
    reader: Browser, operator: Browser, editor: httpx.Client
) -> None:
    script = "</textarea></title><script>alert(1)</script>\u202e"
    body = {
        "name": script, "description": script, "webhook_url": script, "idle_message": script,
        "llm_settings": {"system_prompt": script, "stop_sequences": [script]},
        "custom_settings": {script: script}, "change_description": script,
    }  # fmt: skip
    made = editor.post(ASSISTANTS, json=body).json()
    for browser in (reader, operator):
        text = browser.get(f"/assistants/{made['id']}").text
        assert "<script>alert" not in text
        assert re.findall(r"<script(.)", text) == [" "] * 9  # by address
        assert text.count("&lt;script&gt;") > 5


@pytest.mark.parametrize("below", ["/status", "/delete"])
def test_an_assistant_that_was_changed_meanwhile_is_neither_switched_nor_deleted(
    operator: Browser, editor: httpx.Client, at: str, below: str
) -> None:
    form = {"is_active": "false", "etag": field(operator.get(at).text, "etag")}
    editor.patch(f"/api/v1{at}", json={"idle_timeout": 9})
    refused = operator.submit(at + below, form)
    assert refused.status_code == 412
    assert 'role="alert"' in refused.text
    assert editor.get(f"/api/v1{at}").json()["is_active"] is True
    form["etag"] = field(refused.text, "etag")  # the control: over what is there by now
    assert operator.submit(at + below, form).status_code == 303


def test_every_form_meets_a_policy_that_requires_conditions(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put(POLICY, json={"require_condition": True})
    for below in ("/status", "/delete"):
        form = {"is_active": "false", "etag": field(operator.get(at).text, "etag")}
        assert operator.submit(at + below, form).status_code == 303


def test_a_switch_is_saved_as_a_version_that_can_be_undone(at: str, operator: Browser) -> None:
    fields = {"is_active": "false", "etag": '"1"', "change_description": "Closed"}
    answer = operator.submit(f"{at}/status", fields)
    assert answer.headers["location"] == f"{at}?saved=2"
    shown = operator.get(answer.headers["location"])
    assert "Saved as version 2" in plain(shown)
    undone = operator.submit(f"{at}/undo/2", {"etag": '"2"', "whole": "on", "banner": "on"})
    assert "Reason: Undo of version 2: Closed" in plain(operator.get(undone.headers["location"]))


def test_a_switch_that_changes_nothing_says_nothing(at: str, operator: Browser) -> None:
    answer = operator.submit(f"{at}/status", {"is_active": "true", "etag": '"1"'})
    assert answer.headers["location"] == at


def test_each_reason_field_says_what_it_is_for(at: str, operator: Browser) -> None:
    labels = re.findall(r"<label[^>]*>([^<]+) <input[^>]*change_description", operator.get(at).text)
    assert labels == ["Reason", "Reason for switching off", "Reason for deleting"]
