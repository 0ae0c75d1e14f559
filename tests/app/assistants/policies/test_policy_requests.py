"""The policy is read by all, changed by admins, and each change of it is an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.assistants import changes, policy
from app.assistants.requests import ChangeRequest
from app.services import utc_now
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from events.policy import PathProtected, ReasonRequired
from events.upcasters import tag
from tests.app import stored
from tests.app.assistants.answers import errors
from tests.app.assistants.policies.rules import NONE, POLICY, WAYS, make, ok
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations
from tests.databases import config_of, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.usefixtures("demand")
def test_without_a_policy_nothing_is_demanded(admin: httpx.Client) -> None:
    assert ok(admin.get(POLICY)) == NONE


def test_what_is_not_sent_of_a_policy_is_kept(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    assert demand(admin_paths=["/llm_settings"]) == NONE | {"admin_paths": ["/llm_settings"]}
    changed = demand(require_reason=True, require_reason_for=["/name"])
    expected = NONE | {
        "require_reason": True,
        "require_reason_for": ["/name"],
        "admin_paths": ["/llm_settings"],
    }
    assert changed == ok(admin.get(POLICY)) == expected
    assert demand(admin_paths=[]) == expected | {"admin_paths": []}
    assert demand() == expected | {"admin_paths": []}


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_all_may_read_the_policy_and_only_admins_change_it(
    server: Server, organization: Organization, rows: Callable[[], Any], role: str
) -> None:
    before = rows()
    with server.client(getattr(organization, role)) as client:
        assert client.get(POLICY).json()["require_reason"] is False
        answer = client.put(POLICY, json={"require_reason": True})
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:backstory:problem:forbidden"
    assert rows() == before


def test_a_change_of_the_policy_is_an_event_of_the_log(
    admin: httpx.Client,
    server: Server,
    organization: Organization,
    demand: Callable[..., dict[str, Any]],
) -> None:
    demand(
        require_reason=True,
        admin_paths=["/name"],
        change_description=" Auditors asked ",
    )
    event = stored.events(server.database, organization.id)[-1]
    assert event["type"] == tag("policy_changed")
    assert event["assistant_id"] is None
    assert event["changes"] == {
        "/require_reason": {"before": False, "after": True},
        "/admin_paths": {"before": [], "after": ["/name"]},
    }
    (entry, *_) = ok(admin.get("/api/v1/audit/logs?event_type=policy_changed"))["logs"]
    assert entry["id"] == event["sequence"]
    assert (entry["resource_type"], entry["action"]) == ("policy", "update")
    assert entry["user_email"] == "admin@example.com"
    assert entry["details"]["reason"] == "Auditors asked"
    assert entry["old_values"] == {"/require_reason": False, "/admin_paths": []}
    assert entry["new_values"] == {"/require_reason": True, "/admin_paths": ["/name"]}


def test_a_policy_that_stays_as_it_is_is_no_event(
    demand: Callable[..., dict[str, Any]], rows: Callable[[], Any]
) -> None:
    demand(admin_paths=["/name"])
    before = rows()
    demand(admin_paths=["/name"], require_reason=False, change_description="Again")
    assert rows() == before


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"require_reasons": True}, ["body", "require_reasons"]),
        ({"require_reason": True, "admin_path": ["/name"]}, ["body", "admin_path"]),
        ({"admin_paths": ["/nme"]}, ["body", "admin_paths", 0]),
        ({"admin_paths": ["/name", "/llm_settings/temprature"]}, ["body", "admin_paths", 1]),
        ({"require_reason_for": ["/Name"]}, ["body", "require_reason_for", 0]),
        ({"require_reason_for": ["/name/"]}, ["body", "require_reason_for", 0]),
        ({"require_reason_for": ["/llm_settings/"]}, ["body", "require_reason_for", 0]),
        ({"admin_paths": ["/llm_settings/~b"]}, ["body", "admin_paths", 0]),
        ({"admin_paths": ["/custom_settings/~"]}, ["body", "admin_paths", 0]),
        ({"admin_paths": ["/webhook_headers/X~2Own"]}, ["body", "admin_paths", 0]),
        ({"require_reason_for": ["/name/first"]}, ["body", "require_reason_for", 0]),
        ({"require_reason_for": ["/version"]}, ["body", "require_reason_for", 0]),
        (
            {"admin_paths": ["/llm_fallback_providers/fallbacks/0/apikey"]},
            ["body", "admin_paths", 0],
        ),
        ({"admin_paths": ["name"]}, ["body", "admin_paths", 0]),
        ({"admin_paths": ["/"]}, ["body", "admin_paths", 0]),
        ({"admin_paths": [""]}, ["body", "admin_paths", 0]),
        ({"admin_paths": [5]}, ["body", "admin_paths", 0]),
        ({"admin_paths": "/name"}, ["body", "admin_paths"]),
        ({"admin_paths": None}, ["body", "admin_paths"]),
        ({"admin_paths": ["/name"] * 101}, ["body", "admin_paths"]),
        ({"require_reason": "perhaps"}, ["body", "require_reason"]),
        ({"require_condition": None}, ["body", "require_condition"]),
        ({"change_description": "x" * 501}, ["body", "change_description"]),
        ([], ["body"]),
    ],
)
def test_a_misspelt_rule_or_path_is_refused_for_it_would_protect_nothing(
    admin: httpx.Client, rows: Callable[[], Any], body: Any, loc: list[Any]
) -> None:
    before = rows()
    assert [place for place, _ in errors(admin.put(POLICY, json=body))] == [loc]
    assert rows() == before


@pytest.mark.parametrize(
    "path",
    ["/llm_settings/~b", "/custom_settings/~", "/llm_settings/", "/", "/llm_settings/temprature"],
)
def test_a_path_of_the_policy_that_is_no_setting_is_told_by_its_type(
    admin: httpx.Client, path: str
) -> None:
    body = {"admin_paths": ["/name", path], "require_reason_for": [path]}
    places = [["body", "require_reason_for", 0], ["body", "admin_paths", 1]]
    told = "json_pointer" if "~" in path else "no_such_path"
    assert errors(admin.put(POLICY, json=body)) == [(place, told) for place in places]


@pytest.mark.parametrize(
    "path",
    [
        "/name",
        "/tts_settings/background_sound/volume",
        "/stt_settings/flux_config/tag",
        "/custom_settings/anything/at/all",
        "/recording_settings/bucket",
        "/api_keys/own",
        "/webhook_headers/X~1Own",
        "/llm_provider_config/custom_config/api_version",
        "/tools_settings/custom_tools/0/url",
        "/llm_fallback_providers/fallbacks/0/api_key",
    ],
)
def test_every_place_that_can_hold_a_value_can_be_protected(
    demand: Callable[..., dict[str, Any]], path: str
) -> None:
    changed = demand(admin_paths=[path], require_reason_for=[path])
    assert (changed["admin_paths"], changed["require_reason_for"]) == ([path], [path])


def test_the_policy_is_not_sent_again_to_who_has_it(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    tag = admin.get(POLICY).headers["etag"]
    for tags in (tag, "*", f'"other", W/{tag}'):
        answer = admin.get(POLICY, headers={"if-none-match": tags})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    demand(require_reason=True)
    answer = admin.get(POLICY, headers={"if-none-match": tag})
    assert ok(answer) == NONE | {"require_reason": True}
    assert answer.headers["etag"] != tag


def test_the_policy_is_changed_as_it_was_read_or_not_at_all(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]], rows: Callable[[], Any]
) -> None:
    read = admin.get(POLICY).headers["etag"]
    demand(admin_paths=["/name"])
    before = rows()
    body = {"admin_paths": ["/llm_settings"]}
    stale = admin.put(POLICY, json=body, headers={"if-match": read})
    assert stale.status_code == 412
    assert stale.json()["type"] == "urn:backstory:problem:precondition-failed"
    assert stale.headers["etag"] == admin.get(POLICY).headers["etag"] != read
    assert rows() == before
    # The control: over the policy that there is, it is changed, and has a new tag.
    changed = admin.put(POLICY, json=body, headers={"if-match": stale.headers["etag"]})
    assert ok(changed)["admin_paths"] == ["/llm_settings"]
    assert changed.headers["etag"] == admin.get(POLICY).headers["etag"] != stale.headers["etag"]


def test_a_policy_has_no_dry_run(admin: httpx.Client, rows: Callable[[], Any]) -> None:
    before = rows()
    answer = admin.put(POLICY, json={"require_reason": True}, headers={"prefer": "dry-run"})
    assert errors(answer) == [(["header", "Prefer"], "no_dry_run")]
    assert rows() == before


def test_a_policy_binds_one_organization(
    server: Server, editor: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    demand(require_reason=True)
    path = f"{ASSISTANTS}/{ok(editor.post(ASSISTANTS, json={'name': 'Ours'}))['id']}"
    assert editor.patch(path, json={"name": "x"}).status_code == 422
    other = server.organization()
    with server.client(other.admin) as admin, server.client(other.editor) as client:
        assert ok(admin.get(POLICY)) == NONE
        theirs = ok(client.post(ASSISTANTS, json={"name": "Theirs"}))["id"]
        assert ok(client.patch(f"{ASSISTANTS}/{theirs}", json={"name": "x"}))


def test_creations_and_copies_are_free(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    target = make(editor, WAYS["patch"])
    demand(
        require_condition=True,
        require_reason=True,
        require_reason_for=["/name"],
        admin_paths=["/name", "/description"],
    )
    created = editor.post(ASSISTANTS, json={"name": "New", "description": "Mine"})
    assert created.status_code == 201
    assert editor.post(f"{target.path}/duplicate").status_code == 201
    # The control: a change of the same paths is not.
    path = f"{ASSISTANTS}/{created.json()['id']}"
    assert editor.patch(path, json={"description": "x"}).status_code == 428


def test_the_policy_itself_needs_no_reason(
    admin: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    demand(require_reason=True, require_condition=True)
    assert ok(admin.put(POLICY, json={"require_reason": False}))["require_reason"] is False


def test_a_policy_binds_the_next_change_and_its_end_frees_it(
    editor: httpx.Client, demand: Callable[..., dict[str, Any]]
) -> None:
    target = make(editor, WAYS["patch"])
    for number in range(4):
        demand(require_reason=True)
        body = {"description": f"{number}"}
        assert editor.patch(target.path, json=body).status_code == 422
        demand(require_reason=False)
        assert editor.patch(target.path, json=body).status_code == 200


def test_a_policy_binds_what_follows_it_in_the_same_transaction(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (organization,) = make_organizations(database, 1)
    config = config_of(database)
    actor = Actor(type="api_key", id=2, name="editor key", user_id=2)
    caller = Caller(organization_id=organization.id, actor=actor)
    with hold(database):
        engine = writing_engine(database)
        with engine.begin() as connection:
            unit = UnitOfWork(connection, open_vault(config), utc_now)
            made = changes.create(unit, caller, read_create({"name": "x"})).id

            def rename(name: str) -> int:
                change_request = ChangeRequest(caller=caller, assistant_id=made)
                patch = read_patch({"name": name})
                return changes.change(
                    unit, change_request, patch, Cause(type="patch")
                ).state.version

            assert rename("before") == 2
            policy.change(unit, caller, {"require_reason": True}, None)
            with pytest.raises(ReasonRequired):
                rename("refused")
            policy.change(unit, caller, {"require_reason": False, "admin_paths": ["/name"]}, None)
            with pytest.raises(PathProtected):
                rename("refused, too")
            policy.change(unit, caller, {"admin_paths": []}, None)
            assert rename("after") == 3
            unit.flush()
        engine.dispose()
    kinds = [event["type"] for event in stored.events(database, organization.id)]
    names = [
        "assistant_created", "assistant_settings_changed", "policy_changed",
        "policy_changed", "policy_changed", "assistant_settings_changed",
    ]  # fmt: skip
    assert kinds == list(map(tag, names))
