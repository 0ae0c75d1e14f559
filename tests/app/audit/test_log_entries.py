"""What an entry of the log says: who did what to what, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.audit import checkpoints, signing
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create
from events.commands import CreateAssistant
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving,
)
from tests.databases import config_of, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.app.audit.log_reader import (
    AUDIT,
    FIELDS,
    KEYS,
    POLICY,
    create_assistant,
    eventually,
    ids,
    logs,
    try_key,
)

NUMBERS = f"{ASSISTANTS}/organization/phone-numbers"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Organization]]:
    """A server whose one organization did everything that is an event, a checkpoint first."""
    database = tmp_path_factory.mktemp("everything") / "backstory.db"
    waiting = make_organizations(database, 2)
    organization = waiting.pop()
    config = config_of(database)
    with hold(database):
        engine = writing_engine(database)
        with engine.begin() as connection:
            unit = UnitOfWork(connection, open_vault(config), utc_now)
            command = CreateAssistant(patch=read_create({"name": "Made before"}).tree)
            unit.handle(system(organization.id, "tests"), None, command)
            signer = signing.open_signer(config)
            assert checkpoints.record_checkpoint(signer, organization.id, unit)
            unit.flush()
        engine.dispose()
    with (
        serving(database, waiting) as server,
        server.client(organization.editor) as editor,
        server.client(organization.admin) as admin,
        server.client(organization.runtime) as runtime,
    ):
        path = f"{ASSISTANTS}/{create_assistant(editor)}"
        reason = {"change_description": "Callers wait"}
        editor.patch(path, json={"llm_settings": {"temperature": 0.2}} | reason)
        reveal = {"paths": ["/api_keys"], "reason": "Call 7"}
        runtime.post(f"{path}/secrets/reveal", json=reveal)
        made = admin.post(KEYS, json={"name": "CI"}, headers={"x-request-id": "made"}).json()
        key = f"{KEYS}/{made['api_key']['id']}"
        admin.put(key, json={"name": "CI (old)"})
        admin.delete(key)
        refused = try_key(server, made["key"])
        assert eventually(admin, 1)[0]["request_id"] == refused.headers["x-request-id"]
        admin.request("DELETE", f"{path}/secrets", json={"reason": "Contract ended"})
        editor.delete(path)
        admin.post("/api/v1/vault/rotate", json={"data_keys": True})
        admin.get(f"{AUDIT}/export", params={"format": "csv", "event_type": "api_key_revoked"})
        editor.post(f"{path}/restore", json={"change_description": "Deleted by mistake"})
        label = {"label": "calm", "change_description": "It was calmer"}
        editor.put(f"{path}/versions/2/label", json=label)
        number = editor.post(NUMBERS, json={"phone_number": "+14155551234"}).json()["id"]
        editor.patch(f"{NUMBERS}/{number}", json={"friendly_name": "Support line"})
        for what in ("assign", "unassign"):
            editor.post(f"{path}/phone-numbers/{number}/{what}")
        admin.put(POLICY, json={"require_reason": True, "change_description": "For audits"})
        hook = {"url": "https://hooks.example/x?key=1", "paths": ["/name"], "enabled": True}
        made = admin.post("/api/v1/webhooks", json=hook).json()["webhook"]
        webhook = f"/api/v1/webhooks/{made['id']}"
        admin.post(f"{webhook}/secret")
        admin.patch(webhook, json={"enabled": False})
        admin.post(f"{webhook}/replay", json={"after": 7})
        admin.delete(webhook)
        yield server, organization


@pytest.fixture(scope="module")
def admin_of_all(everything: tuple[Server, Organization]) -> Iterator[httpx.Client]:
    server, organization = everything
    with server.client(organization.admin) as client:
        yield client


def test_every_type_of_event_that_is_listed_comes_to_the_log(admin_of_all: httpx.Client) -> None:
    listed = admin_of_all.get(f"{AUDIT}/event-types").json()
    assert set(listed) == {"event_types"}
    kinds = {kind.pop("event_type"): kind for kind in listed["event_types"]}
    entries = logs(admin_of_all)
    assert {entry["event_type"] for entry in entries} == set(kinds)
    for entry in entries:
        kind = kinds[entry["event_type"]]
        assert (entry["resource_type"], entry["action"]) == (kind["resource_type"], kind["action"])
        assert kind["description"]


def test_an_entry_has_the_members_of_the_published_contract(admin_of_all: httpx.Client) -> None:
    described = admin_of_all.get("/schema/openapi.json").json()["components"]["schemas"]
    component = described["AuditLogEntry"]
    assert set(component["properties"]) == FIELDS
    assert set(component["required"]) == {"id", "event_type", "event_timestamp"}
    assert set(described["AuditLogsResponse"]["properties"]) == {"logs", "total", "limit", "offset"}
    types = {"integer": int, "string": str, "object": dict}
    for entry in logs(admin_of_all):
        assert set(entry) == FIELDS
        assert datetime.fromisoformat(entry["event_timestamp"]).utcoffset() == timedelta(0)
        for name, value in entry.items():
            shape = component["properties"][name]
            allowed = {one["type"] for one in shape.get("oneOf", shape.get("anyOf", [shape]))}
            assert value is None or isinstance(value, tuple(types[t] for t in allowed - {"null"}))
            assert value is not None or "null" in allowed, name


def test_ids_count_down_without_gaps_and_times_do_not_run_backwards(
    admin_of_all: httpx.Client,
) -> None:
    entries = logs(admin_of_all)
    assert ids(entries) == list(range(len(entries), 0, -1))
    times = [entry["event_timestamp"] for entry in entries]
    assert times == sorted(times, reverse=True)


# What differs from: an admin's, a success, about no assistant, without values.
_EXPECTED: dict[str, dict[str, Any]] = {
    "assistant_created": {
        "by": "editor", "resource_id": "2", "resource_name": "Front desk",
        "details": {"version": 1, "cause": {"type": "create"}},
    },
    "assistant_settings_changed": {
        "by": "editor", "resource_id": "2", "resource_name": "Front desk",
        "details": {"version": 2, "cause": {"type": "patch"}, "reason": "Callers wait"},
        "old_values": {"/llm_settings/temperature": 0.5},
        "new_values": {"/llm_settings/temperature": 0.2},
    },
    "assistant_deleted": {
        "by": "editor", "resource_id": "2", "resource_name": "Front desk",
        "details": {"version": 4, "cause": {"type": "delete"}},
    },
    "secrets_erased": {
        "resource_id": "2", "resource_name": "Front desk",
        "details": {"version": 3, "cause": {"type": "erase"}, "reason": "Contract ended"},
    },
    "secrets_revealed": {
        "by": "runtime", "resource_id": "2", "resource_name": "Front desk",
        "details": {"paths": ["/api_keys/openai_api_key"], "reason": "Call 7"},
    },
    "api_key_created": {"request_id": "made", "resource_id": "5", "details": {"key_id": 5}},
    "api_key_changed": {
        "resource_id": "5", "details": {"key_id": 5},
        "old_values": {"/name": "CI"}, "new_values": {"/name": "CI (old)"},
    },
    "api_key_revoked": {
        "resource_id": "5", "details": {"key_id": 5},
        "old_values": {"/is_active": True}, "new_values": {"/is_active": False},
    },
    "login_refused": {
        "by": "authentication", "resource_id": "5", "api_key_id": 5, "ip_address": "127.0.0.1",
        "status": "failure", "error_message": "The API key is unknown or revoked",
        "details": {"key_id": 5, "unrecorded": 0},
    },
    "assistant_restored": {
        "by": "editor", "resource_id": "2", "resource_name": "Front desk",
        "details": {
            "version": 5, "cause": {"type": "restore", "undoes": 4}, "reason": "Deleted by mistake",
        },
    },
    "version_labelled": {
        "by": "editor", "resource_id": "2", "resource_name": "Front desk",
        "details": {"labelled_version": 2, "label": "calm", "reason": "It was calmer"},
    },
    "policy_changed": {
        "details": {"reason": "For audits"},
        "old_values": {"/require_reason": False}, "new_values": {"/require_reason": True},
    },
    "secret_keys_rotated": {"details": {"data_keys": True}},
    "webhook_created": {
        "resource_id": "1", "details": {"webhook_id": 1},
        "new_values": {
            "/url": "https://hooks.example/x?********", "/format": "standard",
            "/description": None, "/event_types": [], "/assistant_ids": [], "/paths": ["/name"],
            "/enabled": True,
        },
    },
    "webhook_changed": {
        "resource_id": "1",
        "details": {"webhook_id": 1, "secret_rotated": True, "url_changed": False},
    },
    "webhook_disabled": {
        "resource_id": "1", "details": {"webhook_id": 1},
        "old_values": {"/enabled": True}, "new_values": {"/enabled": False},
    },
    "webhook_asked": {
        "resource_id": "1",
        "details": {"webhook_id": 1, "delivery": "replay", "from_sequence": 7},
    },
    "webhook_deleted": {"resource_id": "1", "details": {"webhook_id": 1}},
    "audit_exported": {
        "details": {
            "format": "csv", "after": 0, "until_sequence": 12,
            "filter": {"event_type": "api_key_revoked"},
        },
    },
    "checkpoint_recorded": {"by": "checkpoint"},
}  # fmt: skip


_ACTORS: dict[str, dict[str, Any]] = {
    name: {"api_key_id": key_id, "user_id": user_id, "user_email": f"{user}@example.com"}
    for name, key_id, user_id, user in (
        ("viewer", 1, 1, "viewer"),
        ("editor", 2, 2, "editor"),
        ("admin", 3, 3, "admin"),
        ("runtime", 4, 3, "admin"),
    )
} | {
    name: {"api_key_id": None, "user_id": None, "user_email": None}
    for name in ("authentication", "checkpoint")
}


@pytest.mark.parametrize("event_type", _EXPECTED)
def test_an_entry_says_who_did_what_to_what(
    everything: tuple[Server, Organization], admin_of_all: httpx.Client, event_type: str
) -> None:
    entry = logs(admin_of_all, event_type=event_type)[0]
    expected = dict(_EXPECTED[event_type])
    by = expected.pop("by", "admin")
    person = by in ("viewer", "editor", "admin", "runtime")
    actor = _ACTORS[by]
    details = {
        "actor": f"api_key:{actor['api_key_id']}" if person else "system:0",
        "actor_name": f"{by} key" if person else by,
    } | expected.pop("details", {})
    assert entry["details"].items() >= details.items()
    spare = set(entry["details"]) - set(details)
    assert spare <= {"key_prefix", "checkpoint", "paths_left_out"}
    constant = {
        "organization_id": everything[1].id,
        "resource_id": None,
        "resource_name": None,
        "ip_address": None,
        "status": "success",
        "error_message": None,
        "user_agent": None,
        "phi_accessed": None,
    }
    assert entry.items() >= (constant | actor | expected).items()
    changes = event_type.endswith(("_created", "_changed", "api_key_revoked", "webhook_disabled"))
    assert (entry["old_values"] or entry["new_values"] or None) is None or changes
    assert bool(entry["request_id"]) == (by != "checkpoint")


def test_an_entry_of_a_new_key_shows_what_lists_of_keys_show(admin_of_all: httpx.Client) -> None:
    (entry,) = logs(admin_of_all, event_type="api_key_created")
    key = admin_of_all.get(KEYS).json()[-1]
    assert entry["old_values"] is None
    assert entry["new_values"] == {
        "/name": "CI",
        "/key_prefix": key["key_prefix"],
        "/role": "editor",
        "/user_id": 3,
        "/permissions": {},
        "/is_active": True,
    }


def test_an_entry_of_a_new_assistant_shows_its_settings_as_new(admin_of_all: httpx.Client) -> None:
    entry = logs(admin_of_all, event_type="assistant_created")[0]
    assert entry["old_values"] is None
    assert entry["new_values"]["/name"] == "Front desk"
    assert entry["new_values"]["/llm_settings/temperature"] == 0.5
