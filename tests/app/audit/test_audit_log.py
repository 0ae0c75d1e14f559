"""The audit log: what an entry says, how it is searched and paged, and who was turned away."""

from __future__ import annotations

import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
import uvicorn

from app.accounts import tokens
from app.audit import exporting, signing
from app.main import create_app
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create
from events.commands import CreateAssistant
from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving,
    serving_process,
)
from tests.databases import config_of, hold, query, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AUDIT = "/api/v1/audit"
LOGS = f"{AUDIT}/logs"
KEYS = "/api/v1/users/me/api-keys"
POLICY = "/api/v1/policy"
_NEXT = re.compile(r'<([^>]+)>; rel="next"')
_JSON = {"content-type": "application/json"}
# The published contract's AuditLogEntry.
FIELDS = {
    "id", "event_type", "event_timestamp", "user_id", "user_email", "organization_id",
    "ip_address", "user_agent", "request_id", "api_key_id", "resource_type", "resource_id",
    "resource_name", "action", "status", "details", "old_values", "new_values", "phi_accessed",
    "error_message",
}  # fmt: skip
CANARY = "canary-4f1c"
SECRETS = {
    "llm_provider_config": {
        "api_key": f"{CANARY}-llm",
        "base_url": f"https://user:{CANARY}-url@llm.example/v1",
    },
    "api_keys": {"openai_api_key": f"{CANARY}-own"},
    "webhook_headers": {"Authorization": f"Bearer {CANARY}-hook"},
    "custom_settings": {"crm": {"token": f"{CANARY}-crm", "url": "https://crm.example"}},
    "llm_fallback_providers": {
        "fallbacks": [{"provider": "openai", "model": "gpt-4o", "api_key": f"{CANARY}-list"}]
    },
}


