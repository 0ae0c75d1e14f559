"""Saving a form: what it changes, and what it says of what it cannot save."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from app.console import fields
from tests.conftest import Organization, Server
from tests.console import Browser, field, now, row_of

POLICY = "/api/v1/policy"


TEMPERATURE = "/llm_settings/temperature"


def test_a_saved_field_is_one_change_with_its_reason(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    form = {"base_version": 1, TEMPERATURE: "0.3", "change_description": "Calmer"}
    answer = operator.submit(at, form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{at}?saved=2")
    (entry,) = viewer.get(f"/api/v1{at}/settings-history").json()
    assert entry["changes"] == [{"path": TEMPERATURE, "before": 0.5, "after": 0.3}]
    assert entry["change_description"] == "Calmer"
    row = row_of(operator.get(at).text, TEMPERATURE)
    assert "editor key" in row
    assert "Version 2: <bdi>Calmer</bdi>" in row


def test_a_form_sent_as_it_was_shown_changes_nothing(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    body = {
        "llm_settings": {"system_prompt": "\n\nTwo\r\nlines\n", "stop_sequences": ["a", "b"]},
        "webhook_headers": {"authorization": "sk-hidden"},
        "custom_settings": {"x": [1, {"y": None}]},
        "stt_settings": {"flux_config": {"eot_threshold": 0.7}},
    }
    assert editor.patch(f"/api/v1{at}", json=body).is_success
    shown = now(editor, at)
    everything = {one.path: one.text for group in fields.groups(shown) for one in group.fields}
    answer = operator.submit(at, {"base_version": shown["version"]} | everything)
    assert answer.status_code == 303
    assert now(editor, at) == shown
    # The control: one of them changed is a change.
    everything["/custom_settings"] = "{}"
    operator.submit(at, {"base_version": shown["version"]} | everything)
    assert now(editor, at) == shown | {
        "custom_settings": {}, "version": 3, "updated_at": now(editor, at)["updated_at"],
    }  # fmt: skip


def test_line_ends_of_any_kind_stay_in_an_unedited_text(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    body = {
        "llm_settings": {"system_prompt": "a\rb\r\nc\nd", "stop_sequences": ["e\rf", "g"]},
        "end_call_message": "Good\rbye",
        "webhook_url": "https://example.com/\rx",
    }
    assert editor.patch(f"/api/v1{at}", json=body).is_success
    shown = now(editor, at)
    found = [one for group in fields.groups(shown) for one in group.fields]
    for ends in ("\r\n", "\n", "\r"):
        everything = {one.path: one.text.replace("\n", ends) for one in found}
        assert operator.submit(at, {"base_version": 2} | everything).status_code == 303
        assert now(editor, at) == shown
    everything["/end_call_message"] = "Good\r\nbye!"
    operator.submit(at, {"base_version": 2} | everything)
    assert now(editor, at)["end_call_message"] == "Good\rbye!"  # the control


def test_a_number_needs_no_digit_before_its_point(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    assert operator.submit(at, {"base_version": 1, TEMPERATURE: ".25"}).status_code == 303
    assert now(editor, at)["llm_settings"]["temperature"] == 0.25
    assert operator.submit(at, {"base_version": 2, TEMPERATURE: "."}).status_code == 422


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("/stt_settings/utterance_end_ms", "5", "greater than or equal to 100"),
        ("/llm_settings/max_tokens", "many", "valid integer"),
        ("/webhook_headers", "{", "This is not valid JSON"),
        ("/name", "", "at least 1 character"),
        ("/tools_settings/custom_tools", '"none"', "valid list"),
    ],
)
def test_a_refused_value_shows_an_error_at_its_field_and_keeps_the_form(
    operator: Browser, editor: httpx.Client, at: str, path: str, text: str, said: str
) -> None:
    form = {"base_version": 1, path: text, "/description": "Kept <b>", "change_description": "Why"}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    name = "f" + path.replace("/", "-")
    assert f'aria-describedby="{name}-hint {name}-error"' in answer.text
    (error,) = re.findall(rf'id="{name}-error">([^<]*)</p>', answer.text)
    assert said in error
    assert "Kept &lt;b&gt;</textarea>" in answer.text
    assert now(editor, at)["version"] == 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1, "a": 2}', "NaN", "9" * 5000])
def test_json_that_the_api_cannot_read_shows_an_error_at_its_field(
    operator: Browser, editor: httpx.Client, at: str, text: str
) -> None:
    answer = operator.submit(at, {"base_version": 1, "/custom_settings": text})
    assert answer.status_code == 422
    assert "This is not valid JSON" in answer.text
    assert now(editor, at)["version"] == 1


def test_a_form_requires_the_reason_that_the_policy_requires(
    server: Server, organization: Organization, admin: httpx.Client, at: str, operator: Browser
) -> None:
    form = {"base_version": 1, TEMPERATURE: "0.3"}
    admin.put(POLICY, json={"require_reason": True})
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert "wants a reason" in answer.text
    with Browser(server.url) as boss:
        boss.sign_in(organization.admin)
        assert 'maxlength="500" value="" required' in boss.get(at).text
    assert operator.submit(at, form | {"change_description": "Asked"}).status_code == 303


def test_a_warning_of_the_policy_is_shown(operator: Browser, at: str) -> None:
    answer = operator.submit(at, {"base_version": 1, "/recording_settings/enabled": "off"})
    assert answer.status_code == 200
    assert "Saved as version 2" in answer.text
    assert 'role="alert"' in answer.text


def test_a_setting_locked_meanwhile_shows_an_error_and_keeps_the_form(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put(POLICY, json={"admin_paths": [TEMPERATURE]})
    answer = operator.submit(at, {"base_version": 1, TEMPERATURE: "0.3", "/idle_timeout": "9"})
    assert answer.status_code == 422
    assert "Only admins can change this" in answer.text
    assert field(answer.text, "/idle_timeout") == "9"


def test_an_unknown_member_shows_an_error_instead_of_being_ignored(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    form = {"base_version": 1, "/stt_settings/keywords": '[{"keyword": "a", "intensitty": 2}]'}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert "did you mean" in html.unescape(answer.text)
    assert now(editor, at)["version"] == 1


def test_a_setting_that_no_longer_exists_shows_an_error_instead_of_being_ignored(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    """As when a page was opened before an upgrade."""
    form = {"base_version": 1, "/of_before/x": "typed", TEMPERATURE: "0.3"}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert "This setting no longer exists" in answer.text
    assert now(editor, at)["version"] == 1
