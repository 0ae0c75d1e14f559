"""Preferences are honoured, and a dry run of any write is told or refused, never carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.app.assistants.conditions.writes import CHANGES, POLICY, if_match, make, patch, prefer
from tests.app.route_table import KEYS, OPERATIONS, Operation, make_webhook
from tests.conftest import ASSISTANTS, Organization, Server, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator


CHANGE_SETS = "/api/v1/change-sets"


# Without a body, where the client asks for none.
MINIMAL = [name for name in CHANGES if name != "DELETE"]


@pytest.mark.parametrize("what", MINIMAL)
def test_who_prefers_a_minimal_answer_gets_the_tag_alone(
    editor: httpx.Client, path: str, what: str
) -> None:
    answer = CHANGES[what](editor, path, headers=prefer("return=minimal"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert answer.headers["etag"] == editor.get(path).headers["etag"]
    assert version_of(answer) == 4
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


def test_a_creation_a_copy_and_a_restoration_may_be_minimal_too(
    editor: httpx.Client, path: str
) -> None:
    minimal = prefer("return=minimal")
    editor.delete(path)
    for answer, version in (
        (editor.post(ASSISTANTS, json={"name": "New"}, headers=minimal), 1),
        (editor.post(f"{path}/restore", headers=minimal), 5),
        (editor.post(f"{path}/duplicate", headers=minimal), 1),
    ):
        assert (answer.status_code, answer.content) == (204, b"")
        assert version_of(answer) == version
        assert answer.headers["preference-applied"] == "return=minimal"


def test_preferences_are_told_which_of_them_were_honoured(editor: httpx.Client, path: str) -> None:
    def applied(*lines: str) -> str | None:
        headers = [("prefer", line) for line in lines]
        answer = editor.patch(path, json={"name": "New"}, headers=headers)
        assert answer.is_success
        said: str | None = answer.headers.get("preference-applied")
        return said

    assert applied() is None
    assert applied("respond-async, wait=10") is None
    assert applied("return=representation") is None
    assert applied('Return="minimal"; foo=bar') == "return=minimal"
    both = "handling=strict, return=minimal"
    assert applied("return=minimal, handling=strict") == both
    assert applied("return=minimal", "handling=strict") == both
    assert applied("return=minimal, dry-run") == "dry-run"


def test_a_refusal_is_told_whole_whatever_is_preferred(editor: httpx.Client, path: str) -> None:
    answer = patch(editor, path, headers=if_match('"1"') | prefer("return=minimal"))
    assert answer.status_code == 412
    assert len(answer.json()["changed_since"]) == 2


_WRITES = [operation for operation in OPERATIONS if operation.writes or operation.needs_a_scope]


_SECRET = {"llm_provider_config": {"api_key": "sk-of-ours"}}


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


@pytest.fixture
def ids(boss: httpx.Client) -> dict[str, Any]:
    """What the operations are about; each would find something to do."""
    path = make(boss)
    boss.patch(path, json=_SECRET | {"is_active": False})
    assistant_id = int(path.rpartition("/")[2])
    wanted = {"assistant_ids": [assistant_id], "patch": {"llm_settings": {"temperature": 0.9}}}
    return {
        "assistant_id": assistant_id,
        "version_id": 2,
        "version": 1,
        "change_set_id": boss.post(CHANGE_SETS, json=wanted).json()["change_set_id"],
        "key_id": boss.post(KEYS, json={"name": "spare"}).json()["api_key"]["id"],
        "webhook_id": make_webhook(boss),
        "phone_number_id": 1,
    }


# By the route table: a new operation is here until somebody gives it a dry run.
_NO_DRY_RUN = {
    "DELETE /api/v1/assistants/{assistant_id}/secrets",
    "DELETE /api/v1/assistants/{assistant_id}/versions/{version}/label",
    "DELETE /api/v1/users/me/api-keys/{key_id}",
    "DELETE /api/v1/vault/secrets",
    "PATCH /api/v1/assistants/organization/phone-numbers/{phone_number_id}",
    "POST /api/v1/assistants/organization/phone-numbers",
    "POST /api/v1/assistants/organization/phone-numbers/sync",
    "POST /api/v1/assistants/{assistant_id}/phone-numbers/assign-by-number",
    "POST /api/v1/assistants/{assistant_id}/phone-numbers/bulk-assign",
    "POST /api/v1/assistants/{assistant_id}/phone-numbers/unassign-by-number",
    "POST /api/v1/assistants/{assistant_id}/phone-numbers/{phone_number_id}/assign",
    "POST /api/v1/assistants/{assistant_id}/phone-numbers/{phone_number_id}/unassign",
    "POST /api/v1/assistants/{assistant_id}/secrets/reveal",
    "POST /api/v1/resolve",
    "POST /api/v1/users/me/api-keys",
    "POST /api/v1/vault/rotate",
    "DELETE /api/v1/webhooks/{webhook_id}",
    "PATCH /api/v1/webhooks/{webhook_id}",
    "POST /api/v1/webhooks",
    "POST /api/v1/webhooks/{webhook_id}/redeliver",
    "POST /api/v1/webhooks/{webhook_id}/replay",
    "POST /api/v1/webhooks/{webhook_id}/secret",
    "POST /api/v1/webhooks/{webhook_id}/test",
    "PUT /api/v1/assistants/{assistant_id}/versions/{version}/label",
    "PUT /api/v1/policy",
    "PUT /api/v1/users/me/api-keys/{key_id}",
}


@pytest.mark.parametrize("operation", _WRITES, ids=str)
def test_a_dry_run_is_told_or_refused_and_never_carried_out(
    server: Server,
    tenant: Organization,
    boss: httpx.Client,
    ids: dict[str, Any],
    operation: Operation,
) -> None:
    if operation.path.endswith("/restore"):
        boss.delete(f"{ASSISTANTS}/{ids['assistant_id']}")
    if "phone" in operation.path:
        operation.prepare(boss, ids)
    token = tenant.runtime if operation.needs_a_scope else tenant.admin
    key = {"authorization": f"Bearer {token}"}
    before = stored.rows(server.database, tenant.id)
    for preference in ("dry-run", "return=minimal, dry-run", "Dry-Run; please"):
        answer = operation.send(boss, ids, headers=key | prefer(preference))
        if str(operation) in _NO_DRY_RUN:
            assert answer.status_code == 422
            (error,) = answer.json()["detail"]
            assert (error["loc"], error["type"]) == (["header", "Prefer"], "no_dry_run")
        else:
            assert answer.status_code == 200
            assert answer.json()["dry_run"] is True
            assert answer.headers["preference-applied"] == "dry-run"
    body = operation.body if isinstance(operation.body, dict) else {}
    path = operation.path.format(**ids)
    elsewhere: list[tuple[dict[str, str], dict[str, Any] | None]] = [
        ({"dry_run": "true"}, body or None),
        ({"dry_run": "1"}, body or None),
        ({"dry_run": "perhaps"}, body or None),
        ({}, body | {"dry_run": True}),
    ]
    for query, sent in elsewhere:
        asked = {"params": operation.query | query, "json": sent, "headers": key}
        answer = boss.request(operation.verb, path, **asked)  # type: ignore[arg-type]
        if answer.status_code == 200 and "perhaps" not in query.values():
            assert answer.json()["dry_run"] is True
        else:
            assert answer.status_code == 422, answer.text
            assert "dry_run" in answer.json()["detail"][0]["loc"]
        assert (str(operation) in _NO_DRY_RUN) <= (answer.status_code == 422)
    assert stored.rows(server.database, tenant.id) == before
    # The control: what was not carried out would have done something.
    assert operation.send(boss, ids, headers=key).is_success
    has_nothing_to_do = operation.path.endswith("/sync")
    assert (stored.rows(server.database, tenant.id) == before) is has_nothing_to_do
    if operation.path == POLICY:
        free: dict[str, Any] = {"require_reason_for": [], "admin_paths": []}
        assert boss.put(POLICY, json=free).is_success


@pytest.mark.parametrize("no", [False, 0, None])
def test_no_dry_run_is_none_wherever_it_is_said(boss: httpx.Client, no: Any) -> None:
    path = make(boss)
    query = {} if no is None else {"dry_run": str(int(no))}
    answer = boss.request("DELETE", path, params=query, json={"dry_run": no})
    assert answer.json()["message"].endswith("deleted successfully")
    assert boss.get(path).status_code == 404


def test_a_dry_run_in_escapes_is_one_too(boss: httpx.Client) -> None:
    path = make(boss)
    answer = boss.request("DELETE", path, content=rb'{"dry\u005frun": true}')
    assert answer.json()["detail"][0]["loc"] == ["body", "dry_run"]
    assert boss.get(path).is_success