def look(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get(LOGS, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def logs(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Every entry that a search finds, newest first."""
    page = look(client, limit=500, **query)
    assert page["total"] == len(page["logs"])
    found: list[dict[str, Any]] = page["logs"]
    return found


def ids(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["id"] for entry in entries]


def eventually(
    client: httpx.Client, count: int, event_type: str = "login_refused"
) -> list[dict[str, Any]]:
    """The log's entries of a type once there are so many: refusals are recorded behind the 401."""
    deadline = time.monotonic() + 10
    while len(found := logs(client, event_type=event_type)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} {event_type}"
        time.sleep(0.01)
    return found


def try_key(server: Server, token: str) -> httpx.Response:
    with server.client(token) as stranger:
        answer = stranger.get(f"{ASSISTANTS}/count")
    assert answer.status_code == 401
    return answer


class Clock:
    """A server's clock that goes on when the test says so."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def serving_at(database: Path, waiting: list[Organization], clock: Clock) -> Iterator[Server]:
    """As ``conftest.serving``, with a clock."""
    config = config_of(database)
    app: Any = create_app(config, clock)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Server(url=f"http://127.0.0.1:{port}", database=database, waiting=waiting)
    finally:
        server.should_exit = True
        thread.join()


def midnight() -> datetime:
    """One that is not yet: what was made before the server started is older."""
    return (utc_now() + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)


# -- what an entry says


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
            assert exporting.record_checkpoint(signer, organization.id, unit)
            unit.flush()
        engine.dispose()
    with (
        serving(database, waiting) as server,
        server.client(organization.editor) as editor,
        server.client(organization.admin) as admin,
        server.client(organization.runtime) as runtime,
    ):
        path = f"{ASSISTANTS}/{_create(editor)}"
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
        admin.put(POLICY, json={"require_reason": True, "change_description": "For audits"})
        yield server, organization


def _create(editor: httpx.Client) -> int:
    answer = editor.post(ASSISTANTS, json={"name": "Front desk"} | SECRETS)
    assert answer.status_code == 201
    return int(answer.json()["id"])


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
    changes = event_type.endswith(("_created", "_changed", "api_key_revoked"))
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


# -- what an entry does not say


def test_values_of_secrets_are_never_in_the_log(
    organization: Organization, editor: httpx.Client, admin: httpx.Client, runtime: httpx.Client
) -> None:
    path = f"{ASSISTANTS}/{_create(editor)}"
    editor.patch(path, json={"name": f"{CANARY}-name", "api_keys": {"new": f"{CANARY}-new"}})
    editor.patch(path, json={"llm_provider_config": {"api_key": f"{CANARY}-rotated"}})
    editor.patch(path, json={"api_keys": {"new": None}})
    revealed = runtime.post(f"{path}/secrets/reveal", json={"paths": ["/llm_provider_config"]})
    assert f"{CANARY}-rotated" in revealed.text
    text = admin.get(LOGS).text
    assert set(re.findall(rf"{CANARY}[\w-]*", text)) == {f"{CANARY}-name"}  # the control
    assert "fingerprint" not in text
    assert "$secret" not in text
    for token in (organization.editor, organization.admin, organization.runtime):
        assert token[12:] not in text
    removal, rotation, setting, creation = logs(admin, resource_type="assistant", user_id=2)
    assert removal["old_values"] == {"/api_keys/new": "********"}
    assert removal["new_values"] is None
    assert rotation["old_values"] == rotation["new_values"]
    assert rotation["new_values"] == {"/llm_provider_config/api_key": "********"}
    assert setting["new_values"]["/api_keys/new"] == "********"
    urls = creation["new_values"]["/llm_provider_config/base_url"]
    assert urls == "https://********@llm.example/v1"


def test_entries_of_erased_secrets_say_so(editor: httpx.Client, admin: httpx.Client) -> None:
    path = f"{ASSISTANTS}/{_create(editor)}"
    assert admin.delete(f"{path}/secrets").status_code == 200
    editor.patch(path, json={"api_keys": {"openai_api_key": f"{CANARY}-again"}})
    after, _, creation = logs(admin)
    assert creation["new_values"]["/api_keys/openai_api_key"] == "erased"
    assert after["old_values"] == {"/api_keys/openai_api_key": "erased"}
    assert after["new_values"] == {"/api_keys/openai_api_key": "********"}


def test_a_long_text_is_cut_and_says_how_long_it_was(
    editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    for size in (900, 100_000):
        editor.patch(path, json={"custom_settings": {"note": "ab" * (size // 2)}})
    changed = logs(admin)[0]
    assert changed["old_values"] == {"/custom_settings/note": "ab" * 450}
    assert changed["new_values"] == {
        "/custom_settings/note": "ab" * 500 + "\u2026 (100000 characters)"
    }


def test_a_text_that_is_shown_whole_does_not_look_cut(
    editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    editor.patch(path, json={"custom_settings": {"note": ""}})
    for text in ('"' * 600, "\u0001" * 300, "a\n" * 450):
        editor.patch(path, json={"custom_settings": {"note": text}})
        assert logs(admin)[0]["new_values"] == {"/custom_settings/note": text}


@pytest.mark.parametrize("letter", ["a", "é", "😀", '"', "\u0001"])
@pytest.mark.parametrize("length", [300, 5000])
def test_an_entry_is_bounded_whatever_its_texts_are(
    server: Server, letter: str, length: int
) -> None:
    organization = server.organization()
    note = letter * length
    room = 1024 * 1024 - 4096
    count = min(room // (len(msgspec.json.encode(note)) + 20), 900)
    with server.client(organization.editor) as editor, server.client(organization.admin) as admin:
        seed = {"name": "Large", "custom_settings": {"seed": 1}}
        created = editor.post(ASSISTANTS, json=seed).json()
        body = {"custom_settings": {f"n{n}": note for n in range(count)}}
        content = msgspec.json.encode(body)
        path = f"{ASSISTANTS}/{created['id']}"
        answer = editor.patch(path, content=content, headers=_JSON)
        assert answer.status_code == 200, answer.text[:500]
        entry = logs(admin)[0]
    shown = len(entry["new_values"])
    assert 0 < shown <= count
    assert entry["details"].get("paths_left_out", 0) == count - shown
    assert len(msgspec.json.encode(entry)) < 80 * 1024


def test_a_reveal_of_many_secrets_is_a_bounded_entry(server: Server) -> None:
    organization = server.organization()
    with (
        server.client(organization.editor) as editor,
        server.client(organization.admin) as admin,
        server.client(organization.runtime) as runtime,
    ):
        names = [f"{n:04}{'x' * 200}" for n in range(900)]
        body = {"name": "Secretive", "custom_settings": {name: {"token": "sk"} for name in names}}
        created = editor.post(ASSISTANTS, json=body)
        assert created.status_code == 201, created.text[:500]
        path = f"{ASSISTANTS}/{created.json()['id']}/secrets/reveal"
        revealed = runtime.post(path, json={"paths": ["/custom_settings"]})
        assert len(revealed.json()["secrets"]) == len(names)
        (entry,) = logs(admin, event_type="secrets_revealed")
    assert entry["details"]["paths"][0] == f"/custom_settings/{names[0]}/token"
    assert len(msgspec.json.encode(entry)) < 80 * 1024


def test_a_rollback_of_many_paths_tells_its_cause_as_an_object_and_is_bounded(
    editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    names = [f"{n:03}{'x' * 900}" for n in range(100)]
    editor.patch(path, json={"custom_settings": dict.fromkeys(names, 1)})
    paths = [f"/custom_settings/{name}" for name in names]
    rolled = editor.post(f"{path}/rollback", json={"to_version": 1, "paths": paths})
    assert rolled.status_code == 200, rolled.text[:500]
    entry = logs(admin)[0]
    assert entry["details"]["cause"] == {
        "type": "rollback",
        "to_version": 1,
        "paths": paths[:20],
        "paths_left_out": 80,
    }
    assert len(msgspec.json.encode(entry)) < 100 * 1024


def test_an_export_with_a_long_filter_is_a_bounded_entry(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    assert assistant
    for name in ("actor", "path"):
        answer = admin.get(f"{AUDIT}/export", params={name: "/" + "x" * 50_000})
        assert answer.status_code in (200, 422)
    assert len(admin.get(LOGS, params={"event_type": "audit_exported"}).content) < 16 * 1024


# -- searching


@pytest.fixture(scope="module")
def searched(server: Server) -> Iterator[httpx.Client]:
    """An admin's client of an organization with a log of everything that two users did."""
    organization = server.organization()
    with (
        server.client(organization.editor) as editor,
        server.client(organization.admin) as admin,
        server.client(organization.runtime) as runtime,
    ):
        for n in range(8):
            path = f"{ASSISTANTS}/{_create((editor, admin)[n % 2])}"
            (admin, editor)[n % 2].patch(path, json={"description": f"{n}"})
            runtime.post(f"{path}/secrets/reveal", json={"paths": ["/api_keys"]})
            key = admin.post(KEYS, json={"name": f"Key {n}"}).json()
            admin.put(f"{KEYS}/{key['api_key']['id']}", json={"name": f"Key {n}b"})
            if n % 3 == 0:
                admin.delete(f"{KEYS}/{key['api_key']['id']}")
                try_key(server, key["key"])
                editor.delete(path)
        try_key(server, tokens.make_token(organization.id))
        eventually(admin, 4)
        admin.get(f"{AUDIT}/export")
        yield admin


Entry = dict[str, Any]


def _matches(entry: Entry, query: dict[str, Any]) -> bool:
    at = datetime.fromisoformat(entry["event_timestamp"])
    start = query.get("start_date")
    end = query.get("end_date")
    return (
        all(
            entry[name] == query[name]
            for name in ("user_id", "event_type", "resource_type", "resource_id")
            if name in query
        )
        and (start is None or at >= datetime.fromisoformat(start))
        and (end is None or at <= datetime.fromisoformat(end))
        and not query.get("phi_only", False)
    )


def check(searched: httpx.Client, whole: list[Entry], query: dict[str, Any]) -> int:
    expected = ids([entry for entry in whole if _matches(entry, query)])
    page = look(searched, limit=500, **query)
    assert ids(page["logs"]) == expected, query
    assert page["total"] == len(expected), query
    return len(expected)


@pytest.mark.parametrize(
    "name", ["user_id", "event_type", "resource_type", "start_date", "end_date"]
)
def test_each_filter_alone_finds_exactly_what_it_says(searched: httpx.Client, name: str) -> None:
    whole = logs(searched)
    column = "event_timestamp" if name.endswith("_date") else name
    values = {entry[column] for entry in whole if entry[column] is not None}
    assert len(values) > 1
    for value in sorted(values):
        assert check(searched, whole, {name: value})


def test_a_resource_id_alone_finds_every_resource_of_that_id(searched: httpx.Client) -> None:
    whole = logs(searched)
    assert {entry["resource_type"] for entry in whole if entry["resource_id"] == "5"} == {
        "assistant",
        "api_key",
    }
    for value in {entry["resource_id"] for entry in whole if entry["resource_id"]}:
        assert check(searched, whole, {"resource_id": value})


@pytest.mark.parametrize("event_type", ["api_key_created", "api_key_changed", "login_refused"])
def test_a_keys_events_are_found_by_type_and_id(searched: httpx.Client, event_type: str) -> None:
    whole = logs(searched)
    assert check(searched, whole, {"event_type": event_type, "resource_id": "5"}) == 1


@pytest.mark.parametrize("rounds", [80, pytest.param(1000, marks=pytest.mark.long)])
def test_filters_together_find_exactly_what_all_of_them_say(
    searched: httpx.Client, rounds: int
) -> None:
    """The long form: ``pytest -m long tests/app/audit/test_audit_log.py``."""
    whole = logs(searched)
    times = [entry["event_timestamp"] for entry in whole]
    resources = [
        {"resource_type": entry["resource_type"], "resource_id": entry["resource_id"]}
        for entry in whole
        if entry["resource_id"]
    ]
    choose = random.Random(7)  # fixed, so that a failure comes again
    found = 0
    for _ in range(rounds):
        start, end = sorted(choose.sample(times, 2))
        of_one = choose.choice(whole)
        parts = [
            {"user_id": choose.choice((1, 2, 3))},
            {"event_type": of_one["event_type"]},
            choose.choice(({"resource_type": of_one["resource_type"]}, choose.choice(resources))),
            {"start_date": start},
            {"end_date": end},
            {"phi_only": "false"},
        ]
        chosen = choose.sample(parts, choose.randint(2, 4))
        query = {name: value for part in chosen for name, value in part.items()}
        query.pop("phi_only", None)
        found += bool(check(searched, whole, query))
    assert found > rounds / 6  # the control: not all of them were empty


@pytest.mark.parametrize(
    "query",
    [
        {"event_type": "assistant_reborn"},
        {"event_type": ""},
        {"event_type": "assistant_created.v1"},
        {"event_type": "assistant_created", "resource_type": "api_key"},
        {"resource_type": "ASSISTANT"},
        {"resource_id": "0"},
        {"resource_id": "-1"},
        {"resource_id": "x"},
        {"resource_id": "1 OR 1=1"},
        {"resource_id": "९"},
        {"resource_id": "9" * 400},
        {"resource_id": "1", "resource_type": "audit_log"},
        {"user_id": "-5"},
        {"user_id": "2147483647"},
        {"user_id": "-99999999999999999999999"},
        {"phi_only": "true"},
        {"phi_only": "true", "user_id": "2"},
        {"start_date": "9999-12-31"},
        {"end_date": "0001-01-01"},
        {"start_date": "2024-01-02", "end_date": "2024-01-01"},
    ],
)
def test_what_nothing_matches_is_an_empty_page(searched: httpx.Client, query: Any) -> None:
    page = look(searched, **query)
    assert page == {"logs": [], "total": 0, "limit": 50, "offset": 0}


def test_the_widest_range_of_dates_excludes_nothing(searched: httpx.Client) -> None:
    for start, end in (
        ("0001-01-01", "9999-12-31"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ):
        assert ids(logs(searched, start_date=start, end_date=end)) == ids(logs(searched))


def test_a_moment_is_the_same_in_every_zone(searched: httpx.Client) -> None:
    at = logs(searched)[10]["event_timestamp"]
    elsewhere = str(
        datetime.fromisoformat(at).astimezone(
            datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo
        )
    ).replace(" ", "T")
    for name in ("start_date", "end_date"):
        expected = ids(logs(searched, **{name: at}))
        assert ids(logs(searched, **{name: elsewhere})) == expected
        assert ids(logs(searched, **{name: at.removesuffix("Z")})) == expected
        # A plus sign that nobody encoded is a space by then.
        url = f"{LOGS}?limit=500&{name}={elsewhere}"
        assert ids(searched.get(url).json()["logs"]) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_date", "yesterday"),
        ("start_date", ""),
        ("end_date", "2026-02-30"),
        ("end_date", "2026-13-01"),
        ("start_date", "0001-01-01T00:00:00+23:59"),
        ("end_date", "1"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "x"),
        ("offset", "-1"),
        ("offset", "9" * 30),
        ("user_id", "x"),
        ("user_id", "2147483648"),
        ("cursor", ""),
        ("cursor", "djA"),
        ("cursor", "99"),
        ("cursor", "\u00e9"),
        ("phi_only", "perhaps"),
    ],
)
def test_a_parameter_that_breaks_a_rule_is_named(
    searched: httpx.Client, name: str, value: str
) -> None:
    answer = searched.get(LOGS, params={name: value})
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["query", name]]


# -- time


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Clock]]:
    """A server whose clock stands still until it is set."""
    database = tmp_path_factory.mktemp("timed") / "backstory.db"
    waiting = make_organizations(database, 6)
    clock = Clock(midnight())
    with serving_at(database, waiting, clock) as server:
        yield server, clock


