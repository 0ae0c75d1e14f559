"""Secrets over HTTP: masked everywhere, kept by their mask, read back only by those who may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from events.upcasters import tag
from tests.app import stored
from tests.conftest import ASSISTANTS, Organization, Server
from tests.databases import execute, query

SECRETS = {
    "llm_provider_config": {
        "api_key": "sk-llm",
        "base_url": "https://user:pass@llm.example/v1",
        "custom_config": {"auth": {"clientSecret": "cs-1"}, "api_version": "2024-05"},
    },
    "api_keys": {"openai_api_key": "sk-own"},
    "webhook_headers": {"Authorization": "Bearer hook"},
    "llm_fallback_providers": {
        "fallbacks": [
            {"provider": "openai", "model": "gpt-4o", "api_key": "sk-first"},
            {"provider": "groq", "model": "llama", "api_key": "sk-second"},
        ]
    },
    "custom_settings": {"crm": {"token": "t-1", "url": "https://crm.example"}},
    "webhook_url": "https://hook:pw@hooks.example/in?api_key=k-1&mode=fast",
    "recording_settings": {"s3_secret": "s3"},
    "tools_settings": {"custom_tools": [{"tool_id": "crm", "headers": {"Cookie": "c=1"}}]},
}

REVEALED = {
    "/llm_provider_config/api_key": "sk-llm",
    "/llm_provider_config/base_url": "https://user:pass@llm.example/v1",
    "/llm_provider_config/custom_config/auth/clientSecret": "cs-1",
    "/api_keys/openai_api_key": "sk-own",
    "/webhook_headers/Authorization": "Bearer hook",
    "/llm_fallback_providers/fallbacks/0/api_key": "sk-first",
    "/llm_fallback_providers/fallbacks/1/api_key": "sk-second",
    "/custom_settings/crm/token": "t-1",
    "/webhook_url": "https://hook:pw@hooks.example/in?api_key=k-1&mode=fast",
    "/recording_settings/s3_secret": "s3",
    "/tools_settings/custom_tools/0/headers/Cookie": "c=1",
}
EVERYWHERE = sorted({"/" + path.split("/")[1] for path in REVEALED})


@pytest.fixture
def secretive(editor: httpx.Client) -> dict[str, Any]:
    """An assistant with a secret in every kind of place."""
    created: dict[str, Any] = editor.post(ASSISTANTS, json={"name": "Secretive"} | SECRETS).json()
    return created


def path_of(assistant: dict[str, Any]) -> str:
    return f"{ASSISTANTS}/{assistant['id']}"


def reveal(client: httpx.Client, assistant: dict[str, Any], *paths: str) -> Any:
    answer = client.post(
        f"{path_of(assistant)}/secrets/reveal", json={"paths": paths or EVERYWHERE}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["secrets"]


def test_every_place_of_a_secret_is_masked_and_can_be_read_back(
    secretive: dict[str, Any], runtime: httpx.Client
) -> None:
    assert secretive["llm_provider_config"]["api_key"] == "********"
    assert secretive["llm_provider_config"]["base_url"] == "https://********@llm.example/v1"
    assert secretive["llm_provider_config"]["custom_config"]["api_version"] == "2024-05"
    assert secretive["custom_settings"] == {
        "crm": {"token": "********", "url": "https://crm.example"}
    }
    masked = "https://********@hooks.example/in?api_key=********&mode=fast"
    assert secretive["webhook_url"] == masked
    assert reveal(runtime, secretive) == REVEALED


def test_what_was_read_can_be_sent_back_whole_and_changes_nothing(
    secretive: dict[str, Any], editor: httpx.Client, runtime: httpx.Client
) -> None:
    read = editor.get(path_of(secretive)).json()
    for verb in ("PUT", "PATCH"):
        answer = editor.request(verb, path_of(secretive), json=read)
        assert answer.json() == read
    assert reveal(runtime, secretive) == REVEALED


def test_to_a_caller_who_may_reveal_the_same_value_again_is_no_change_and_another_one_is(
    secretive: dict[str, Any], admin: httpx.Client, editor: httpx.Client, runtime: httpx.Client
) -> None:
    same = admin.patch(path_of(secretive), json=SECRETS).json()
    assert same["version"] == secretive["version"]
    rotated = admin.patch(
        path_of(secretive), json={"api_keys": {"openai_api_key": "sk-new"}}
    ).json()
    assert rotated["version"] == secretive["version"] + 1
    entry = editor.get(f"{path_of(secretive)}/settings-history").json()[0]
    assert entry["changes"] == [
        {"path": "/api_keys/openai_api_key", "before": "********", "after": "********"}
    ]
    assert reveal(runtime, secretive, "/api_keys") == {"/api_keys/openai_api_key": "sk-new"}


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_or_an_empty_string_removes_a_secret(
    secretive: dict[str, Any], editor: httpx.Client, nothing: str | None
) -> None:
    changed = editor.patch(
        path_of(secretive),
        json={
            "api_keys": {"openai_api_key": nothing},
            "llm_provider_config": {"api_key": nothing},
        },
    ).json()
    assert changed["api_keys"] == {}
    assert changed["llm_provider_config"]["api_key"] is None


def test_a_secret_stays_with_its_element_when_the_list_is_edited(
    secretive: dict[str, Any], editor: httpx.Client, runtime: httpx.Client
) -> None:
    fallbacks = secretive["llm_fallback_providers"]["fallbacks"]
    moved = [{"provider": "xai", "model": "grok"}, fallbacks[1], fallbacks[0]]
    editor.patch(path_of(secretive), json={"llm_fallback_providers": {"fallbacks": moved}})
    assert reveal(runtime, secretive, "/llm_fallback_providers") == {
        "/llm_fallback_providers/fallbacks/1/api_key": "sk-second",
        "/llm_fallback_providers/fallbacks/2/api_key": "sk-first",
    }


def test_the_mask_for_an_element_that_had_no_secret_is_refused(
    secretive: dict[str, Any], editor: httpx.Client
) -> None:
    fallbacks = [*secretive["llm_fallback_providers"]["fallbacks"]]
    fallbacks.append({"provider": "xai", "api_key": "********"})
    answer = editor.patch(
        path_of(secretive), json={"llm_fallback_providers": {"fallbacks": fallbacks}}
    )
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert error["loc"] == ["body", "llm_fallback_providers", "fallbacks", 2, "api_key"]


EVIL = "https://evil.example"
MOVED = {"llm_provider_config": {"base_url": f"https://********@{EVIL[8:]}/v1"}}
STEPS = [{"op": "replace", "path": "/custom_settings/crm/url", "value": EVIL}]
DOORS: dict[str, Callable[[httpx.Client, str], httpx.Response]] = {
    "PATCH": lambda client, at: client.patch(at, json=MOVED),
    "PUT": lambda client, at: client.put(at, json=client.get(at).json() | MOVED),
    "JSON Patch": lambda client, at: client.patch(
        at,
        content=msgspec.json.encode(STEPS),
        headers={"content-type": "application/json-patch+json"},
    ),
    "three-way merge": lambda client, at: client.patch(
        at, json=MOVED | {"base_version": 1, "on_conflict": "yours"}
    ),
    "change set": lambda client, at: client.post(
        "/api/v1/change-sets",
        json={"assistant_ids": [int(at.rpartition("/")[2])], "patch": MOVED},
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_an_editor_sends_no_kept_secret_to_another_server(
    secretive: dict[str, Any],
    editor: httpx.Client,
    admin: httpx.Client,
    runtime: httpx.Client,
    door: str,
) -> None:
    answer = DOORS[door](editor, path_of(secretive))
    assert answer.status_code == 422, answer.text
    assert "secret_address_changed" in answer.text
    assert EVIL in answer.text
    assert editor.get(path_of(secretive)).json() == secretive
    # A caller who may read the secret may.
    assert DOORS[door](admin, path_of(secretive)).is_success
    assert EVIL[8:] in str(reveal(runtime, secretive) | admin.get(path_of(secretive)).json())


def test_a_plan_names_the_secret_that_it_would_send_elsewhere(
    secretive: dict[str, Any], editor: httpx.Client
) -> None:
    planned = editor.patch(path_of(secretive), json=MOVED | {"dry_run": True}).json()
    assert planned["applicable"] is False
    assert {one["type"] for one in planned["not_accepted"]} == {"secret_address_changed"}
    assert {one["path"] for one in planned["not_accepted"]} == {"/llm_provider_config/base_url"}
    sent = MOVED["llm_provider_config"] | {
        "api_key": "sk-evil",
        "base_url": f"{EVIL}/v1",
        "custom_config": {"auth": {"clientSecret": None}},
    }
    dropped = {"llm_provider_config": sent, "api_keys": None, "dry_run": True}
    assert editor.patch(path_of(secretive), json=dropped).json()["applicable"] is True


def test_a_rollback_and_an_undo_send_no_kept_secret_to_another_server(
    editor: httpx.Client, admin: httpx.Client
) -> None:
    hook = {"webhook_url": "https://old.example", "webhook_headers": {"X": "old"}}
    made = editor.post(ASSISTANTS, json={"name": "Moved"} | hook).json()
    at = path_of(made)
    new = {"webhook_url": "https://new.example", "webhook_headers": {"X": "new"}}
    assert editor.patch(at, json=new).status_code == 200
    for path, body in (("undo", {"version": 2}), ("rollback", {"to_version": 1})):
        answer = editor.post(f"{at}/{path}", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"] == ["body", "webhook_headers", "X"]
    # With the secret that was set for that server, it may go back there.
    answer = admin.post(f"{at}/rollback", json={"to_version": 1, "restore_secrets": True})
    assert answer.json()["webhook_url"] == "https://old.example"


def test_a_masked_url_keeps_its_credentials(
    secretive: dict[str, Any], editor: httpx.Client, runtime: httpx.Client
) -> None:
    url = "https://********@llm.example/v2"
    answer = editor.patch(path_of(secretive), json={"llm_provider_config": {"base_url": url}})
    assert answer.status_code == 200
    assert reveal(runtime, secretive, "/llm_provider_config/base_url") == {
        "/llm_provider_config/base_url": "https://user:pass@llm.example/v2"
    }


@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
def test_no_role_reveals_without_the_scope(
    secretive: dict[str, Any], admin: httpx.Client, server: Server, role: str
) -> None:
    made = admin.post("/api/v1/users/me/api-keys", json={"name": "plain", "role": role}).json()
    with server.client(made["key"]) as client:
        answer = client.post(f"{path_of(secretive)}/secrets/reveal", json={"paths": ["/api_keys"]})
    assert answer.status_code == 403
    assert "sk-" not in answer.text


def test_a_scope_is_given_when_a_key_is_made_or_never(
    secretive: dict[str, Any], admin: httpx.Client, server: Server
) -> None:
    keys = "/api/v1/users/me/api-keys"
    wanted = {"permissions": {"secrets:reveal": True}}
    assert admin.post(keys, json={"name": "plain"} | wanted).status_code == 422
    plain = admin.post(keys, json={"name": "plain"}).json()
    assert admin.put(f"{keys}/{plain['api_key']['id']}", json=wanted).status_code == 422
    given = admin.post(
        keys, json={"name": "runtime", "role": "viewer", "scopes": ["secrets:reveal"]}
    ).json()
    place = f"{keys}/{given['api_key']['id']}"
    shown = admin.put(place, json={"permissions": {"write": False}}).json()["permissions"]
    assert admin.put(place, json={"permissions": shown}).json()["permissions"] == shown
    with server.client(plain["key"]) as client:
        answer = client.post(f"{path_of(secretive)}/secrets/reveal", json={"paths": EVERYWHERE})
        assert answer.status_code == 403
    with server.client(given["key"]) as client:
        assert reveal(client, secretive) == REVEALED


def test_a_reveal_is_recorded_with_its_paths_and_never_cached(
    secretive: dict[str, Any], runtime: httpx.Client, organization: Organization, server: Server
) -> None:
    answer = runtime.post(
        f"{path_of(secretive)}/secrets/reveal",
        json={"paths": ["/api_keys", "/webhook_headers/Authorization"], "reason": "Call 7"},
    )
    assert answer.headers["cache-control"] == "no-store"
    *_, newest = stored.rows(server.database, organization.id)["events"]
    body = newest["body"]
    assert newest["type"] == tag("secrets_revealed")
    assert newest["version"] is None
    assert b'"paths":["/api_keys/openai_api_key","/webhook_headers/Authorization"]' in body
    assert b'"reason":"Call 7"' in body
    assert b"sk-own" not in body
    assert runtime.get(path_of(secretive)).json()["version"] == secretive["version"]


@pytest.mark.parametrize("path", ["/name", "/nowhere", "/api_keys/other", "/api_key"])
def test_a_path_without_a_secret_is_refused(
    secretive: dict[str, Any], runtime: httpx.Client, path: str
) -> None:
    answer = runtime.post(
        f"{path_of(secretive)}/secrets/reveal", json={"paths": ["/api_keys", path]}
    )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "paths", 1]


def test_rollback_keeps_the_current_secrets_and_says_how_many_differ(
    secretive: dict[str, Any], editor: httpx.Client, runtime: httpx.Client
) -> None:
    editor.patch(
        path_of(secretive),
        json={"name": "Renamed", "api_keys": {"openai_api_key": "sk-2", "other": "o"}},
    )
    answer = editor.post(f"{path_of(secretive)}/settings-history/2/rollback")
    assert answer.headers["x-secrets-kept"] == "2"
    assert answer.json()["name"] == "Secretive"
    assert reveal(runtime, secretive, "/api_keys") == {
        "/api_keys/openai_api_key": "sk-2",
        "/api_keys/other": "o",
    }


def test_an_admin_may_roll_back_to_the_old_secrets(
    secretive: dict[str, Any], admin: httpx.Client, editor: httpx.Client, runtime: httpx.Client
) -> None:
    admin.patch(path_of(secretive), json={"api_keys": {"openai_api_key": "sk-2"}})
    rollback = f"{path_of(secretive)}/settings-history/2/rollback"
    assert editor.post(rollback, json={"restore_secrets": True}).status_code == 403
    answer = admin.post(rollback, json={"restore_secrets": True})
    assert answer.headers["x-secrets-kept"] == "0"
    assert reveal(runtime, secretive) == REVEALED


def test_a_duplicate_has_no_secrets(secretive: dict[str, Any], editor: httpx.Client) -> None:
    copied = editor.post(f"{path_of(secretive)}/duplicate").json()
    assert "********" not in str(copied)
    assert copied["llm_provider_config"]["base_url"] == "https://llm.example/v1"


def test_erased_secrets_are_gone_and_the_history_stays_readable(
    secretive: dict[str, Any], admin: httpx.Client, editor: httpx.Client, runtime: httpx.Client
) -> None:
    editor.patch(path_of(secretive), json={"api_keys": {"openai_api_key": "sk-2"}})
    assert editor.delete(f"{path_of(secretive)}/secrets").status_code == 403
    erased = admin.request("DELETE", f"{path_of(secretive)}/secrets", json={"reason": "Left us"})
    assert erased.json()["message"] == f"{len(REVEALED) + 1} secrets erased"

    read = editor.get(path_of(secretive)).json()
    assert read["api_keys"] == {"openai_api_key": "erased"}
    assert read["llm_provider_config"]["base_url"] == "https://erased@llm.example/v1"
    erasure, rotation = editor.get(f"{path_of(secretive)}/settings-history").json()
    assert (erasure["event"], erasure["change_description"]) == ("SecretsErased", "Left us")
    assert rotation["changes"][0]["before"] == "erased"
    assert rotation["settings_snapshot"]["api_keys"] == {"openai_api_key": "erased"}
    for path in EVERYWHERE:
        answer = runtime.post(f"{path_of(secretive)}/secrets/reveal", json={"paths": [path]})
        assert answer.status_code == 410, answer.text
    restored = admin.post(
        f"{path_of(secretive)}/settings-history/2/rollback", json={"restore_secrets": True}
    )
    assert restored.status_code == 200
    assert restored.json()["api_keys"] == {"openai_api_key": "erased"}


def test_an_erased_secret_can_be_set_again_to_the_value_it_had(
    secretive: dict[str, Any], admin: httpx.Client, runtime: httpx.Client
) -> None:
    admin.delete(f"{path_of(secretive)}/secrets")
    admin.patch(path_of(secretive), json={"api_keys": {"openai_api_key": "sk-own"}})
    assert reveal(runtime, secretive, "/api_keys") == {"/api_keys/openai_api_key": "sk-own"}


def test_erasing_the_organization_leaves_it_able_to_seal_anew(server: Server) -> None:
    tenant = server.organization()
    with server.client(tenant.admin) as admin, server.client(tenant.runtime) as runtime:
        admin.post(ASSISTANTS, json={"name": "Secretive"} | SECRETS)
        other = admin.post(ASSISTANTS, json={"name": "Other", "api_keys": {"a": "x"}}).json()
        erased = admin.delete("/api/v1/vault/secrets")
        assert erased.json()["message"] == f"{len(REVEALED) + 1} secrets erased"
        assert admin.get(path_of(other)).json()["api_keys"] == {"a": "erased"}
        admin.patch(path_of(other), json={"api_keys": {"a": "y"}})
        assert reveal(runtime, other, "/api_keys") == {"/api_keys/a": "y"}


@pytest.mark.parametrize("data_keys", [False, True])
def test_rotation_loses_no_secret(
    secretive: dict[str, Any], admin: httpx.Client, runtime: httpx.Client, *, data_keys: bool
) -> None:
    assert admin.post("/api/v1/vault/rotate", json={"data_keys": data_keys}).status_code == 200
    assert reveal(runtime, secretive) == REVEALED


def test_a_rotation_that_others_would_wait_for_long_is_refused(
    monkeypatch: pytest.MonkeyPatch, server: Server, secretive: dict[str, Any], admin: httpx.Client
) -> None:
    rotate = "/api/v1/vault/rotate"
    sealed = "SELECT count(*) FROM sealed_secrets WHERE organization_id = :id"
    ((count,),) = query(server.database, sealed, id=secretive["organization_id"])
    monkeypatch.setattr("app.assistants.secrets.MOST_ROTATED", count - 1)
    refused = admin.post(rotate, json={"data_keys": True})
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:backstory:problem:too-many-secrets"
    assert "sealed values" in refused.json()["detail"]
    # The controls: the keys alone, and as many as the limit.
    assert admin.post(rotate).status_code == 200
    monkeypatch.setattr("app.assistants.secrets.MOST_ROTATED", count)
    assert admin.post(rotate, json={"data_keys": True}).status_code == 200


@pytest.mark.parametrize("place", ["path", "assistant", "organization"])
def test_a_ciphertext_that_was_moved_does_not_open(server: Server, place: str) -> None:
    """The values are taken from where they stand and put where another secret is read."""
    mine, theirs = server.organization(), server.organization()
    with server.client(mine.editor) as client:
        one = client.post(ASSISTANTS, json={"name": "1", "api_keys": {"a": "va", "b": "vb"}}).json()
        two = client.post(ASSISTANTS, json={"name": "2", "api_keys": {"a": "vc"}}).json()
    with server.client(theirs.editor) as client:
        foreign = client.post(ASSISTANTS, json={"name": "3", "api_keys": {"a": "vd"}}).json()
    organization_id, assistant_id, path = {
        "path": (mine.id, one["id"], "/api_keys/b"),
        "assistant": (mine.id, two["id"], "/api_keys/a"),
        "organization": (theirs.id, foreign["id"], "/api_keys/a"),
    }[place]
    (ciphertext,) = (
        row["ciphertext"]
        for row in stored.rows(server.database, organization_id)["sealed_secrets"]
        if (row["assistant_id"], row["path"]) == (assistant_id, path)
    )
    moved = execute(
        server.database,
        "UPDATE sealed_secrets SET ciphertext = :ciphertext WHERE organization_id = :mine"
        " AND assistant_id = :one AND path = '/api_keys/a' RETURNING path",
        ciphertext=ciphertext,
        mine=mine.id,
        one=one["id"],
    )
    assert len(moved) == 1
    with server.client(mine.runtime) as client:
        answer = client.post(
            f"{ASSISTANTS}/{one['id']}/secrets/reveal", json={"paths": ["/api_keys/a"]}
        )
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:backstory:problem:secret-unreadable"
    assert not any(value in answer.text for value in ("va", "vb", "vc", "vd"))


def test_a_name_that_is_a_url_shows_no_reference(admin: httpx.Client) -> None:
    body = {"name": "https://u:S3cr3t@h/x", "description": "https://u:S3cr3t@h/"}
    made = admin.post(ASSISTANTS, json=body).json()
    answers = [
        admin.get(f"{ASSISTANTS}/export"),
        admin.get(f"{ASSISTANTS}/export?format=json"),
        admin.delete(path_of(made)),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert "https://********@h/x" in answer.text
        assert "$secret" not in answer.text


def test_one_body_brings_no_more_secrets_than_can_be_opened_in_time(
    editor: httpx.Client, secretive: dict[str, Any]
) -> None:
    headers = {f"h{number}": "value" for number in range(1001)}
    answer = editor.patch(path_of(secretive), json={"webhook_headers": headers})
    assert answer.status_code == 422
    assert [error["type"] for error in answer.json()["detail"]] == ["too_many_secrets"]


# -- pairs that are known by a member's name


@pytest.mark.parametrize(
    ("sent", "revealed"),
    [
        ({"value": "Bearer new"}, "Bearer new"),
        ({"value": "********"}, "Bearer old"),
        ({"name": "Authorization", "value": "Bearer new"}, "Bearer new"),
    ],
)
def test_the_value_of_a_pair_stays_secret_where_it_is_sent_alone(
    server: Server,
    organization: Organization,
    editor: httpx.Client,
    runtime: httpx.Client,
    sent: dict[str, str],
    revealed: str,
) -> None:
    pair = {"name": "Authorization", "value": "Bearer old"}
    body = {"name": "Desk", "custom_settings": {"header": pair}}
    made = editor.post("/api/v1/assistants", json=body).json()
    changed = editor.patch(path_of(made), json={"custom_settings": {"header": sent}})
    assert changed.status_code == 200
    assert changed.json()["custom_settings"]["header"]["value"] == "********"
    place = "/custom_settings/header/value"
    assert reveal(runtime, made, place) == {place: revealed}
    assert "Bearer" not in str(stored.events(server.database, organization.id))


def test_a_pair_that_gets_another_name_says_itself_what_it_is(editor: httpx.Client) -> None:
    pair = {"name": "Authorization", "value": "Bearer old"}
    body = {"name": "Desk", "custom_settings": {"header": pair}}
    made = editor.post("/api/v1/assistants", json=body).json()
    other = {"name": "X-Region", "value": "eu"}
    changed = editor.patch(path_of(made), json={"custom_settings": {"header": other}})
    assert changed.json()["custom_settings"]["header"] == other
