"""The policy decides which further paths are secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import errors
from tests.app.assistants.policies.rules import POLICY, SETS, crm, ok, shown
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Callable


ACCOUNTS = "/custom_settings/crm/*/account"


ASKED = "/custom_settings/crm/*/password"


@pytest.mark.parametrize("way", ["create", "patch", "put", "json patch", "change set"])
def test_the_policy_decides_what_is_secret_by_every_way_of_setting_it(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]], rows: Callable[[], Any], way: str
) -> None:
    demand(secret_paths=[ACCOUNTS], plain_paths=[ASKED])
    body = crm(account=f"4711 {way}", password="please ask", pin="1234")  # noqa: S106  # no secret
    made = ok(editor.post(ASSISTANTS, json={"name": "Desk"} | (body if way == "create" else {})))
    path = f"{ASSISTANTS}/{made['id']}"
    match way:
        case "patch" | "put":
            made = ok(editor.request(way.upper(), path, json=body))
        case "json patch":
            value = {"op": "add", "path": "/custom_settings", "value": body["custom_settings"]}
            kind = {"content-type": "application/json-patch+json"}
            made = ok(editor.patch(path, json=[value], headers=kind))
        case "change set":
            ok(editor.post(SETS, json={"assistant_ids": [made["id"]], "patch": body}))
            made = ok(editor.get(path))
    assert shown(made) == {"account": "********", "password": "please ask", "pin": "********"}
    assert f"4711 {way}" not in repr(rows())
    assert ok(editor.put(path, json=made))["version"] == made["version"]


def test_a_path_that_becomes_plain_shows_nothing_that_was_sealed(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    made = ok(editor.post(ASSISTANTS, json={"name": "Desk"} | crm(password="hunter2")))  # noqa: S106
    path = f"{ASSISTANTS}/{made['id']}"
    demand(plain_paths=[ASKED])
    ok(editor.patch(path, json=crm(password="hunter3")))  # noqa: S106
    seen = [
        editor.get(path),
        editor.get(f"{path}/settings-history"),
        editor.get(f"{path}?version=1"),
    ]
    assert not any("hunter2" in answer.text for answer in seen)
    assert "hunter3" in seen[0].text


def test_a_change_of_the_paths_is_an_event_with_its_actor(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    demand(secret_paths=[ACCOUNTS], change_description="They are account numbers")
    newest = ok(admin.get("/api/v1/audit/logs?limit=1"))
    assert ACCOUNTS in str(newest)
    assert "They are account numbers" in str(newest)


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        ({"secret_paths": ["/llm_settings/temperature"]}, "cannot_be_secret"),
        ({"secret_paths": ["/bypass_numbers"]}, "never_secret"),
        ({"secret_paths": ["/llm_setting"]}, "no_such_path"),
        ({"plain_paths": ["/llm_provider_config/api_key"]}, "secret_by_definition"),
        ({"plain_paths": ["/api_keys/*"]}, "secret_by_definition"),
        ({"plain_paths": ["/api_keys"]}, "secret_by_definition"),
        ({"plain_paths": ["/webhook_headers"]}, "secret_by_definition"),
        ({"plain_paths": ["/nothing/*"]}, "no_such_path"),
        ({"admin_paths": ["/*/temperature"]}, "no_such_path"),
    ],
)
def test_a_path_that_could_mean_nothing_is_refused_with_its_rule(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]], rules: dict[str, Any], kind: str
) -> None:
    before = demand()
    (name,) = rules
    assert errors(admin.put(POLICY, json=rules)) == [(["body", name, 0], kind)]
    assert ok(admin.get(POLICY)) == before