def test_a_date_means_its_first_or_its_last_microsecond(timed: tuple[Server, Clock]) -> None:
    server, clock = timed
    day = clock.now + timedelta(days=1)
    microsecond = timedelta(microseconds=1)
    moments = [
        day - microsecond,
        day,
        day,
        day + timedelta(days=1) - microsecond,
        day + timedelta(days=1),
    ]
    organization = server.organization()
    with server.client(organization.admin) as admin:
        for number, at in enumerate(moments):
            clock.now = at
            admin.post(ASSISTANTS, json={"name": f"{number}"})
        date = day.date().isoformat()

        def found(**query: str) -> list[int]:
            return ids(logs(admin, **query))

        assert found(start_date=date) == [5, 4, 3, 2]
        assert found(end_date=date) == [4, 3, 2, 1]
        assert found(start_date=date, end_date=date) == [4, 3, 2]
        for number, at in enumerate(moments, 1):
            text = at.isoformat()
            equal = [one for one, other in enumerate(moments, 1) if other == at]
            assert found(start_date=text, end_date=text) == equal[::-1]
            assert number in found(start_date=text)
            assert number in found(end_date=text)
            before = (at - microsecond).isoformat()
            assert number not in found(end_date=before)
            after = (at + microsecond).isoformat()
            assert number not in found(start_date=after)


