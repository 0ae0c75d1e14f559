"""What an entry of the log does not say: secrets are masked, and long texts cut."""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec
import pytest

from tests.app.audit.log_reader import AUDIT, CANARY, JSON_BODY, LOGS, create_assistant, logs
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)


def test_values_of_secrets_are_never_in_the_log(
    organization: Organization, editor: httpx.Client, admin: httpx.Client, runtime: httpx.Client
) -> None:
    path = f"{ASSISTANTS}/{create_assistant(editor)}"
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
    path = f"{ASSISTANTS}/{create_assistant(editor)}"
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
        answer = editor.patch(path, content=content, headers=JSON_BODY)
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
