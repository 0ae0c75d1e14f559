"""Answers, plans, the stream and the description say when a change takes effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from events import effects
from events.setting_types import EFFECTS
from tests.app.streams import events_until_now
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    import httpx

    from tests.console import Browser

HEADER = "x-takes-effect"
SETS = "/api/v1/change-sets"
_STT = {"model": "nova-3"}
_CHANGES = [
    ({"idle_message": "Hello?"}, "live"),
    ({"idle_message": "Hello?", "llm_settings": {"temperature": 0.2}}, "next_turn"),
    ({"llm_settings": {"temperature": 0.2}, "stt_settings": {"model": "nova-3"}}, "next_call"),
    ({"description": None}, None),  # changes nothing
]


@pytest.mark.parametrize(("body", "effect"), _CHANGES)
def test_an_answer_a_plan_and_the_stream_say_the_latest_of_what_changed(
    editor: httpx.Client, assistant: dict[str, Any], body: dict[str, Any], effect: str | None
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    planned = editor.patch(path, json=body, params={"dry_run": "true"})
    assert planned.json()["takes_effect"] == planned.headers.get(HEADER) == effect
    for verb in ("PATCH", "PUT"):
        version = editor.get(path).json()["version"]
        changed = editor.request(verb, path, json=body)
        assert changed.headers.get(HEADER) == effect
        told = [one.data.get("takes_effect") for one in events_until_now(editor, after=version)]
        assert told == ([] if effect is None else [effect])
        if effect is not None:
            undone = editor.post(f"{path}/undo", json={"version": version + 1})
            assert undone.headers[HEADER] == effect


def test_it_is_said_again_and_without_a_body(
    editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    once = {"idempotency-key": "once", "prefer": "return=minimal"}
    for _ in range(2):
        answer = editor.patch(path, json={"idle_message": "Hello?"}, headers=once)
        assert (answer.status_code, answer.headers[HEADER]) == (204, "live")
    switched = editor.patch(f"{path}/status", params={"is_active": "false"})
    assert switched.headers[HEADER] == "next_call"


def test_of_a_change_set_it_is_the_latest_of_all_assistants(editor: httpx.Client) -> None:
    # The one assistant has the message already, the other has the language.
    bodies = [{"name": "A", "idle_message": "Hello?"}, {"name": "B", "stt_settings": _STT}]
    ids = [editor.post(ASSISTANTS, json=body).json()["id"] for body in bodies]
    patch = {"idle_message": "Hello?", "stt_settings": _STT}
    body = {"assistant_ids": ids, "patch": patch}
    planned = editor.post(SETS, json=body | {"dry_run": True})
    once = {"idempotency-key": "once"}
    made, repeated = (editor.post(SETS, json=body, headers=once) for _ in range(2))
    reverted = editor.post(f"{SETS}/{made.json()['change_set_id']}/revert")
    for answer in (planned, made, repeated, reverted):
        assert (answer.is_success, answer.headers[HEADER]) == (True, "next_call")
    live = editor.post(SETS, json={"assistant_ids": ids[1:], "patch": {"idle_message": "Hi?"}})
    assert live.headers[HEADER] == "live"
    nothing = editor.post(SETS, json={"assistant_ids": ids[1:], "patch": {"idle_message": "Hi?"}})
    assert (nothing.is_success, HEADER in nothing.headers) == (True, False)


def test_what_changes_no_settings_takes_no_effect(
    editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    for answer in (
        editor.post(ASSISTANTS, json={"name": "Another"}),
        editor.post(f"{path}/duplicate"),
        editor.delete(path),
        editor.post(f"{path}/restore"),
    ):
        assert answer.is_success
        assert HEADER not in answer.headers
    assert not [one for one in events_until_now(editor, after=0) if "takes_effect" in one.data]


def test_the_description_says_it_of_every_setting(admin: httpx.Client) -> None:
    schemas = admin.get("/schema/openapi.json").json()["components"]["schemas"]
    for body in ("AssistantCreate", "AssistantPatch", "AssistantUpdate", "AssistantResponse"):
        properties = schemas[body]["properties"]
        for name in ("idle_message", "llm_provider", "recording_settings", "api_keys"):
            assert properties[name]["x-takes-effect"] == effects.effect_of(f"/{name}")
    prompt = schemas["LLMSettings"]["properties"]["system_prompt"]
    welcome = schemas["LLMSettings"]["properties"]["welcome_message"]
    assert (prompt["x-takes-effect"], welcome["x-takes-effect"]) == ("next_turn", "next_call")
    assert set(EFFECTS) == {
        one["x-takes-effect"]
        for schema in schemas.values()
        for one in schema.get("properties", {}).values()
        if "x-takes-effect" in one
    }


def test_the_plan_on_a_page_says_it_in_words(
    operator: Browser, editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    editor.patch(path, json={"idle_message": "Hello?"})
    page = operator.get(f"/assistants/{assistant['id']}/undo/2")
    assert "Running calls follow this at once." in page.text
