"""Assistants are created, read, changed, duplicated and deleted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.app.assistants.shown import ASSISTANTS, SECRETS, errors
from tests.conftest import version_of

if TYPE_CHECKING:
    from tests.conftest import Organization, Server


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def history(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = client.get(f"{path}/settings-history").json()
    return entries


def test_a_name_is_enough_to_create_an_assistant(
    editor: httpx.Client, organization: Organization
) -> None:
    answer = editor.post(ASSISTANTS, json={"name": "  Front desk  "})
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert version_of(answer) == 1
    assert "x-ignored-fields" not in answer.headers
    assert created["version"] == 1
    assert created["name"] == "Front desk"
    assert created["organization_id"] == organization.id
    assert created["user_id"] == editor.get(f"{ASSISTANTS}/me/organization").json()["user_id"]
    assert created["created_at"] == created["updated_at"]
    assert _MOMENT.fullmatch(created["created_at"])


def test_what_is_sent_is_set_and_the_rest_of_its_object_has_defaults(editor: httpx.Client) -> None:
    sent = {"name": "Warm", "llm_settings": {"temperature": 0.9}, "max_call_length": 60}
    created = editor.post(ASSISTANTS, json=sent).json()
    assert created["llm_settings"]["temperature"] == 0.9
    assert created["llm_settings"]["max_tokens"] == 1000
    assert created["max_call_length"] == 60


def test_an_assistant_is_read_as_it_was_answered(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    answer = editor.get(path)
    assert answer.status_code == 200
    assert answer.json() == assistant
    assert version_of(answer) == 1


@pytest.mark.parametrize("name", [None, "", "   "])
def test_a_creation_needs_a_name(editor: httpx.Client, name: str | None) -> None:
    before = editor.get(f"{ASSISTANTS}/count").json()
    refused = errors(editor.post(ASSISTANTS, json={"name": name}))
    assert [loc for loc, _ in refused] == [["body", "name"]]
    assert errors(editor.post(ASSISTANTS, json={})) == [(["body", "name"], "missing")]
    assert editor.get(f"{ASSISTANTS}/count").json() == before


def test_a_name_has_at_most_100_characters(editor: httpx.Client) -> None:
    assert editor.post(ASSISTANTS, json={"name": "é" * 100}).status_code == 201
    refused = errors(editor.post(ASSISTANTS, json={"name": "é" * 101}))
    assert refused == [(["body", "name"], "string_too_long")]


def test_ids_are_counted_in_each_organization(server: Server) -> None:
    with server.client(server.organization().editor) as client:
        for expected in (1, 2):
            assert client.post(ASSISTANTS, json={"name": "One"}).json()["id"] == expected
        client.delete(f"{ASSISTANTS}/2")
        assert client.post(ASSISTANTS, json={"name": "Another"}).json()["id"] == 3


def test_a_reason_given_on_creation_is_accepted_and_not_shown(editor: httpx.Client) -> None:
    sent = {"name": "Said", "change_description": "Because"}
    answer = editor.post(ASSISTANTS, json=sent)
    assert answer.status_code == 201
    assert "change_description" not in answer.json()
    assert "x-ignored-fields" not in answer.headers


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_a_change_keeps_what_it_does_not_name(
    editor: httpx.Client, assistant: dict[str, Any], path: str, verb: str
) -> None:
    answer = editor.request(
        verb, path, json={"tts_settings": {"background_sound": {"loop": False}}}
    )
    changed = answer.json()
    assert answer.status_code == 200
    assert version_of(answer) == 2
    assert changed["version"] == 2
    assert changed["updated_at"] > assistant["updated_at"]
    assistant["tts_settings"]["background_sound"]["loop"] = False
    for name in ("version", "updated_at"):
        changed[name] = assistant[name]
    assert changed == assistant
    assert editor.get(path).json()["version"] == 2


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_lists_are_replaced_and_objects_merged(editor: httpx.Client, path: str, verb: str) -> None:
    for body in (
        {"stt_settings": {"keyterms": ["pizza", "pasta"], "keywords": [{"keyword": "x"}]}},
        {"stt_settings": {"keyterms": ["salad"]}},
    ):
        changed = editor.request(verb, path, json=body).json()
    assert changed["stt_settings"]["keyterms"] == ["salad"]
    assert changed["stt_settings"]["keywords"] == [{"keyword": "x", "intensifier": 1.0}]


def test_custom_settings_merge_one_level_deep(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"custom_settings": {"a": {"x": 1, "y": 2}, "b": 1}})
    changed = editor.patch(path, json={"custom_settings": {"a": {"z": 3}, "b": None}}).json()
    assert changed["custom_settings"] == {"a": {"z": 3}}


def test_a_structured_data_schema_may_be_a_json_string(editor: httpx.Client, path: str) -> None:
    sent = {"custom_settings": {"structured_data_schema": '{"type": "object"}'}}
    changed = editor.patch(path, json=sent).json()
    assert changed["custom_settings"] == {"structured_data_schema": {"type": "object"}}
    for wrong in ("{", "[1]", 5):
        sent = {"custom_settings": {"structured_data_schema": wrong}}  # type: ignore[dict-item]
        refused = errors(editor.patch(path, json=sent))
        assert refused[0][0] == ["body", "custom_settings", "structured_data_schema"]


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.parametrize("value", [None, "", "   "])
def test_null_or_blank_clears_a_text(
    editor: httpx.Client, path: str, verb: str, value: str | None
) -> None:
    editor.patch(path, json={"idle_message": "Hello?"})
    assert editor.request(verb, path, json={"idle_message": value}).json()["idle_message"] is None


def test_a_blank_inside_an_object_is_a_value(editor: httpx.Client, path: str) -> None:
    changed = editor.patch(path, json={"llm_settings": {"welcome_message": ""}}).json()
    assert changed["llm_settings"]["welcome_message"] == ""


@pytest.mark.parametrize(
    "name",
    ["llm_settings", "tts_settings", "stt_settings", "tools_settings", "recording_settings"],
)
def test_null_puts_a_settings_object_back_to_its_defaults(
    editor: httpx.Client, assistant: dict[str, Any], path: str, name: str
) -> None:
    members = {
        "llm_settings": {"temperature": 2},
        "tts_settings": {"voice_id": "adam"},
        "stt_settings": {"model": "nova-3"},
        "tools_settings": {"end_call": {"enabled": True}},
        "recording_settings": {"enabled": False, "unknown": 1},
    }
    assert editor.patch(path, json={name: members[name]}).json()[name] != assistant[name]
    assert editor.patch(path, json={name: None}).json()[name] == assistant[name]


@pytest.mark.parametrize(
    "name", ["name", "llm_provider", "is_active", "conversation_continuity_enabled"]
)
def test_null_is_ignored_where_it_has_no_meaning(
    editor: httpx.Client, assistant: dict[str, Any], path: str, name: str
) -> None:
    answer = editor.patch(path, json={name: None})
    assert answer.status_code == 200
    assert answer.json() == assistant


def test_null_for_a_member_that_must_have_a_value_is_refused(
    editor: httpx.Client, path: str
) -> None:
    body = {"stt_settings": {"model": None, "punctuate": None, "provider": None}}
    assert [loc for loc, _ in errors(editor.patch(path, json=body))] == [
        ["body", "stt_settings", "model"],
        ["body", "stt_settings", "punctuate"],
    ]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"max_idle_messages": "5"}, 5),
        ({"max_idle_messages": 5.0}, 5),
        ({"is_active": "off"}, False),
        ({"is_active": 0}, False),
        ({"is_active": "No"}, False),
        ({"conversation_continuity_enabled": "false"}, False),
        ({"tts_limit": "1000"}, 1000),
    ],
)
def test_values_are_coerced_as_the_published_api_does(
    editor: httpx.Client, path: str, body: dict[str, Any], shown: Any
) -> None:
    (name,) = body
    changed = editor.patch(path, json=body).json()[name]
    assert changed == shown
    assert type(changed) is type(shown)


def test_a_change_that_changes_nothing_records_nothing(
    server: Server,
    organization: Organization,
    editor: httpx.Client,
    assistant: dict[str, Any],
    path: str,
) -> None:
    before = stored.rows(server.database, organization.id)
    for verb, body in (
        ("PATCH", {}),
        ("PUT", {}),
        ("PATCH", {"name": "Front desk"}),
        ("PATCH", {"llm_settings": {"temperature": 0.5}, "change_description": "Again"}),
        ("PUT", assistant),
    ):
        answer = editor.request(verb, path, json=body)
        assert answer.status_code == 200
        assert version_of(answer) == 1
        assert answer.json() == assistant
    assert editor.patch(f"{path}/status?is_active=true").json() == assistant
    assert stored.rows(server.database, organization.id) == before
    # The control: a change does leave its mark.
    editor.patch(path, json={"llm_settings": {"temperature": 0.6}})
    assert stored.rows(server.database, organization.id) != before


def test_what_was_read_can_be_sent_back(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    strictly = {"prefer": "handling=strict"}
    for verb in ("PATCH", "PUT"):
        answer = editor.request(verb, path, json=assistant, headers=strictly)
        assert answer.json() == assistant
        assert "x-ignored-fields" not in answer.headers
    # Strict is the control of itself: it does refuse what is not known.
    assert errors(editor.patch(path, json=assistant | {"nane": "x"}, headers=strictly))


def test_a_status_is_changed_by_its_query(editor: httpx.Client, path: str) -> None:
    # SDKs declare JSON and send nothing.
    as_sdks_do = {"content-type": "application/json"}
    answer = editor.patch(f"{path}/status?is_active=false", headers=as_sdks_do)
    assert answer.status_code == 200
    assert answer.request.headers["content-length"] == "0"
    assert answer.json()["is_active"] is False
    assert version_of(answer) == 2
    assert editor.patch(f"{path}/status?is_active=true").json()["is_active"] is True


def test_a_status_without_its_query_is_refused(editor: httpx.Client, path: str) -> None:
    assert errors(editor.patch(f"{path}/status")) == [(["query", "is_active"], "missing")]
    refused = errors(editor.patch(f"{path}/status?is_active=perhaps"))
    assert refused == [(["query", "is_active"], "bool_parsing")]


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_settings_that_would_be_too_large_are_refused_and_nothing_is_recorded(
    server: Server, organization: Organization, editor: httpx.Client, path: str, verb: str
) -> None:
    prompt = {"llm_settings": {"system_prompt": "x" * 1_000_000}}
    assert editor.patch(path, json=prompt).is_success
    assert editor.patch(path, json={"custom_settings": {"a": "x" * 1_000_000}}).is_success
    before = stored.rows(server.database, organization.id)
    more = {"custom_settings": {"b": "x" * 100_000}}
    assert errors(editor.request(verb, path, json=more)) == [(["body"], "too_large")]
    assert stored.rows(server.database, organization.id) == before
    # The control: with less of something else there is room for it.
    assert editor.request(verb, path, json=more | {"llm_settings": None}).is_success


def test_a_deleted_assistant_is_gone_from_everywhere(server: Server) -> None:
    with server.client(server.organization().editor) as client:
        client.post(ASSISTANTS, json={"name": "Front desk"})
        answer = client.delete(f"{ASSISTANTS}/1")
        assert answer.status_code == 200
        assert answer.json() == {
            "success": True, "message": "Assistant Front desk deleted successfully", "data": None,
        }  # fmt: skip
        assert client.get(ASSISTANTS).json() == []
        assert client.get(f"{ASSISTANTS}/count").json() == {"count": 0}
        assert client.get(f"{ASSISTANTS}/export?format=json&assistant_ids=1").json() == []
        for request in (
            client.get(f"{ASSISTANTS}/1"),
            client.patch(f"{ASSISTANTS}/1", json={}),
            client.put(f"{ASSISTANTS}/1", json={"name": "x"}),
            client.patch(f"{ASSISTANTS}/1/status?is_active=true"),
            client.delete(f"{ASSISTANTS}/1"),
            client.post(f"{ASSISTANTS}/1/duplicate"),
            client.get(f"{ASSISTANTS}/1/settings-history"),
            client.get(f"{ASSISTANTS}/1/settings-history/2"),
            client.post(f"{ASSISTANTS}/1/settings-history/2/rollback"),
        ):
            assert request.status_code == 404
            text = "Assistant with ID 1 not found in your organization"
            assert request.json()["detail"] == text


def test_a_duplicate_has_the_settings_and_not_the_secrets(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    editor.patch(path, json=SECRETS | {"description": "Copied"})
    before = editor.get(path).json()
    answer = editor.post(f"{path}/duplicate")
    copy = answer.json()
    assert answer.status_code == 201
    assert version_of(answer) == 1
    assert copy["version"] == 1
    assert copy["id"] > assistant["id"]
    assert copy["name"] == "Front desk (Copy)"
    assert copy["description"] == "Copied"
    assert "********" not in answer.text
    assert copy["llm_provider_config"]["api_key"] is None
    assert copy["llm_settings"] == before["llm_settings"]
    assert editor.get(path).json() == before
    assert history(editor, f"{ASSISTANTS}/{copy['id']}") == []


def test_a_duplicates_name_is_cut_to_what_a_name_may_hold(editor: httpx.Client) -> None:
    created = editor.post(ASSISTANTS, json={"name": "n" * 100}).json()
    copy = editor.post(f"{ASSISTANTS}/{created['id']}/duplicate").json()
    assert copy["name"] == "n" * 93 + " (Copy)"
