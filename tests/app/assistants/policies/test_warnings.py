"""A suspicious change is made, and its author warned."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.app.assistants.policies.rules import SETS, newest, ok
from tests.conftest import ASSISTANTS

PROMPT = "You are the receptionist of the Hotel Seeblick. Answer in one sentence, be kind to all. "


SUSPICIOUS: list[Any] = [
    pytest.param(
        {"llm_settings": {"system_prompt": PROMPT}},
        {"llm_settings": {"system_prompt": PROMPT * 2}},
        {"llm_settings": {"system_prompt": PROMPT + "Say goodbye at the end."}},
        ("prompt-repeats-itself", "/llm_settings/system_prompt"),
        id="prompt-repeats-itself",
    ),
    pytest.param(
        {"llm_settings": {"system_prompt": PROMPT + "Never say what a room costs. " * 3}},
        {"llm_settings": {"system_prompt": "Be kind."}},
        {"llm_settings": {"system_prompt": PROMPT + "Never say what a room costs. "}},
        ("prompt-shrinks", "/llm_settings/system_prompt"),
        id="prompt-shrinks",
    ),
    pytest.param(
        {"recording_settings": {"enabled": True}},
        {"recording_settings": {"enabled": False}},
        {"recording_settings": {"format": "wav"}},
        ("recording-switched-off", "/recording_settings/enabled"),
        id="recording-switched-off",
    ),
    pytest.param(
        {"recording_settings": {"disclosure_enabled": True}},
        {"recording_settings": {"disclosure_enabled": False}},
        {"recording_settings": {"disclosure_message": "We record"}},
        ("disclosure-switched-off", "/recording_settings/disclosure_enabled"),
        id="disclosure-switched-off",
    ),
    pytest.param(
        {"tools_settings": {"transfer_call": {"transfer_numbers": ["+14155550100"]}}},
        {"tools_settings": {"transfer_call": {"transfer_numbers": ["+14155550199"]}}},
        {"tools_settings": {"transfer_call": {"custom_message": "One moment"}}},
        ("transfer-numbers-changed", "/tools_settings/transfer_call/transfer_numbers"),
        id="transfer-numbers-changed",
    ),
    pytest.param(
        {"tools_settings": {"end_call": {"enabled": True}}},
        {"tools_settings": {"end_call": {"enabled": False}}},
        {"tools_settings": {"end_call": {"custom_message": "Goodbye"}}},
        ("tools-emptied", "/tools_settings/enabled_tools"),
        id="tools-emptied",
    ),
    pytest.param(
        {"tools_settings": {"custom_tools": [{"tool_id": "crm"}]}},
        {"tools_settings": {"custom_tools": []}},
        {"tools_settings": {"custom_tools": [{"tool_id": "crm", "url": "https://x"}]}},
        ("tools-emptied", "/tools_settings/custom_tools"),
        id="custom-tools-emptied",
    ),
]


_SUSPICIOUS = pytest.mark.parametrize(("settings", "patch", "harmless", "warned"), SUSPICIOUS)


def warned_of(said: dict[str, Any]) -> list[tuple[str, str]]:
    found = said.get("warnings", [])
    assert all(set(one) == {"rule", "path", "message"} and one["message"] for one in found)
    return [(one["rule"], one["path"]) for one in found]


@_SUSPICIOUS
def test_a_suspicious_change_is_made_and_its_author_warned(
    editor: httpx.Client,
    settings: dict[str, Any],
    patch: dict[str, Any],
    harmless: dict[str, Any],
    warned: tuple[str, str],
) -> None:
    created = ok(editor.post(ASSISTANTS, json={"name": "Warned"} | settings))
    path = f"{ASSISTANTS}/{created['id']}"
    assert "warnings" not in created
    assert "warnings" not in ok(editor.patch(path, json=harmless))

    plan = ok(editor.patch(path, json=patch, headers={"prefer": "dry-run"}))
    assert warned_of(plan) == [warned]
    assert plan["applicable"] is True
    changed = ok(editor.patch(path, json=patch))
    assert warned_of(changed) == [warned]
    assert changed["warnings"] == plan["warnings"]
    assert changed["version"] == 3
    # It is said once, to whoever did it.
    assert "warnings" not in ok(editor.get(path))
    assert "warnings" not in ok(editor.patch(path, json={"idle_message": "Hello?"}))


@_SUSPICIOUS
def test_whoever_comes_to_it_by_another_way_is_warned_as_well(
    editor: httpx.Client,
    settings: dict[str, Any],
    patch: dict[str, Any],
    harmless: dict[str, Any],
    warned: tuple[str, str],
) -> None:
    """From version 2, which is harmless, back to 1, which is what a patch would warn of."""
    del harmless
    body = {"name": "Warned"} | {"recording_settings": {"enabled": False}} | patch
    created = ok(editor.post(ASSISTANTS, json=body))
    path = f"{ASSISTANTS}/{created['id']}"
    ok(editor.put(path, json=settings))
    for place, back in (
        ("rollback", {"to_version": 1}),
        ("settings-history/2/rollback", {}),
        ("undo", {"version": 2}),
    ):
        planned = editor.post(f"{path}/{place}", json=back, headers={"prefer": "dry-run"})
        assert warned_of(ok(planned)) == [warned]
    assert warned_of(ok(editor.post(f"{path}/undo", json={"version": 2}))) == [warned]
    ok(editor.put(path, json=settings))
    made = ok(editor.post(SETS, json={"assistant_ids": [created["id"]], "patch": patch}))
    assert warned_of(made["assistants"][0]) == [warned]


def test_a_change_may_be_suspicious_in_several_ways(editor: httpx.Client) -> None:
    body = {"name": "Warned", "recording_settings": {"disclosure_enabled": True}}
    path = f"{ASSISTANTS}/{ok(editor.post(ASSISTANTS, json=body))['id']}"
    patch = {
        "recording_settings": {"enabled": False, "disclosure_enabled": False},
        "tools_settings": {"transfer_call": {"transfer_numbers": ["+14155550100"]}},
    }
    rules = [rule for rule, _ in warned_of(ok(editor.patch(path, json=patch)))]
    assert rules == [
        "recording-switched-off", "disclosure-switched-off", "transfer-numbers-changed",
    ]  # fmt: skip
    assert newest(editor, path)["version"] == 2


def test_a_warning_holds_no_value_of_a_setting(editor: httpx.Client) -> None:
    body = {"name": "Warned", "llm_settings": {"system_prompt": PROMPT}}
    path = f"{ASSISTANTS}/{ok(editor.post(ASSISTANTS, json=body))['id']}"
    patch = {
        "llm_settings": {"system_prompt": PROMPT + PROMPT},
        "tools_settings": {"transfer_call": {"transfer_numbers": ["+14155550100"]}},
    }
    said = str(ok(editor.patch(path, json=patch))["warnings"])
    assert "Seeblick" not in said
    assert "+1415" not in said
