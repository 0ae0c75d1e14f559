"""No way to change an assistant goes around a rule of the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import errors
from tests.app.assistants.policies.rules import WAYS, make, ok
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Callable


_ALL_WAYS = pytest.mark.parametrize("way", WAYS)


_TOUCHING = pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.touches])


@_ALL_WAYS
def test_without_a_policy_every_way_is_free(editor: httpx.Client, way: str) -> None:
    """The control of all that follows: the same requests pass."""
    one = WAYS[way]
    assert make(editor, one).ask(editor, one).is_success


@_ALL_WAYS
def test_where_a_reason_is_demanded_no_way_goes_without_one(
    editor: httpx.Client,
    admin: httpx.Client,
    demand: Callable[..., dict[str, Any]],
    rows: Callable[[], Any],
    way: str,
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(require_reason=True)
    before = rows()
    for client in (editor, admin):  # admins, too, must say why
        for reason in (None, "", "  \t"):
            answer = target.ask(client, one, reason)
            assert errors(answer) == [(one.reason_at, "require_reason")]
            problem = answer.json()
            assert problem["type"] == "urn:backstory:problem:reason-required"
            assert problem["rule"] == "require_reason"
    assert rows() == before
    assert target.ask(editor, one, " Because ").is_success


@_ALL_WAYS
def test_a_reason_that_is_given_stands_in_the_history(
    editor: httpx.Client, admin: httpx.Client, way: str
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    assert target.ask(editor, one, " Because ").is_success
    query = {"limit": 1, "include_deleted": True}
    for place in ("versions", "settings-history"):
        (entry,) = ok(admin.get(f"{target.path}/{place}", params=query))
        assert entry["change_description"] == "Because"


@_TOUCHING
def test_where_a_reason_is_demanded_for_a_path_no_way_to_it_goes_without_one(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]], rows: Callable[[], Any], way: str
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(require_reason_for=["/name", str(one.touches)])
    before = rows()
    answer = target.ask(editor, one)
    assert errors(answer) == [(one.reason_at, "require_reason_for")]
    assert answer.json()["rule"] == "require_reason_for"
    assert answer.json()["paths"] == [one.touches]
    assert rows() == before
    assert target.ask(editor, one, "Because").is_success


@_ALL_WAYS
def test_where_a_reason_is_demanded_for_other_paths_every_way_is_free(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]], way: str
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(require_reason_for=["/name", "/llm_settings/max_tokens"])
    assert target.ask(editor, one).is_success


def test_where_a_reason_is_demanded_nothing_is_erased_without_one(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]], rows: Callable[[], Any]
) -> None:
    secret = {"name": "Front desk", "api_keys": {"own": "sk-1"}}
    path = f"{ASSISTANTS}/{ok(admin.post(ASSISTANTS, json=secret))['id']}"
    demand(require_reason=True)
    before = rows()
    for place in (f"{path}/secrets", "/api/v1/vault/secrets"):
        for body in ({}, {"reason": " "}):
            answer = admin.request("DELETE", place, json=body)
            assert errors(answer) == [(["body", "reason"], "require_reason")]
    assert rows() == before
    # The controls: with a reason; and a label, which changes no settings, needs none.
    assert ok(admin.put(f"{path}/versions/1/label", json={"label": "first"}))
    assert ok(admin.request("DELETE", f"{path}/secrets", json={"reason": "Left us"}))
    assert ok(admin.request("DELETE", "/api/v1/vault/secrets", json={"reason": "Closed"}))


def test_where_a_reason_is_demanded_for_paths_an_erasure_needs_none(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    secret = {"name": "Front desk", "api_keys": {"own": "sk-1"}}
    path = f"{ASSISTANTS}/{ok(admin.post(ASSISTANTS, json=secret))['id']}"
    demand(require_reason_for=["/api_keys"])
    assert ok(admin.delete(f"{path}/secrets"))["message"] == "1 secret erased"


@_TOUCHING
def test_what_is_for_admins_no_way_of_an_editor_changes(
    editor: httpx.Client,
    admin: httpx.Client,
    demand: Callable[..., dict[str, Any]],
    rows: Callable[[], Any],
    way: str,
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(admin_paths=["/name", str(one.touches)])
    before = rows()
    for reason in (None, "Because"):
        answer = target.ask(editor, one, reason)
        assert answer.status_code == 403
        problem = answer.json()
        assert problem["type"] == "urn:backstory:problem:path-protected"
        assert (problem["rule"], problem["paths"]) == ("admin_paths", [one.touches])
    assert rows() == before
    assert target.ask(admin, one).is_success


@_ALL_WAYS
def test_what_is_not_for_admins_is_free(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]], way: str
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(admin_paths=["/name", "/llm_settings/max_tokens", "/tts_settings"])
    assert target.ask(editor, one).is_success


def test_what_stays_as_it_is_is_not_changed_by_sending_it(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    target = make(editor, WAYS["patch"])
    demand(admin_paths=["/description"], require_reason_for=["/name"])
    shown = ok(editor.get(target.path))
    assert ok(editor.put(target.path, json=shown)) == shown
    assert ok(editor.patch(target.path, json={"description": "v2", "idle_message": "Hello?"}))
    assert editor.patch(target.path, json={"description": "v3"}).status_code == 403


@pytest.mark.parametrize("rule", ["admin_paths", "require_reason_for"])
@pytest.mark.parametrize(
    ("protected", "patch", "paths"),
    [
        # Below what is protected, at it, and through what it is in.
        ("/llm_settings", {"llm_settings": {"temperature": 1}}, ["/llm_settings/temperature"]),
        (
            "/stt_settings/flux_config/tag",
            {"stt_settings": {"flux_config": {"tag": "x"}}},
            ["/stt_settings/flux_config"],
        ),
        ("/custom_settings/crm/owner", {"custom_settings": {"crm": {}}}, ["/custom_settings"]),
        ("/api_keys/own", {"api_keys": {"own": "sk-1"}}, ["/api_keys"]),
        (
            "/llm_fallback_providers/fallbacks/0/api_key",
            {"llm_fallback_providers": {"fallbacks": [{"provider": "groq"}]}},
            ["/llm_fallback_providers/fallbacks"],
        ),
        (
            "/llm_settings/max_tokens",
            {"description": "x", "llm_settings": {"max_tokens": 5, "temperature": 1}},
            ["/llm_settings/max_tokens"],
        ),
    ],
)
def test_a_rule_for_a_path_holds_for_what_is_below_and_what_is_above_it(
    editor: httpx.Client,
    demand: Callable[..., dict[str, Any]],
    rule: str,
    protected: str,
    patch: dict[str, Any],
    paths: list[str],
) -> None:
    target = make(editor, WAYS["patch"])
    demand(**{rule: [protected]})
    answer = editor.patch(target.path, json=patch)
    assert answer.status_code == {"admin_paths": 403, "require_reason_for": 422}[rule]
    assert (answer.json()["rule"], answer.json()["paths"]) == (rule, paths)
    demand(**{rule: ["/idle_message"]})
    assert editor.patch(target.path, json=patch).status_code == 200


def test_the_reset_of_what_holds_a_protected_path_is_refused(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    target = make(editor, WAYS["patch"])
    ok(editor.patch(target.path, json={"stt_settings": {"flux_config": {"tag": "x"}}}))
    demand(admin_paths=["/stt_settings/flux_config/tag", "/llm_settings/temperature"])
    for patch in ({"stt_settings": {"flux_config": None}}, {"llm_settings": None}):
        assert editor.patch(target.path, json=patch).status_code == 403
    for path in ("/stt_settings", "/stt_settings/flux_config"):
        body = {"to_version": 1, "paths": [path]}
        assert editor.post(f"{target.path}/rollback", json=body).status_code == 403
    # The control: the neighbours of what is protected.
    assert editor.patch(target.path, json={"stt_settings": {"model": "x"}}).status_code == 200


def test_protection_comes_before_the_demand_for_a_reason(
    editor: httpx.Client, admin: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    target = make(editor, WAYS["patch"])
    demand(require_reason=True, admin_paths=["/description"])
    assert target.ask(editor, WAYS["patch"]).status_code == 403
    assert target.ask(admin, WAYS["patch"]).status_code == 422
    assert target.ask(admin, WAYS["patch"], "Because").status_code == 200


@pytest.mark.parametrize(
    "way", [name for name in WAYS if name not in ("patch over a base", "restore", "revert")]
)
def test_where_a_condition_is_demanded_no_way_goes_without_one(
    editor: httpx.Client,
    admin: httpx.Client,
    demand: Callable[..., dict[str, Any]],
    rows: Callable[[], Any],
    way: str,
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(require_condition=True)
    before = rows()
    for client in (editor, admin):
        answer = target.ask(client, one)
        assert answer.status_code == 428
        assert answer.json()["type"] == "urn:backstory:problem:precondition-required"
        assert answer.json()["rule"] == "require_condition"
    planned = target.ask(editor, one, headers={"prefer": "dry-run"})
    assert planned.status_code == 200
    assert rows() == before
    condition = {"if-match": planned.headers["etag"]}
    assert target.ask(editor, one, headers=condition).is_success


@pytest.mark.parametrize("way", ["patch over a base", "restore", "revert"])
def test_what_takes_others_changes_into_account_by_itself_needs_no_condition(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]], way: str
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(require_condition=True)
    assert target.ask(editor, one).is_success


@_ALL_WAYS
def test_a_plan_tells_that_a_reason_is_demanded_instead_of_refusing(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]], rows: Callable[[], Any], way: str
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    planned = plan_of(target.ask(editor, one, headers={"prefer": "dry-run"}))
    assert (planned["applicable"], planned["refused"]) == (True, [])
    demand(require_reason=True)
    before = rows()
    plan = plan_of(target.ask(editor, one, headers={"prefer": "dry-run"}))
    assert plan["refused"] == [{"rule": "require_reason", "paths": []}]
    assert plan == planned | {"applicable": False, "refused": plan["refused"]}
    plan = plan_of(target.ask(editor, one, "Because", headers={"prefer": "dry-run"}))
    assert plan == planned
    assert rows() == before


@_TOUCHING
def test_a_plan_tells_which_paths_are_protected_instead_of_refusing(
    editor: httpx.Client,
    admin: httpx.Client,
    demand: Callable[..., dict[str, Any]],
    rows: Callable[[], Any],
    way: str,
) -> None:
    one = WAYS[way]
    target = make(editor, one)
    demand(admin_paths=[str(one.touches)])
    before = rows()
    plan = plan_of(target.ask(editor, one, headers={"prefer": "dry-run"}))
    assert plan["applicable"] is False
    assert plan["refused"] == [{"rule": "admin_paths", "paths": [one.touches]}]
    assert one.touches in [change["path"] for change in plan["changes"]]
    plan = plan_of(target.ask(admin, one, headers={"prefer": "dry-run"}))
    assert (plan["applicable"], plan["refused"]) == (True, [])
    assert rows() == before


def plan_of(answer: httpx.Response) -> dict[str, Any]:
    """The plan of one assistant; that of a set holds it."""
    plan: dict[str, Any] = ok(answer, 200)
    return plan["plans"][0] if "plans" in plan else plan
