from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from app.storage.tables import MAX_ID
from tests.app import stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

KEYS = "/api/v1/users/me/api-keys"
ASSISTANTS = "/api/v1/assistants"
_JSON = {"content-type": "application/json"}
_TOKEN = re.compile(r"bks_[0-9A-Za-z]{36}")


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


def create(admin: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = admin.post(KEYS, json={"name": "CI"} | body)
    assert answer.status_code == 200
    made: dict[str, Any] = answer.json()
    return made


def refused(answer: httpx.Response) -> set[tuple[str | int, ...]]:
    assert answer.status_code == 422
    return {tuple(error["loc"]) for error in answer.json()["detail"]}


def with_key(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_new_key_is_answered_with_what_is_known_of_it(
    organization: Organization, admin: httpx.Client
) -> None:
    answer = admin.post(KEYS, json={"name": "Release bot", "role": "viewer"})
    made = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert set(made) == {"api_key", "key"}
    assert _TOKEN.fullmatch(made["key"])
    shown = made["api_key"]
    assert set(shown) == {
        "id", "user_id", "name", "key_prefix", "role", "permissions", "is_active", "usage_count",
        "last_used_at", "rate_limit", "created_at", "updated_at",
    }  # fmt: skip
    assert shown["name"] == "Release bot"
    assert shown["role"] == "viewer"
    assert shown["permissions"] == {}
    assert shown["key_prefix"] == made["key"][:12]
    assert shown["is_active"] is True
    assert (shown["usage_count"], shown["last_used_at"], shown["rate_limit"]) == (0, None, None)
    assert shown["user_id"] == admin.get(f"{ASSISTANTS}/me/organization").json()["user_id"]
    me = admin.get(f"{ASSISTANTS}/me/organization", headers=with_key(made["key"])).json()
    assert me["organization_id"] == organization.id
    assert me["user_role"] == "viewer"


def test_a_key_is_an_editors_unless_said_otherwise(admin: httpx.Client) -> None:
    assert create(admin)["api_key"]["role"] == "editor"
    permissions = {"write": True, "admin": False}
    assert create(admin, permissions=permissions)["api_key"]["permissions"] == permissions
    assert create(admin, permissions=None)["api_key"]["permissions"] == {}


def test_a_key_is_shown_once(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    made = create(admin)
    path = f"{KEYS}/{made['api_key']['id']}"
    random_part = made["key"][12:]
    for answer in (
        admin.get(KEYS),
        admin.put(path, json={"name": "Renamed"}),
        admin.get(ASSISTANTS, headers=with_key(made["key"])),
        admin.delete(path),
        admin.get(KEYS),
    ):
        assert answer.status_code == 200
        assert random_part not in answer.text
    assert random_part not in repr(stored.rows(server.database, organization.id))
    # The control: the part that is meant to be seen is there.
    assert made["key"][:12] in admin.get(KEYS).text


def test_keys_are_listed_oldest_first_revoked_ones_too(server: Server) -> None:
    with server.client(server.organization().admin) as admin:
        made = [create(admin, name=f"Key {n}")["api_key"] for n in range(3)]
        admin.delete(f"{KEYS}/{made[1]['id']}")
        listed = admin.get(KEYS).json()
    assert [key["name"] for key in listed] == [
        "viewer key", "editor key", "admin key", "runtime key", "Key 0", "Key 1", "Key 2",
    ]  # fmt: skip
    assert [key["is_active"] for key in listed] == [True, True, True, True, True, False, True]


def test_uses_of_a_key_are_counted(server: Server) -> None:
    tenant = server.organization()
    with server.client(tenant.viewer) as viewer, server.client(tenant.admin) as admin:
        for _ in range(7):
            viewer.get(f"{ASSISTANTS}/count")
        listed = {key["name"].split()[0]: key for key in admin.get(KEYS).json()}
        assert listed["viewer"]["usage_count"] == 7
        assert listed["viewer"]["last_used_at"] >= listed["viewer"]["created_at"]
        assert listed["editor"]["usage_count"] == 0
        assert listed["editor"]["last_used_at"] is None
        viewer.get(f"{ASSISTANTS}/count")
        listed = {key["name"].split()[0]: key for key in admin.get(KEYS).json()}
        assert listed["viewer"]["usage_count"] == 8


def test_a_change_keeps_what_it_does_not_name(admin: httpx.Client) -> None:
    made = create(admin, permissions={"write": False})["api_key"]
    answer = admin.put(f"{KEYS}/{made['id']}", json={"name": "Other"})
    changed = answer.json()
    assert answer.status_code == 200
    assert changed["updated_at"] >= made["updated_at"]
    assert changed | {"updated_at": made["updated_at"]} == made | {"name": "Other"}
    assert admin.put(f"{KEYS}/{made['id']}", json={}).json() == changed


def test_null_takes_the_permissions_away(admin: httpx.Client) -> None:
    made = create(admin, permissions={"write": False})["api_key"]
    changed = admin.put(f"{KEYS}/{made['id']}", json={"permissions": None}).json()
    assert changed["permissions"] == {}


def test_a_revocation_names_the_key_by_its_prefix(admin: httpx.Client) -> None:
    made = create(admin)
    answer = admin.delete(f"{KEYS}/{made['api_key']['id']}")
    assert answer.json() == {
        "success": True,
        "message": f"API key {made['key'][:12]} revoked successfully",
        "data": None,
    }
    assert admin.delete(f"{KEYS}/{made['api_key']['id']}").status_code == 200


@pytest.mark.parametrize("key_id", ["0", "-1", "99999", str(MAX_ID), str(MAX_ID + 1), "9" * 400])
def test_a_key_that_there_is_not_is_not_found(admin: httpx.Client, key_id: str) -> None:
    for answer in (
        admin.put(f"{KEYS}/{key_id}", json={"name": "x"}),
        admin.delete(f"{KEYS}/{key_id}"),
    ):
        assert answer.status_code == 404
        text = f"API key with ID {key_id} not found in your organization"
        assert answer.json()["detail"] == text


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, {("body", "name")}),
        ({"name": ""}, {("body", "name")}),
        ({"name": "x" * 101}, {("body", "name")}),
        ({"name": None}, {("body", "name")}),
        ({"name": 5}, {("body", "name")}),
        ({"name": "x", "role": "owner"}, {("body", "role")}),
        ({"name": "x", "permissions": [1]}, {("body", "permissions")}),
        ({"name": " \t"}, {("body", "name")}),
        ({"name": "a\nb"}, {("body", "name")}),
        ({"name": "", "role": "owner"}, {("body", "name"), ("body", "role")}),
        ({"name": "x", "rol": "admin"}, {("body", "rol")}),
        ({"name": "x", "permissions": {"wirte": False}}, {("body", "permissions", "wirte")}),
        ({"name": "x", "permissions": {"admin": True}}, {("body", "permissions", "admin")}),
        (
            {"name": "x", "role": "viewer", "permissions": {"write": True, "read": False}},
            {("body", "permissions", "write"), ("body", "permissions", "read")},
        ),
        (
            {"name": "x", "role": "admin", "permissions": {"write": False, "admin": True}},
            {("body", "permissions", "admin")},
        ),
        (
            {"name": "x", "permissions": {"secrets:reveal": True}},
            {("body", "permissions", "secrets:reveal")},
        ),
        ([], {("body",)}),
        (None, {("body",)}),
    ],
)
def test_a_key_that_breaks_a_rule_is_not_made(
    server: Server,
    organization: Organization,
    admin: httpx.Client,
    body: Any,
    places: set[tuple[str, ...]],
) -> None:
    before = stored.rows(server.database, organization.id)
    answer = admin.post(KEYS, content=msgspec.json.encode(body), headers=_JSON)
    assert refused(answer) == places
    assert stored.rows(server.database, organization.id) == before


