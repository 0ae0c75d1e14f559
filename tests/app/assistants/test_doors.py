"""What GET showed, sent back to each door; and what is the same, over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ASSISTANTS, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    Send = Callable[[httpx.Client, str, dict[str, Any]], httpx.Response]

MASK = "********"
READ_ONLY = ("id", "organization_id", "user_id", "created_at", "updated_at", "version")
FREE = {"z": 1, "a": [1.0, True, -0.0, None, " x\r\n"], "n": None, "Ä": "A\u0308", "e": ""}
ODD = {
    "name": "Front desk",
    "description": "  Blanks stay \r\n",
    "custom_settings": FREE,
    "llm_provider_config": {"custom_config": {"a": {"b": None}}},
    "stt_settings": {"keyterms": ["b", "a", "b", " a"]},
    "bypass_numbers": ["+14155551234"],
    "tools_settings": {"end_call": {"enabled": True}},
}
SECRETS = {
    "llm_provider_config": {"api_key": "sk-one", "base_url": "https://u:p@llm.example/v1"},
    "webhook_headers": {"Authorization": "Bearer hook"},
    "llm_fallback_providers": {"fallbacks": [{"provider": "openai", "api_key": "sk-two"}]},
    "custom_settings": {"crm": {"token": "t-1", "colour": "red"}},
}
SECRET_PATHS = [
    "/custom_settings/crm/token",
    "/llm_fallback_providers/fallbacks/0/api_key",
    "/llm_provider_config/api_key",
    "/llm_provider_config/base_url",
    "/webhook_headers/Authorization",
]


def made(client: httpx.Client, body: dict[str, Any]) -> str:
    answer = client.post(ASSISTANTS, json={"name": "Desk"} | body)
    assert answer.status_code == 201, answer.text
    return f"{ASSISTANTS}/{answer.json()['id']}"


def shown(client: httpx.Client, path: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(path).json()
    return body


def settings(body: dict[str, Any]) -> str:
    """The settings of an answer as bytes, so that 1, 1.0 and true differ, and the order tells."""
    return json.dumps({name: value for name, value in body.items() if name not in READ_ONLY})


def by_put(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return client.put(path, json=body)


def by_patch(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return client.patch(path, json=body)


def by_json_patch(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    operations = [{"op": "add", "path": f"/{name}", "value": body[name]} for name in body]
    kind = {"content-type": "application/json-patch+json"}
    return client.patch(path, content=json.dumps(operations), headers=kind)


def by_merge_patch(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    kind = {"content-type": "application/merge-patch+json"}
    return client.patch(path, content=json.dumps(body), headers=kind)


def by_change_set(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    ids = [int(path.rpartition("/")[2])]
    return client.post("/api/v1/change-sets", json={"assistant_ids": ids, "patch": body})


# -- back to the assistant that it was of


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("body", [ODD, SECRETS], ids=["odd", "secret"])
@pytest.mark.parametrize("send", [by_put, by_patch, by_json_patch, by_change_set])
def test_what_get_showed_changes_nothing_when_it_is_sent_back(
    editor: httpx.Client, send: Send, body: dict[str, Any], *, strict: bool
) -> None:
    path = made(editor, body)
    before = editor.get(path)
    editor.headers["prefer"] = "handling=strict" if strict else "return=representation"
    try:
        answer = send(editor, path, before.json())
    finally:
        del editor.headers["prefer"]
    assert answer.status_code in (200, 201), answer.text
    assert "x-ignored-fields" not in answer.headers
    after = editor.get(path)
    assert after.content == before.content
    assert after.headers["etag"] == before.headers["etag"]


def test_a_merge_patch_of_what_get_showed_removes_what_null_removes_and_no_more(
    editor: httpx.Client,
) -> None:
    path = made(editor, ODD)
    body = shown(editor, path)
    assert by_merge_patch(editor, path, body).status_code == 200
    after = shown(editor, path)
    del body["custom_settings"]["n"]
    body["llm_provider_config"]["custom_config"] = {"a": {}}
    assert settings(after) == settings(body)
    assert by_merge_patch(editor, path, after).json()["version"] == after["version"]


@pytest.mark.parametrize("send", [by_put, by_patch, by_json_patch, by_merge_patch, by_change_set])
def test_one_edit_in_all_that_get_showed_is_one_change(editor: httpx.Client, send: Send) -> None:
    path = made(editor, SECRETS | {"description": " as it was \r\n"})
    body = shown(editor, path)
    body["llm_settings"]["system_prompt"] = "  New \r\nprompt "
    assert send(editor, path, body).status_code in (200, 201)
    (entry,) = editor.get(f"{path}/settings-history").json()
    assert [one["path"] for one in entry["changes"]] == ["/llm_settings/system_prompt"]
    assert entry["changes"][0]["after"] == "  New \r\nprompt "


@pytest.mark.parametrize("send", [by_patch, by_json_patch, by_merge_patch, by_change_set])
def test_whole_numbers_fractions_and_switches_are_told_apart_at_every_door(
    editor: httpx.Client, send: Send
) -> None:
    path = made(editor, {"custom_settings": {"x": 1}})
    values = [1.0, True, 1, False, 0, 0.0, -0.0]
    for value in values:
        assert send(editor, path, {"custom_settings": {"x": value}}).status_code in (200, 201)
        assert json.dumps(shown(editor, path)["custom_settings"]) == json.dumps({"x": value})
    assert shown(editor, path)["version"] == 1 + len(values)
    entries = editor.get(f"{path}/settings-history").json()
    sides = [json.dumps(entry["changes"][0]["after"]) for entry in entries]
    assert sides == [json.dumps(value) for value in reversed(values)]
    blamed = editor.get(f"{path}/blame", params={"path": "/custom_settings/x"}).json()
    assert len(blamed["entries"] if isinstance(blamed, dict) else blamed) >= len(values)
    diff = editor.get(f"{path}/diff", params={"from": 1, "to": 3}).json()
    assert json.dumps([diff[0]["before"], diff[0]["after"]]) == "[1, true]"


def test_undo_rollback_and_on_conflict_tell_them_apart(editor: httpx.Client) -> None:
    path = made(editor, {"custom_settings": {"x": 1, "y": 1}})
    by_patch(editor, path, {"custom_settings": {"x": True}})
    late = {"custom_settings": {"x": 1.0}, "base_version": 1}
    clash = editor.patch(path, json=late)
    assert clash.status_code == 409
    (conflict,) = clash.json()["conflicts"]
    sides = [conflict[side] for side in ("base", "theirs", "yours")]
    assert json.dumps(sides) == "[1, true, 1.0]"
    undone = editor.post(f"{path}/undo", json={"version": 2})
    assert json.dumps(undone.json()["custom_settings"]) == '{"x": 1, "y": 1}'
    back = editor.post(f"{path}/rollback", json={"to_version": 2, "paths": ["/custom_settings/x"]})
    assert json.dumps(back.json()["custom_settings"]) == '{"x": true, "y": 1}'


@pytest.mark.parametrize(
    ("stored", "tested", "status"),
    [(1, 1.0, 200), (1, True, 409), (0, False, 409), (True, 1, 409), ([1], [True], 409)],
)
def test_a_json_patch_tests_numbers_by_value_and_no_switch_is_a_number(
    editor: httpx.Client, stored: Any, tested: Any, status: int
) -> None:
    path = made(editor, {"custom_settings": {"x": stored}})
    operations = [{"op": "test", "path": "/custom_settings/x", "value": tested}]
    kind = {"content-type": "application/json-patch+json"}
    answer = editor.patch(path, content=json.dumps(operations), headers=kind)
    assert answer.status_code == status


def test_a_computed_setting_alone_is_neither_undone_nor_rolled_back(editor: httpx.Client) -> None:
    path = made(editor, {})
    by_patch(editor, path, {"tools_settings": {"end_call": {"enabled": True}}})
    computed, source = "/tools_settings/enabled_tools", "/tools_settings/end_call/enabled"
    for way, said in (("undo", {"version": 2}), ("rollback", {"to_version": 1})):
        answer = editor.post(f"{path}/{way}", json=said | {"paths": [computed]})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["type"] == "computed_path"
    answer = editor.post(f"{path}/undo", json={"version": 2, "paths": [computed, source]})
    assert answer.json()["tools_settings"]["enabled_tools"] == []


# -- to a new one


def test_what_get_showed_makes_the_same_assistant(editor: httpx.Client) -> None:
    body = shown(editor, made(editor, ODD))
    answer = editor.post(ASSISTANTS, json=body)
    assert answer.status_code == 201, answer.text
    assert "x-ignored-fields" not in answer.headers
    assert settings(answer.json()) == settings(body)


def test_a_creation_names_every_secret_that_cannot_come_along(editor: httpx.Client) -> None:
    body = shown(editor, made(editor, SECRETS))
    before = editor.get(f"{ASSISTANTS}/count").json()
    answer = editor.post(ASSISTANTS, json=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    places = ["/" + "/".join(map(str, error["loc"][1:])) for error in detail]
    assert sorted(places) == SECRET_PATHS
    assert {error["type"] for error in detail} == {"secret_mask_unmatched"}
    assert editor.get(f"{ASSISTANTS}/count").json() == before


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_lenient_creation_leaves_them_out_and_names_them(
    editor: httpx.Client, *, dry_run: bool
) -> None:
    body = shown(editor, made(editor, SECRETS)) | {"colour": "red"}
    prefer = "handling=lenient, dry-run" if dry_run else "handling=lenient"
    answer = editor.post(ASSISTANTS, json=body, headers={"prefer": prefer})
    assert answer.status_code == (200 if dry_run else 201), answer.text
    assert answer.headers["preference-applied"] == prefer
    assert sorted(answer.json()["ignored"]) == ["/colour", *SECRET_PATHS]
    assert sorted(answer.headers["x-ignored-fields"].split(", ")) == ["/colour", *SECRET_PATHS]
    if not dry_run:
        assert MASK not in answer.text
        assert answer.json()["llm_provider_config"]["base_url"] == "https://llm.example/v1"
        assert answer.json()["custom_settings"] == {"crm": {"colour": "red"}}


def test_a_copy_names_what_it_left_out(editor: httpx.Client) -> None:
    path = made(editor, SECRETS)
    answer = editor.post(f"{path}/duplicate")
    assert answer.status_code == 201
    assert sorted(answer.headers["x-ignored-fields"].split(", ")) == SECRET_PATHS
    assert "ignored" not in answer.json()
    lenient = editor.post(f"{path}/duplicate", headers={"prefer": "handling=lenient"})
    assert sorted(lenient.json()["ignored"]) == SECRET_PATHS
    strict = editor.post(f"{path}/duplicate", headers={"prefer": "handling=strict"})
    assert strict.status_code == 422
    assert len(strict.json()["detail"]) == len(SECRET_PATHS)
    assert {error["type"] for error in strict.json()["detail"]} == {"secret_not_copied"}


def test_a_copy_of_an_assistant_without_secrets_has_all_of_it(editor: httpx.Client) -> None:
    path = made(editor, ODD)
    answer = editor.post(f"{path}/duplicate", headers={"prefer": "handling=strict"})
    assert answer.status_code == 201
    expected = shown(editor, path) | {"name": "Front desk (Copy)"}
    assert settings(answer.json()) == settings(expected)


@pytest.mark.parametrize("send", [by_put, by_patch, by_merge_patch, by_json_patch])
def test_a_lenient_change_names_all_that_it_ignored_in_its_body(
    editor: httpx.Client, send: Send
) -> None:
    path = made(editor, {})
    names = [f"unknown_{number:04}" for number in range(500)]
    editor.headers["prefer"] = "handling=lenient"
    try:
        answer = send(editor, path, dict.fromkeys(names, 1))
    finally:
        del editor.headers["prefer"]
    assert answer.json()["ignored"] == [f"/{name}" for name in names]
    assert len(answer.headers["x-ignored-fields"].split(", ")) < len(names), "a header has an end"
    assert version_of(answer) == 1
