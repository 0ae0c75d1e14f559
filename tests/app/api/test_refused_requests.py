"""What is refused has recorded nothing: no event, no leaf, no sequence, no view, no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.app.route_table import CHANGE_SETS
from tests.conftest import ASSISTANTS, Organization, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE, TWO, GONE = (f"{ASSISTANTS}/{number}" for number in (1, 2, 3))
_SECRET = {"api_keys": {"a": "new value"}}
_REASON = {"change_description": "Because"}
_SET = 8  # by the sequence of its first event
_STALE = {"if-match": '"1"'}
ChangeRequest = tuple[str, str, Any, dict[str, str]]

# What stands against it -> by status; each would change something, and seal a secret, otherwise.
REFUSED: dict[str, tuple[int, ChangeRequest]] = {
    "invalid": (422, ("PATCH", ONE, _SECRET | {"tts_limit": -1}, {})),
    "deleted": (404, ("PATCH", GONE, _SECRET | _REASON, {})),
    "restored twice": (409, ("POST", f"{ONE}/restore", _REASON, {})),
    "no reason": (422, ("PATCH", ONE, _SECRET, {})),
    "invalid, new": (422, ("POST", ASSISTANTS, _SECRET | {"name": "New", "tts_limit": -1}, {})),
    "protected path": (403, ("PATCH", ONE, _SECRET | _REASON | {"webhook_url": "https://x"}, {})),
    "precondition": (412, ("PATCH", ONE, _SECRET | _REASON, _STALE)),
    "precondition, put": (412, ("PUT", ONE, _SECRET | _REASON, _STALE)),
    "precondition, delete": (412, ("DELETE", ONE, None, _STALE)),
    "conflict": (
        409,
        ("PATCH", ONE, _SECRET | _REASON | {"description": "3", "base_version": 1}, {}),
    ),
    "undo conflict": (409, ("POST", f"{ONE}/undo", _REASON | {"version": 2}, {})),
    "no version": (404, ("POST", f"{ONE}/rollback", _REASON | {"to_version": 99}, {})),
    "set, invalid": (422, ("POST", CHANGE_SETS, {"patch": {"tts_limit": -1}}, {})),
    "set, one deleted": (404, ("POST", CHANGE_SETS, {"assistant_ids": [1, 2, 3]}, {})),
    "set, no reason": (422, ("POST", CHANGE_SETS, {"change_description": None}, {})),
    "set, protected": (403, ("POST", CHANGE_SETS, {"patch": {"webhook_url": "https://x"}}, {})),
    "set, revert": (409, ("POST", f"{CHANGE_SETS}/{_SET}/revert", _REASON, {})),
}


def said(change_request: ChangeRequest) -> ChangeRequest:
    verb, path, body, headers = change_request
    if path != CHANGE_SETS:
        return change_request
    whole = {"assistant_ids": [1, 2], "patch": {}} | _REASON | body
    return verb, path, whole | {"patch": _SECRET | whole["patch"]}, headers


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    """An editor among assistants that were changed, under a policy."""
    with server.client(organization.admin) as admin:
        for name in ("One", "Two", "Gone"):
            assert admin.post(ASSISTANTS, json={"name": name}).is_success
        for number in ("1", "2"):
            for at in (ONE, TWO):
                assert admin.patch(at, json={"description": number}).is_success
        body = {"assistant_ids": [1, 2], "patch": {"idle_message": "Of a set"}}
        assert admin.post(CHANGE_SETS, json=body).json()["change_set_id"] == _SET
        assert admin.patch(ONE, json={"idle_message": "Changed since"}).is_success
        assert admin.delete(GONE).is_success
        policy = {"require_reason": True, "admin_paths": ["/webhook_url"]}
        assert admin.put("/api/v1/policy", json=policy).is_success
    with server.client(organization.editor) as client:
        yield client


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_recorded_nothing(
    server: Server, organization: Organization, editor: httpx.Client, name: str
) -> None:
    status, change_request = REFUSED[name]
    verb, path, body, headers = said(change_request)
    before = stored.rows(server.database, organization.id)
    keyed = {"idempotency-key": f"{name}'s"}
    for sent in (headers, headers | keyed, headers | keyed):
        answer = editor.request(verb, path, json=body, headers=sent)
        assert answer.status_code == status, answer.text
    assert stored.rows(server.database, organization.id) == before


def test_control_what_is_granted_records(
    server: Server, organization: Organization, editor: httpx.Client
) -> None:
    before = stored.rows(server.database, organization.id)
    assert editor.patch(ONE, json=_SECRET | _REASON).is_success
    after = stored.rows(server.database, organization.id)
    for table in ("organizations", "events", "assistants", "sealed_secrets"):
        assert after[table] != before[table]