def test_every_broken_rule_of_a_key_is_named_at_once(admin: httpx.Client) -> None:
    answer = admin.post(KEYS, json={"role": "owner", "permissions": {"write": "perhaps"}})
    places = refused(answer)
    assert {("body", "name"), ("body", "role")} <= places
    assert ("body", "permissions", "write") in places or ("body", "permissions") in places


def test_a_wrong_role_is_answered_with_the_right_ones(admin: httpx.Client) -> None:
    answer = admin.post(KEYS, json={"name": "x", "role": "owner"})
    (error,) = answer.json()["detail"]
    assert error["type"] == "literal_error"
    for role in ("viewer", "editor", "admin"):
        assert role in error["msg"]
    assert "owner" not in error["msg"]


@pytest.mark.parametrize("name", ["=1+1", "ключ", "x" * 100, "<script>", "👩‍💻 Ada"])
def test_a_keys_name_is_any_text_of_one_line(admin: httpx.Client, name: str) -> None:
    made = create(admin, name=name)["api_key"]
    assert made["name"] == name
    assert admin.get(KEYS).json()[-1]["name"] == name


# -- what changes rights says nothing else


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({"rol": "admin"}, {("body", "rol")}),
        ({"role": "admin"}, {("body", "role")}),
        ({"scopes": ["secrets:reveal"]}, {("body", "scopes")}),
        ({"permission": {"write": False}}, {("body", "permission")}),
        ({"is_activ": False}, {("body", "is_activ")}),
        ({"admin": False}, {("body", "admin")}),
        ({"permissions": {"delete": False}}, {("body", "permissions", "delete")}),
        ({"permissions": {"admin": True}}, {("body", "permissions", "admin")}),
        ({"permissions": {"read": False}}, {("body", "permissions", "read")}),
        (
            {"permissions": {"secrets:reveal": True}},
            {("body", "permissions", "secrets:reveal")},
        ),
        ({"name": "a\u2028b"}, {("body", "name")}),
    ],
)
def test_a_change_of_rights_with_a_member_that_is_not_known_or_not_so_is_refused(
    server: Server, organization: Organization, admin: httpx.Client, body: Any, places: set[Any]
) -> None:
    made = create(admin)["api_key"]
    before = stored.rows(server.database, organization.id)
    assert refused(admin.put(f"{KEYS}/{made['id']}", json=body)) == places
    assert stored.rows(server.database, organization.id) == before


