"""Reversals keep the current secrets, unless an admin asks for the old ones."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.app.assistants.answers import MASK, ok
from tests.app.assistants.reversals.past import KEY, reveal, roll_back, undo
from tests.conftest import (
    ASSISTANTS,
)


@pytest.fixture
def secretive(editor: httpx.Client) -> str:
    """Version 2 rotates a secret and renames, 3 adds a secret, 4 removes the first one."""
    body = {"name": "One", "llm_provider_config": {"api_key": "sk-1"}}
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json=body).json()['id']}"
    for change in (
        {"name": "Two", "llm_provider_config": {"api_key": "sk-2"}},
        {"name": "Three", "api_keys": {"own": "sk-own"}},
        {"description": "Four", "llm_provider_config": {"api_key": None}},
    ):
        ok(editor.patch(path, json=change))
    return path


def test_a_rollback_keeps_the_current_secrets_and_names_them(
    editor: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    editor.patch(secretive, json={"llm_provider_config": {"api_key": "sk-5"}})
    plan = ok(roll_back(editor, secretive, to_version=1, dry_run=True))
    assert sorted(plan["secrets_kept"]) == ["/api_keys/own", KEY]
    answer = roll_back(editor, secretive, to_version=1)
    assert answer.headers["x-secrets-kept"] == "2"
    assert ok(answer)["name"] == "One"
    assert reveal(runtime, secretive, KEY, "/api_keys") == {KEY: "sk-5", "/api_keys/own": "sk-own"}
    changes = ok(editor.get(f"{secretive}/settings-history?limit=1"))[0]["changes"]
    assert [one["path"] for one in changes] == ["/name", "/description"]


def test_a_rollback_of_a_secrets_path_alone_keeps_it(
    editor: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    answer = roll_back(editor, secretive, to_version=2, paths=["/api_keys"])
    assert (ok(answer)["version"], answer.headers["x-secrets-kept"]) == (4, "1")
    assert reveal(runtime, secretive, "/api_keys") == {"/api_keys/own": "sk-own"}


@pytest.mark.parametrize("place", ["rollback", "undo", "settings-history/2/rollback"])
def test_old_secrets_are_for_admins(
    editor: httpx.Client, admin: httpx.Client, secretive: str, place: str
) -> None:
    body: dict[str, Any] = {"restore_secrets": True}
    body |= {"rollback": {"to_version": 1}, "undo": {"version": 3}}.get(place, {})
    for dry_run in (False, True):
        answer = editor.post(f"{secretive}/{place}", json=body | {"dry_run": dry_run})
        assert answer.status_code == 403
    # The controls: without old secrets an editor may, and with them an admin.
    tried = {"dry_run": True, "restore_secrets": False}
    assert ok(editor.post(f"{secretive}/{place}", json=body | tried))
    assert ok(admin.post(f"{secretive}/{place}", json=body))


@pytest.mark.parametrize(("version", "secret"), [(1, "sk-1"), (2, "sk-2")])
def test_a_rollback_brings_old_secrets_back_for_an_admin(
    admin: httpx.Client, runtime: httpx.Client, secretive: str, version: int, secret: str
) -> None:
    answer = roll_back(admin, secretive, to_version=version, restore_secrets=True)
    assert ok(answer)["llm_provider_config"]["api_key"] == MASK
    assert reveal(runtime, secretive, KEY) == {KEY: secret}
    (change,) = (
        one
        for one in ok(admin.get(f"{secretive}/settings-history?limit=1"))[0]["changes"]
        if one["path"] == KEY
    )
    assert change == {"path": KEY, "before": None, "after": MASK}


def test_an_undo_keeps_the_current_secrets(
    editor: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    answer = undo(editor, secretive, version=3)
    assert (ok(answer)["name"], answer.headers["x-secrets-kept"]) == ("Two", "1")
    assert reveal(runtime, secretive, "/api_keys") == {"/api_keys/own": "sk-own"}
    answer = undo(editor, secretive, version=4)
    shown = ok(answer)
    assert (shown["description"], shown["llm_provider_config"]["api_key"]) == (None, None)


def test_an_undo_brings_a_removed_secret_back_for_an_admin(
    admin: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    shown = ok(undo(admin, secretive, version=4, restore_secrets=True))
    assert (shown["description"], shown["llm_provider_config"]["api_key"]) == (None, MASK)
    assert reveal(runtime, secretive, KEY) == {KEY: "sk-2"}
    ok(undo(admin, secretive, version=2, restore_secrets=True, on_conflict="skip"))
    assert reveal(runtime, secretive, KEY) == {KEY: "sk-1"}


def test_an_undo_that_restores_secrets_takes_away_one_that_the_change_added(
    admin: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    answer = undo(admin, secretive, version=3, restore_secrets=True)
    assert (ok(answer)["name"], ok(answer)["api_keys"]) == ("Two", None)
    assert answer.headers["x-secrets-kept"] == "0"
    asked = {"paths": ["/api_keys"]}
    assert runtime.post(f"{secretive}/secrets/reveal", json=asked).status_code == 422


@pytest.mark.parametrize("place", ["/api_keys/own", KEY])
def test_an_undo_that_restores_secrets_meets_one_that_was_rotated_since(
    admin: httpx.Client, runtime: httpx.Client, place: str
) -> None:
    """One of a map, which is removed, and one of its own member, which becomes null."""
    body = {"name": "One", "api_keys": {"other": "sk-0"}}
    path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json=body).json()['id']}"
    _, member, name = place.split("/")
    for value in ("sk-1", "sk-2"):
        ok(admin.patch(path, json={member: {name: value}}))
    assert undo(admin, path, version=2, restore_secrets=True).status_code == 409
    ok(undo(admin, path, version=2, restore_secrets=True, on_conflict="skip"))
    assert reveal(runtime, path, place) == {place: "sk-2"}
    # The control: without asking for the old secrets, by force too, the current one is kept.
    ok(undo(admin, path, version=2, on_conflict="force"))
    assert reveal(runtime, path, place) == {place: "sk-2"}
    shown = ok(undo(admin, path, version=2, restore_secrets=True, on_conflict="force"))
    assert shown[member].get(name) is None
    assert shown["api_keys"] == {"other": MASK}


def test_no_answer_shows_a_secret(admin: httpx.Client, secretive: str) -> None:
    body: dict[str, Any] = {"restore_secrets": True, "dry_run": True}
    answers = [
        roll_back(admin, secretive, to_version=1, **body),
        undo(admin, secretive, version=2, **body),
        undo(admin, secretive, version=2, restore_secrets=True),
        admin.get(f"{secretive}/versions"),
        admin.get(f"{secretive}/settings-history"),
    ]
    for answer in answers:
        assert "sk-" not in answer.text
        assert "fingerprint" not in answer.text


def test_old_secrets_that_were_erased_do_not_come_back(
    admin: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    admin.delete(f"{secretive}/secrets")
    admin.patch(secretive, json={"llm_provider_config": {"api_key": "sk-6"}})
    roll_back(admin, secretive, to_version=2, restore_secrets=True)
    assert reveal(runtime, secretive, KEY) == {KEY: "sk-6"}


@pytest.mark.parametrize("on_conflict", ["fail", "force"])
def test_an_undo_of_a_removal_leaves_the_secret_that_was_set_since(
    editor: httpx.Client, runtime: httpx.Client, on_conflict: str
) -> None:
    place = {"llm_provider_config": {"api_key": "sk-first"}}
    created = editor.post(ASSISTANTS, json={"name": "Front desk"} | place).json()
    path = f"{ASSISTANTS}/{created['id']}"
    for value in (None, "sk-now"):
        ok(editor.patch(path, json={"llm_provider_config": {"api_key": value}}))
    ok(editor.post(f"{path}/undo", json={"version": 2, "on_conflict": on_conflict}))
    asked = {"paths": ["/llm_provider_config"]}
    shown = ok(runtime.post(f"{path}/secrets/reveal", json=asked))["secrets"]
    assert shown == {"/llm_provider_config/api_key": "sk-now"}


@pytest.mark.parametrize("place", ["rollback", "undo"])
def test_a_secret_does_not_follow_its_element_back_to_another_host(
    editor: httpx.Client, runtime: httpx.Client, place: str
) -> None:
    tool = {"tool_id": "t", "url": "https://old.example/x"}
    settings = {"name": "Front desk", "tools_settings": {"custom_tools": [tool]}}
    created = editor.post(ASSISTANTS, json=settings).json()
    path = f"{ASSISTANTS}/{created['id']}"
    new = {"tool_id": "t", "url": "https://new.example/x", "token": "tok-now"}
    ok(editor.patch(path, json={"tools_settings": {"custom_tools": [new]}}))
    body = {"to_version": 1} if place == "rollback" else {"version": 2}
    ok(editor.post(f"{path}/{place}", json=body))
    shown = ok(editor.get(path))["tools_settings"]["custom_tools"]
    assert shown == [tool]
    # Control: on the host that it was set for, it is kept.
    ok(editor.patch(path, json={"tools_settings": {"custom_tools": [new | {"more": 1}]}}))
    ok(editor.patch(path, json={"tools_settings": {"custom_tools": [new | {"more": 2}]}}))
    body = {"to_version": 4} if place == "rollback" else {"version": 5}
    ok(editor.post(f"{path}/{place}", json=body))
    asked = {"paths": ["/tools_settings"]}
    revealed = ok(runtime.post(f"{path}/secrets/reveal", json=asked))["secrets"]
    assert revealed == {"/tools_settings/custom_tools/0/token": "tok-now"}
