"""The policy: its form, and what it changes on other pages."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest

from app.console import policy_rules
from app.console.fields import all_fields
from events.pointers import ancestors
from tests.conftest import ASSISTANTS
from tests.console import Browser, field


def save_policy(administrator: Browser, **fields: Any) -> httpx.Response:
    form = administrator.get("/policy").text
    return administrator.submit("/policy", {"etag": field(form, "etag")} | fields)


def test_a_saved_policy_applies_and_is_shown(
    administrator: Browser, editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    answer = save_policy(
        administrator,
        require_reason="on",
        admin_paths="/tts_settings\n/llm_settings/system_prompt\n",
        change_description="Audit of March",
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/policy?saved=on")
    policy = admin.get("/api/v1/policy").json()
    assert (policy["require_reason"], policy["require_condition"]) == (True, False)
    assert policy["admin_paths"] == ["/tts_settings", "/llm_settings/system_prompt"]
    assert policy["require_reason_for"] == []
    page = administrator.get("/policy").text
    assert 'name="require_reason" checked' in page
    assert 'name="keep:admin_paths" value="/llm_settings/system_prompt" checked' in page
    refused = editor.patch(f"{ASSISTANTS}/{assistant['id']}", json={"idle_timeout": 7})
    assert refused.status_code == 422
    assert "Audit of March" in administrator.get("/audit").text


def test_a_policy_that_a_colleague_changed_meanwhile_is_not_overwritten(
    administrator: Browser, admin: httpx.Client
) -> None:
    etag = field(administrator.get("/policy").text, "etag")
    admin.put("/api/v1/policy", json={"require_condition": True})
    late = administrator.submit("/policy", {"etag": etag, "require_reason": "on"})
    assert late.status_code == 412
    assert 'role="alert"' in late.text
    assert admin.get("/api/v1/policy").json()["require_condition"] is True
    # The control: over the policy of now, it is a choice.
    again = {"etag": field(late.text, "etag"), "require_reason": "on"}
    assert administrator.submit("/policy", again).status_code == 303
    assert admin.get("/api/v1/policy").json()["require_condition"] is False


def test_a_mistyped_path_overwrites_no_colleagues_policy(
    administrator: Browser, admin: httpx.Client
) -> None:
    first = field(administrator.get("/policy").text, "etag")
    admin.put("/api/v1/policy", json={"admin_paths": ["/llm_settings/system_prompt"]})
    typed = {"etag": first, "require_reason_for": "/llm_settingz", "change_description": "Audit"}
    slip = administrator.submit("/policy", typed)
    assert slip.status_code == 422
    assert "/llm_settingz: No such setting" in slip.text
    mended = typed | {"etag": field(slip.text, "etag"), "require_reason_for": "/llm_settings"}
    late = administrator.submit("/policy", mended)
    assert late.status_code == 412
    assert "Saved by others meanwhile: <bdi>/llm_settings/system_prompt</bdi>" in late.text
    assert field(late.text, "change_description") == "Audit"
    assert admin.get("/api/v1/policy").json()["admin_paths"] == ["/llm_settings/system_prompt"]


def test_an_unknown_path_shows_an_error_and_stays_in_the_form(
    administrator: Browser, admin: httpx.Client
) -> None:
    answer = save_policy(administrator, admin_paths="/no_such")
    assert answer.status_code == 422
    assert "No such setting" in answer.text
    assert 'name="keep:admin_paths" value="/no_such" checked' in answer.text
    assert admin.get("/api/v1/policy").json()["admin_paths"] == []


def test_a_viewer_reads_the_policy_and_cannot_change_it(
    administrator: Browser, reader: Browser
) -> None:
    page = reader.get("/policy").text
    assert "<fieldset disabled>" in page
    assert '<button class="primary">' not in page
    form = {"etag": field(page, "etag"), "require_reason": "on"}
    assert reader.submit("/policy", form).status_code == 403
    # The control.
    assert "<fieldset disabled>" not in administrator.get("/policy").text
    assert administrator.submit("/policy", form).status_code == 303


def test_a_form_marks_the_settings_that_only_admins_change_or_that_require_a_reason(
    administrator: Browser, operator: Browser, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    demands = {
        "admin_paths": ["/llm_settings/temperature", "/is_active"],
        "require_reason_for": ["/tts_settings"],
    }
    admin.put("/api/v1/policy", json=demands)
    at = f"/assistants/{assistant['id']}"
    for browser, is_offered in ((operator, False), (administrator, True)):
        page = browser.get(at).text
        assert ('name="/llm_settings/temperature"' in page) == is_offered
        assert (f'action="{at}/status"' in page) == is_offered
        assert 'name="/llm_settings/max_tokens"' in page
        assert "Changing this requires a reason." in page
    assert operator.submit(at, {"base_version": 1, "/idle_timeout": "9"}).status_code == 303


def test_a_kept_path_of_the_policy_stays_exactly_the_same(
    administrator: Browser, admin: httpx.Client
) -> None:
    secret = ["/custom_settings/two words", "/custom_settings/ends \r\nhere"]
    admin.put("/api/v1/policy", json={"secret_paths": secret})
    page = administrator.get("/policy").text
    kept = re.findall(r'name="keep:secret_paths" value="([^"]+)" checked', page)
    save_policy(administrator, **{"keep:secret_paths": kept, "admin_paths": "/custom_settings/a b"})
    policy = admin.get("/api/v1/policy").json()
    assert policy["secret_paths"] == secret
    assert policy["admin_paths"] == ["/custom_settings/a b"]
    save_policy(administrator, **{"keep:secret_paths": kept[:1]})  # the control
    assert admin.get("/api/v1/policy").json()["secret_paths"] == secret[:1]


def test_a_setting_is_picked_by_its_words_and_kept_once(
    administrator: Browser, admin: httpx.Client
) -> None:
    page = administrator.get("/policy").text
    offered = re.findall(r'<option value="([^"]+)">(/[^<]+)<', page)
    (words,) = [words for words, path in offered if path == "/llm_settings/temperature"]
    for kept in ("", "/llm_settings/temperature"):
        added = {"admin_paths": html.unescape(words), "keep:admin_paths": kept}
        assert save_policy(administrator, **added).status_code == 303
    assert admin.get("/api/v1/policy").json()["admin_paths"] == ["/llm_settings/temperature"]


def test_every_setting_and_every_part_of_the_settings_is_offered_once() -> None:
    found = [field.path for field in all_fields({})]
    above = {path for field in found for path in ancestors(field) if path}
    assert sorted(policy_rules.PATHS.values()) == sorted({*found, *above})
    assert all(policy_rules.rule(path).covers for path in policy_rules.PATHS.values())


@pytest.mark.parametrize(
    ("path", "covers"),
    [
        ("/llm_settings/temperature", ["/llm_settings/temperature"]),
        ("/custom_settings/campaign", ["/custom_settings"]),
        ("/*/voice_id", ["/custom_settings"]),
        ("/nowhere", []),
    ],
)
def test_a_rule_covers_what_it_is_what_it_holds_and_what_holds_it(
    path: str, covers: list[str]
) -> None:
    assert set(covers) <= set(policy_rules.covered(path))
    assert bool(covers) == bool(policy_rules.covered(path))
    assert "/name" not in policy_rules.covered(path)
    assert len(policy_rules.covered("/tts_settings")) > 5
