"""A deleted assistant comes back with its id and its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import ok
from tests.app.assistants.reversals.past import KEY, at, links, reveal, roll_back, undo, versions
from tests.conftest import (
    ASSISTANTS,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"json": {}},
        {"json": {"change_description": None}},
        {"json": {"change_description": " Deleted by mistake "}},
        {"content": b"null", "headers": {"content-type": "application/json"}},
    ],
)
def test_a_deleted_assistant_comes_back_with_its_id_and_its_history(
    editor: httpx.Client, path: str, options: dict[str, Any]
) -> None:
    now, past = at(editor, path), versions(editor, path)
    editor.delete(path)
    answer = editor.post(f"{path}/restore", **options)
    assert ok(answer)["version"] == 7
    assert version_of(answer) == 7
    assert at(editor, path) == now
    restoration, deletion, *older = versions(editor, path)
    assert older == past
    assert restoration["event"] == "AssistantRestored"
    assert restoration["cause"] == {"type": "restore", "undoes": 6}
    reason = (options.get("json") or {}).get("change_description")
    assert restoration["change_description"] == (reason and reason.strip())
    assert deletion["event"] == "AssistantDeleted"
    listed = ok(editor.get(ASSISTANTS, params={"limit": 1000}))
    assert ok(editor.get(path)) in listed
    assert ok(editor.patch(path, json={"name": "Alive"}))["version"] == 8


def test_only_a_deleted_assistant_is_restored(
    editor: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    before = rows()
    living = editor.post(f"{path}/restore")
    assert living.status_code == 409
    assert living.json()["type"] == "urn:backstory:problem:not-deleted"
    for missing in ("99999", "0", "9" * 20):
        answer = editor.post(f"{ASSISTANTS}/{missing}/restore")
        assert answer.status_code == 404
    assert rows() == before


def test_a_deleted_assistant_is_neither_rolled_back_nor_undone_before_it_is_restored(
    editor: httpx.Client, path: str
) -> None:
    editor.delete(path)
    for dry_run in (False, True):
        assert roll_back(editor, path, to_version=1, dry_run=dry_run).status_code == 404
        assert undo(editor, path, version=2, dry_run=dry_run).status_code == 404
    editor.post(f"{path}/restore")
    assert roll_back(editor, path, to_version=1).status_code == 200


def test_a_rollback_over_a_deletion_keeps_the_assistant_alive(
    editor: httpx.Client, path: str
) -> None:
    editor.delete(path)
    editor.post(f"{path}/restore")
    roll_back(editor, path, to_version=6)  # the state that it was deleted with
    assert len(versions(editor, path)) == 7
    roll_back(editor, path, to_version=2)
    assert at(editor, path) == at(editor, path, 2)
    assert links(editor, path)[8] == ([5, 4, 3], [])


def test_the_secrets_of_a_restored_assistant_still_work(
    editor: httpx.Client, runtime: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"llm_provider_config": {"api_key": "sk-1"}})
    editor.delete(path)
    answer = runtime.post(f"{path}/secrets/reveal", json={"paths": [KEY]})
    assert answer.status_code == 404
    editor.post(f"{path}/restore")
    assert reveal(runtime, path, KEY) == {KEY: "sk-1"}


def test_secrets_that_were_destroyed_meanwhile_stay_gone(
    editor: httpx.Client, admin: httpx.Client, runtime: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"llm_provider_config": {"api_key": "sk-1"}})
    editor.delete(path)
    admin.delete(f"{path}/secrets")
    shown = ok(editor.post(f"{path}/restore"))
    assert shown["llm_provider_config"]["api_key"] == "erased"
    assert runtime.post(f"{path}/secrets/reveal", json={"paths": [KEY]}).status_code == 410
    # The erasure stands between the deletion and the restoration: the links find both.
    assert links(editor, path) == {9: ([7], []), 7: ([], [9])}