# -- pages


def pages(
    client: httpx.Client, between: Callable[[], object] = lambda: None, **query: Any
) -> list[list[int]]:
    """The ids on every page, following ``Link`` to the end."""
    found = []
    url = str(httpx.URL(LOGS, params=query))
    while url:
        answer = client.get(url)
        assert answer.status_code == 200
        found.append(ids(answer.json()["logs"]))
        assert len(found) < 200, "the walk does not end"
        link = _NEXT.fullmatch(answer.headers.get("link", ""))
        url = link[1] if link else ""
        between()
    return found


def offset_pages(client: httpx.Client, between: Callable[[], object] = lambda: None) -> list[int]:
    """The ids on every page, by offset."""
    found: list[int] = []
    while True:
        page = look(client, limit=7, offset=len(found))["logs"]
        found += ids(page)
        if len(page) < 7:
            return found
        between()


@pytest.fixture
def grown(editor: httpx.Client, assistant: dict[str, Any]) -> Callable[[], object]:
    """A log of 30 events, and what adds one."""

    def change() -> object:
        number = time.monotonic_ns()
        path = f"{ASSISTANTS}/{assistant['id']}"
        return editor.patch(path, json={"description": f"{number}"}).raise_for_status()

    for _ in range(29):
        change()
    return change


