"""A plan and its application: the same changes, byte for byte, or none."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from msgspec import Raw, Struct

from tests.conftest import ASSISTANTS

PATCH = {
    "llm_settings": {"temperature": 0.9, "system_prompt": "Be brief. Ünïcode \u2028 \U0001d11e"},
    "api_keys": {"openai_api_key": "sk-planned"},
    "custom_settings": {"a/b~c": {"deep": [1, 1.0, None]}},
    "tools_settings": {"transfer_call": {"enabled": True, "transfer_numbers": ["+14155550123"]}},
    "bypass_numbers": ["+1 (415) 555-0123"],
}
ASKED: dict[str, tuple[str, str, Any]] = {
    "a patch": ("PATCH", "", PATCH),
    "a put": ("PUT", "", PATCH),
    "a merge": ("PATCH", "?base_version=2&on_conflict=yours", {"llm_settings": {"temperature": 2}}),
    "a rollback": ("POST", "/rollback", {"to_version": 1}),
    "a rollback in part": (
        "POST",
        "/rollback",
        {"to_label": "first", "paths": ["/llm_settings", "/custom_settings/x"]},
    ),
    "an undo": ("POST", "/undo", {"version": 2, "on_conflict": "force"}),
    "an undo that skips": ("POST", "/undo", {"version": 2, "on_conflict": "skip"}),
}


class Told(Struct):
    """The changes of a plan or of a history entry, as their bytes."""

    changes: Raw


@pytest.fixture
def path(editor: httpx.Client) -> str:
    """An assistant in version 4."""
    created = editor.post(ASSISTANTS, json={"name": "Front desk"}).json()
    path = f"{ASSISTANTS}/{created['id']}"
    editor.put(f"{path}/versions/1/label", json={"label": "first"})
    for body in (
        {"llm_settings": {"temperature": 0.1, "top_p": 0.3}, "custom_settings": {"x": {"y": 1}}},
        {"llm_settings": {"temperature": 0.2}, "api_keys": {"openai_api_key": "sk-old"}},
        {"description": "Later"},
    ):
        assert editor.patch(path, json=body).is_success
    return path


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_applied_under_a_plans_tag_is_what_was_planned_byte_for_byte(
    editor: httpx.Client, path: str, asked: str
) -> None:
    verb, where, body = ASKED[asked]
    planned = editor.request(verb, path + where, json=body, headers={"prefer": "dry-run"})
    assert planned.json()["applicable"]
    under = {"if-match": planned.headers["etag"]}
    applied = editor.request(verb, path + where, json=body, headers=under)
    assert applied.status_code == 200
    (entry,) = msgspec.json.decode(
        editor.get(f"{path}/settings-history?limit=1").content, type=list[Told]
    )
    plan = msgspec.json.decode(planned.content, type=Told)
    assert bytes(plan.changes) == bytes(entry.changes) != b"[]"


@pytest.mark.parametrize("asked", ASKED)
def test_a_plan_over_a_state_that_is_gone_is_not_applied(
    editor: httpx.Client, path: str, asked: str
) -> None:
    verb, where, body = ASKED[asked]
    planned = editor.request(verb, path + where, json=body, headers={"prefer": "dry-run"})
    editor.patch(path, json={"description": "Somebody else was faster"})
    before = editor.get(path).content
    under = {"if-match": planned.headers["etag"]}
    refused = editor.request(verb, path + where, json=body, headers=under)
    assert refused.status_code == 412
    assert refused.json()["changed_since"][0]["paths"] == ["/description"]
    assert editor.get(path).content == before


@pytest.mark.parametrize("asked", ASKED)
def test_a_plan_records_nothing(editor: httpx.Client, path: str, asked: str) -> None:
    verb, where, body = ASKED[asked]
    before = editor.get(path).content
    assert editor.request(verb, path + where, json=body, headers={"prefer": "dry-run"}).is_success
    assert editor.get(path).content == before
    assert editor.get(f"{path}/versions").json()[0]["version"] == 4


def test_a_plan_shows_no_secret(editor: httpx.Client, path: str) -> None:
    planned = editor.patch(path, json=PATCH | {"dry_run": True})
    assert b"sk-planned" not in planned.content
    assert b"sk-old" not in planned.content
    assert b"$secret" not in planned.content
