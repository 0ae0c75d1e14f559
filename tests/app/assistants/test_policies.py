"""The organization's policy over HTTP: what it demands of changes, and what it warns of."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from msgspec import Struct

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
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations
from tests.databases import config_of, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLICY = "/api/v1/policy"
SETS = "/api/v1/change-sets"
NONE: dict[str, Any] = {
    "require_condition": False,
    "require_reason": False,
    "require_reason_for": [],
    "admin_paths": [],
    "secret_paths": [],
    "plain_paths": [],
}
PROMPT = "You are the receptionist of the Hotel Seeblick. Answer in one sentence, be kind to all. "


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture
def demand(admin: httpx.Client) -> Iterator[Callable[..., dict[str, Any]]]:
    """Changes the policy; after the test there is none again."""

    def change(**rules: Any) -> dict[str, Any]:
        changed: dict[str, Any] = ok(admin.put(POLICY, json=rules))
        return changed

    yield change
    change(**NONE)


@pytest.fixture
def rows(server: Server, organization: Organization) -> Callable[[], Any]:
    """All rows of the organization."""
    return partial(stored.rows, server.database, organization.id)


def ok(answer: httpx.Response, *statuses: int) -> Any:
    assert answer.status_code in (statuses or (200, 201)), answer.text
    return answer.json()


def errors(answer: httpx.Response) -> list[tuple[list[Any], str]]:
    assert answer.status_code == 422, answer.text
    return [(error["loc"], error["type"]) for error in answer.json()["detail"]]


def newest(client: httpx.Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = ok(client.get(f"{path}/versions?limit=1"))[0]
    return found


# -- the policy itself


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


# -- every way to change an assistant


class Way(Struct, frozen=True, kw_only=True):
    """A request that changes an assistant; ``touches`` is a path that it changes."""

    verb: str
    place: str  # below the assistant, or absolute
    body: Any = None
    kind: str = "application/json"
    touches: str | None = "/description"
    by_query: bool = False  # the reason stands in the query
    after: str = ""  # what must have been done: "deletion" or "set"

    @property
    def reason_at(self) -> list[str]:
        """Where the reason is missed: in the query where the body has no place for one."""
        in_query = self.by_query and not isinstance(self.body, dict)
        return ["query" if in_query else "body", "change_description"]


WAYS = {
    "patch": Way(verb="PATCH", place="", body={"description": "new"}),
    "merge patch": Way(
        verb="PATCH", place="", body={"description": "new"}, kind="application/merge-patch+json"
    ),
    "patch over a base": Way(verb="PATCH", place="", body={"description": "x", "base_version": 2}),
    "patch, said in the query": Way(
        verb="PATCH", place="", body={"description": "new"}, by_query=True
    ),
    "json patch": Way(
        verb="PATCH",
        place="",
        body=[{"op": "replace", "path": "/description", "value": "new"}],
        kind="application/json-patch+json",
        by_query=True,
    ),
    "put": Way(verb="PUT", place="", body={"description": "new"}),
    "status": Way(
        verb="PATCH", place="/status?is_active=false", touches="/is_active", by_query=True
    ),
    "delete": Way(verb="DELETE", place="", touches=None, by_query=True),
    "restore": Way(verb="POST", place="/restore", body={}, touches=None, after="deletion"),
    "rollback": Way(verb="POST", place="/rollback", body={"to_version": 1}),
    "rollback of a path": Way(
        verb="POST", place="/rollback", body={"to_version": 1, "paths": ["/description"]}
    ),
    "rollback to an entry": Way(verb="POST", place="/settings-history/2/rollback", body={}),
    "undo": Way(verb="POST", place="/undo", body={"version": 2}),
    "change set": Way(verb="POST", place=SETS, body={"patch": {"description": "new"}}),
    "revert": Way(verb="POST", place=f"{SETS}/{{set}}/revert", body={}, after="set"),
}
_ALL_WAYS = pytest.mark.parametrize("way", WAYS)
_TOUCHING = pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.touches])


class Target(Struct, frozen=True, kw_only=True):
    """An assistant whose version 2 changed its description and its temperature."""

    path: str
    id: int
    set_id: int

    def ask(
        self,
        client: httpx.Client,
        way: Way,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send the request, with a reason where its kind takes one."""
        place = way.place.format(set=self.set_id)
        body = way.body
        options: dict[str, Any] = {}
        if way.place == SETS:
            body = body | {"assistant_ids": [self.id]}
        if reason is not None and way.by_query:
            options["params"] = {"change_description": reason}
            if "?" in place:
                place, _, query = place.partition("?")
                options["params"] |= dict([query.split("=")])
        elif reason is not None:
            body = body | {"change_description": reason}
        if body is not None:
            options["json"] = body
        sent = {"content-type": way.kind} | (headers or {})
        url = place if place.startswith("/api/") else f"{self.path}{place}"
        return client.request(way.verb, url, headers=sent, **options)


def make(editor: httpx.Client, way: Way) -> Target:
    """A target in the state which a way needs, before there is a policy."""
    made = ok(editor.post(ASSISTANTS, json={"name": "Front desk"}))["id"]
    path = f"{ASSISTANTS}/{made}"
    ok(editor.patch(path, json={"description": "v2", "llm_settings": {"temperature": 0.2}}))
    set_id = 0
    if way.after == "set":
        body = {"assistant_ids": [made], "patch": {"description": "set"}}
        set_id = ok(editor.post(SETS, json=body))["change_set_id"]
    if way.after == "deletion":
        ok(editor.delete(path))
    return Target(path=path, id=made, set_id=set_id)


@_ALL_WAYS
def test_without_a_policy_every_way_is_free(editor: httpx.Client, way: str) -> None:
    """The control of all that follows: the same requests pass."""
    one = WAYS[way]
    assert make(editor, one).ask(editor, one).is_success


# -- reasons


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


# -- protected paths


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


# -- conditions


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


# -- what is free


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


# -- plans


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


# -- at once


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
                wish = ChangeRequest(caller=caller, assistant_id=made)
                patch = read_patch({"name": name})
                return changes.change(unit, wish, patch, Cause(type="patch")).state.version

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


# -- warnings

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


# -- which paths are secret


ACCOUNTS = "/custom_settings/crm/*/account"
ASKED = "/custom_settings/crm/*/password"


def crm(**members: Any) -> dict[str, Any]:
    return {"custom_settings": {"crm": {"main": members}}}


def shown(assistant: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = assistant["custom_settings"]["crm"]["main"]
    return found


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