def test_pages_join_to_the_whole_list(admin: httpx.Client, grown: object) -> None:
    assert grown
    whole = ids(logs(admin))
    assert len(whole) == 30
    for limit in (1, 7, 10, 29, 30, 31, 500):
        joined = pages(admin, limit=limit)
        assert [one for page in joined for one in page] == whole
        assert [len(page) for page in joined[:-1]] == [limit] * (len(joined) - 1)
        assert joined[-1]  # no link leads to nothing
    assert offset_pages(admin) == whole


def test_new_events_do_not_shift_the_pages_of_a_cursor(
    admin: httpx.Client, grown: Callable[[], object]
) -> None:
    whole = ids(logs(admin))
    assert [one for page in pages(admin, grown, limit=7) for one in page] == whole
    # The control: they do shift those of an offset.
    whole = ids(logs(admin))
    assert offset_pages(admin, grown) != whole


def test_a_cursor_keeps_the_filters_and_the_total(searched: httpx.Client) -> None:
    start = logs(searched)[-3]["event_timestamp"]
    query = {"resource_type": "api_key", "start_date": start.replace("Z", "+00:00")}
    whole = ids(logs(searched, **query))
    assert [one for page in pages(searched, limit=4, **query) for one in page] == whole
    answer = searched.get(LOGS, params={"limit": 4, **query})
    link = _NEXT.fullmatch(answer.headers["link"])
    assert link
    assert searched.get(link[1]).json()["total"] == len(whole)