def test_the_body_that_published_clients_send_is_taken(admin: httpx.Client) -> None:
    permissions = {"read": True, "write": True, "admin": False}
    made = create(admin, permissions=permissions)["api_key"]
    assert made["permissions"] == permissions
    changed = admin.put(f"{KEYS}/{made['id']}", json={"name": "B", "permissions": permissions})
    assert (changed.status_code, changed.json()["permissions"]) == (200, permissions)


def test_a_key_that_may_not_write_stays_so_when_admin_is_taken_from_it(
    admin: httpx.Client,
) -> None:
    made = create(admin, role="admin", permissions={"write": False})
    place = f"{KEYS}/{made['api_key']['id']}"
    changed = admin.put(place, json={"permissions": {"admin": False}}).json()
    assert changed["permissions"] == {"write": False, "admin": False}
    me = f"{ASSISTANTS}/me/organization"
    assert admin.get(me, headers=with_key(made["key"])).json()["user_role"] == "viewer"
    # The control: what is named is given back.
    assert admin.put(place, json={"permissions": {"write": True}}).is_success
    assert admin.get(me, headers=with_key(made["key"])).json()["user_role"] == "editor"


@pytest.mark.parametrize(
    ("role", "permissions", "effective"),
    [
        ("viewer", {"admin": False}, "viewer"),
        ("editor", {"admin": False}, "editor"),
        ("admin", {"admin": False}, "editor"),
        ("viewer", {"write": False}, "viewer"),
        ("editor", {"write": False}, "viewer"),
        ("admin", {"write": False}, "viewer"),
        ("admin", {"admin": True, "write": True}, "admin"),
    ],
)
def test_a_permission_that_is_taken_leaves_the_role_below_it(
    admin: httpx.Client, role: str, permissions: dict[str, bool], effective: str
) -> None:
    made = create(admin, role=role, permissions=permissions)
    me = admin.get(f"{ASSISTANTS}/me/organization", headers=with_key(made["key"])).json()
    assert me["user_role"] == effective


def test_a_name_is_trimmed(admin: httpx.Client) -> None:
    made = create(admin, name="  " + "x" * 100 + "\n")["api_key"]
    assert made["name"] == "x" * 100
    changed = admin.put(f"{KEYS}/{made['id']}", json={"name": "\tAda "}).json()
    assert changed["name"] == "Ada"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"is_active": "true"}, ["body", "is_active"]),
        ({"is_active": 1}, ["body", "is_active"]),
        ({"permissions": {"write": "yes"}}, ["body", "permissions"]),
    ],
)
def test_what_a_key_may_do_is_said_in_booleans(
    admin: httpx.Client, body: dict[str, Any], place: list[str]
) -> None:
    made = create(admin)["api_key"]
    answer = admin.put(f"{KEYS}/{made['id']}", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert error["loc"][: len(place)] == place
    assert "valid boolean" in error["msg"]
    assert admin.put(f"{KEYS}/{made['id']}", json={"is_active": True}).status_code == 200


@pytest.mark.parametrize("unseen", "\u200b\u200e\u200f\u2060\ufeff")
def test_a_name_with_a_character_that_nobody_sees_is_refused(
    admin: httpx.Client, unseen: str
) -> None:
    answer = admin.post(KEYS, json={"name": f"C{unseen}I"})
    assert refused(answer) == {("body", "name")}
    assert "invisible" in answer.json()["detail"][0]["msg"]