def test_an_offset_starts_a_walk_that_the_cursor_goes_on_with(searched: httpx.Client) -> None:
    whole = ids(logs(searched))
    joined = pages(searched, limit=5, offset=8)
    assert [one for page in joined for one in page] == whole[8:]


def test_an_offset_beyond_the_log_is_an_empty_page(searched: httpx.Client) -> None:
    total = len(logs(searched))
    for offset in (total, total + 1, 2**53):
        page = look(searched, offset=offset)
        assert (page["logs"], page["total"], page["offset"]) == ([], total, offset)


def test_a_deep_page_costs_as_many_statements_as_the_first(server: Server) -> None:
    organization = server.organization()
    with server.client(organization.admin) as admin:
        path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json={'name': 'Deep'}).json()['id']}"
        for number in range(60):
            admin.patch(path, json={"description": f"{number}"})
        urls = [f"{LOGS}?limit=5&event_type=assistant_settings_changed"]
        while link := _NEXT.fullmatch(admin.get(urls[-1]).headers.get("link", "")):
            urls.append(link[1])
        assert len(urls) == 12

        def cost(url: str) -> int:
            with stored.statements() as seen:
                admin.get(url)
            return len([one for one in seen if f"({organization.id}," in one.bound])

        assert {cost(url) for url in (urls[0], urls[5], urls[10])} == {cost(urls[0])}
        assert cost(urls[0]) > 0


# -- keys


def test_a_change_of_a_key_that_changes_nothing_records_nothing(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    body = {"name": "Same", "permissions": {"write": False}}
    key = admin.post(KEYS, json=body).json()["api_key"]
    before = stored.events(server.database, organization.id)
    same: list[dict[str, Any]] = [{}, {"name": "Same"}, {"is_active": True}, body]
    for one in same:
        assert admin.put(f"{KEYS}/{key['id']}", json=one).status_code == 200
    assert stored.events(server.database, organization.id) == before
    assert admin.put(f"{KEYS}/{key['id']}", json={"name": "Other"}).status_code == 200  # control
    assert len(stored.events(server.database, organization.id)) == len(before) + 1


def test_a_key_is_revoked_once_and_switched_on_again(admin: httpx.Client) -> None:
    path = f"{KEYS}/{admin.post(KEYS, json={'name': 'Twice'}).json()['api_key']['id']}"
    admin.delete(path)
    admin.delete(path)
    admin.put(path, json={"is_active": True, "name": "Back"})
    admin.put(path, json={"is_active": False, "name": "Gone"})
    assert [entry["event_type"] for entry in logs(admin)] == [
        "api_key_revoked",
        "api_key_changed",
        "api_key_revoked",
        "api_key_created",
    ]


def test_a_change_that_is_refused_records_nothing(admin: httpx.Client) -> None:
    assert admin.post(KEYS, json={"name": ""}).status_code == 422
    assert admin.put(f"{KEYS}/999", json={"name": "x"}).status_code == 404
    assert admin.delete(f"{KEYS}/999").status_code == 404
    assert logs(admin) == []


def test_a_patch_that_changes_nothing_records_nothing(
    editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    before = logs(admin)
    for verb in ("PATCH", "PUT"):
        editor.request(verb, f"{ASSISTANTS}/{assistant['id']}", json={"name": assistant["name"]})
    assert logs(admin) == before


# -- who was turned away


def test_a_revoked_key_is_recorded_with_its_id_and_never_itself(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    made = admin.post(KEYS, json={"name": "Leaked"}).json()
    admin.delete(f"{KEYS}/{made['api_key']['id']}")
    answer = try_key(server, made["key"])
    (entry,) = eventually(admin, 1)
    assert entry["api_key_id"] == entry["details"]["key_id"] == made["api_key"]["id"]
    assert entry["resource_id"] == str(made["api_key"]["id"])
    assert entry["details"]["key_prefix"] == made["key"][:12]
    assert entry["ip_address"] == "127.0.0.1"
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert made["key"][12:] not in admin.get(LOGS).text
    assert made["key"][12:] not in repr(stored.rows(server.database, organization.id))


def test_an_unknown_key_is_recorded_with_its_prefix_and_never_itself(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    token = tokens.make_token(organization.id)
    try_key(server, token)
    (entry,) = eventually(admin, 1)
    assert entry["api_key_id"] is None
    assert entry["resource_id"] is None
    assert entry["details"] == {
        "actor": "system:0",
        "actor_name": "authentication",
        "key_prefix": token[:12],
        "unrecorded": 0,
    }
    assert entry["status"] == "failure"
    assert token[12:] not in admin.get(LOGS).text
    assert token[12:] not in repr(stored.rows(server.database, organization.id))


def refused(server: Server) -> int:
    """The refused logins that are recorded, of all organizations."""
    ((count,),) = query(
        server.database, "SELECT count(*) FROM events WHERE type = 'login_refused.v1'"
    )
    return int(count)


def test_what_is_no_key_of_an_organization_records_nothing(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    real = tokens.make_token(organization.id)
    wrong_checksum = real[:-1] + ("0" if real[-1] != "0" else "1")
    junk = [
        "", "x", "bks_", real[:-1], real + "0", real.lower(), wrong_checksum,
        tokens.make_token(10**6), tokens.make_token(0), tokens.make_token(2**31 - 1),
        "eyJhbGciOiJIUzI1NiJ9.e30.x", "0" * 5000, f"{real} {real}",
    ]  # fmt: skip
    before = refused(server)
    with server.client(None) as nobody:
        for token in junk:
            headers = {"authorization": f"Bearer {token}".strip()}
            assert nobody.get(f"{ASSISTANTS}/count", headers=headers).status_code == 401
        for header in (real, f"Basic {real}", f"Token {real}", f"Bearer{real}", ""):
            headers = {"authorization": header}
            assert nobody.get(f"{ASSISTANTS}/count", headers=headers).status_code == 401
        headers = {"x-api-key": real}
        assert nobody.get(f"{ASSISTANTS}/count", headers=headers).status_code == 401
    try_key(server, real)  # the control: this one is recorded, and nothing was before it
    (entry,) = eventually(admin, 1)
    assert ids(logs(admin)) == [entry["id"]] == [1]
    assert refused(server) == before + 1


def test_a_good_key_records_no_login(admin: httpx.Client, viewer: httpx.Client) -> None:
    for _ in range(5):
        assert viewer.get(f"{ASSISTANTS}/count").status_code == 200
        assert viewer.post(ASSISTANTS, json={"name": "x"}).status_code == 403
    assert logs(admin) == []


def flood(server: Server, tokens: list[str]) -> None:
    with server.client(None) as stranger, ThreadPoolExecutor(8) as pool:

        def send(token: str) -> int:
            headers = {"authorization": f"Bearer {token}"}
            return stranger.get(f"{ASSISTANTS}/count", headers=headers).status_code

        assert set(pool.map(send, tokens)) == {401}


def test_a_flood_of_refused_logins_is_recorded_in_part_and_counted(
    timed: tuple[Server, Clock],
) -> None:
    server, clock = timed
    flooded, other = server.organization(), server.organization()
    with server.client(flooded.admin) as admin, server.client(other.admin) as neighbour:
        flood(server, [tokens.make_token(flooded.id) for _ in range(500)])
        assert [entry["details"]["unrecorded"] for entry in eventually(admin, 10)] == [0] * 10
        clock.now += timedelta(seconds=59)
        try_key(server, tokens.make_token(flooded.id))
        clock.now += timedelta(seconds=1)
        try_key(server, tokens.make_token(flooded.id))
        assert eventually(admin, 11)[0]["details"]["unrecorded"] == 491
        try_key(server, tokens.make_token(flooded.id))
        # A flood of one organization takes nothing from another.
        try_key(server, tokens.make_token(other.id))
        eventually(neighbour, 1)
        assert len(logs(admin)) == 11
        clock.now += timedelta(days=30)  # no more is saved up than at first
        flood(server, [tokens.make_token(flooded.id) for _ in range(20)])
        entries = eventually(admin, 21)
        try_key(server, tokens.make_token(other.id))
        eventually(neighbour, 2)
        assert len(logs(admin)) == 21
        assert sum(entry["details"]["unrecorded"] for entry in entries) == 492


def test_without_the_limit_a_flood_is_recorded_whole(tmp_path: Path) -> None:
    """The control of the test above."""
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    guard_off = "import app.accounts.failed_logins; app.accounts.failed_logins._AT_ONCE = 10**9"
    with serving_process(database, waiting, preamble=guard_off) as server:
        organization = server.organization()
        flood(server, [tokens.make_token(organization.id) for _ in range(100)])
        with server.client(organization.admin) as admin:
            assert len(eventually(admin, 100)) == 100


def test_a_flood_does_not_keep_a_good_key_out(server: Server, organization: Organization) -> None:
    with server.client(organization.editor) as editor:
        flood(server, [tokens.make_token(organization.id) for _ in range(50)])
        assert editor.post(ASSISTANTS, json={"name": "Still"}).status_code == 201


def test_refused_logins_that_were_answered_are_in_the_log_after_a_shutdown(
    tmp_path: Path,
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    with serving_process(database, waiting) as server:
        flood(server, [tokens.make_token(organization.id) for _ in range(9)])
    types = [event["type"] for event in stored.events(database, organization.id)]
    assert types == ["login_refused.v1"] * 9
