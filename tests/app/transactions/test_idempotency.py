"""``Idempotency-Key``: the same request again gets the same answer, and nothing happens."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from msgspec import UNSET

from app.api import writes
from app.transactions import idempotency
from tests.app import stored
from tests.app.route_table import KEYS, NUMBERS, OPERATIONS, Operation, make_webhook
from tests.app.transactions.keyed_requests import (
    PATIENCE,
    content_of,
    count,
    create,
    is_replayed,
    keyed,
    problem,
)
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGE_SETS = "/api/v1/change-sets"
SECRET = {"llm_provider_config": {"api_key": "sk-of-ours"}}
_SYNC = f"{NUMBERS}/sync"  # it has nothing to write
_WRITES = [operation for operation in OPERATIONS if operation.writes and operation.path != _SYNC]
# What each request does once more, unless it is a replay; the others find it done already.
_EACH_TIME = {
    f"POST {ASSISTANTS}",
    f"POST {ASSISTANTS}/{{assistant_id}}/duplicate",
    f"POST {KEYS}",
    "POST /api/v1/vault/rotate",
}


# -- every write


def prepare(admin: httpx.Client, operation: Operation) -> dict[str, Any]:
    """Make something to do for each of the operations: the ids of what they are about."""
    off = {"name": "Night desk", "is_active": False} | SECRET
    assistant = admin.post(ASSISTANTS, json=off).json()["id"]
    path = f"{ASSISTANTS}/{assistant}"
    admin.post(ASSISTANTS, json={"name": "Day desk"} | SECRET)
    admin.patch(path, json={"description": "Answers at night"})
    wanted = {"assistant_ids": [assistant], "patch": {"llm_settings": {"temperature": 0.9}}}
    change_set = admin.post(CHANGE_SETS, json=wanted).json()["change_set_id"]
    version = 2
    if operation.verb == "DELETE":
        version = 1
        admin.put(f"{path}/versions/1/label", json={"label": "first"})
    if operation.path.endswith("/restore"):
        assert admin.delete(path).is_success
    ids = {
        "assistant_id": assistant,
        "version_id": 2,
        "version": version,
        "change_set_id": change_set,
        "key_id": admin.post(KEYS, json={"name": "spare"}).json()["api_key"]["id"],
        "webhook_id": make_webhook(admin),
        "phone_number_id": 1,
    }
    if "phone" in operation.path:
        operation.prepare(admin, ids)
    return ids


def test_there_are_writes_to_test() -> None:
    assert len(_WRITES) >= 21
    assert {str(operation) for operation in _WRITES} >= _EACH_TIME


@pytest.mark.parametrize("operation", _WRITES, ids=str)
def test_a_request_that_is_sent_again_is_answered_the_same_and_has_happened_once(
    server: Server, organization: Organization, admin: httpx.Client, operation: Operation
) -> None:
    ids = prepare(admin, operation)
    before = count(server, organization)
    first = operation.send(admin, ids, headers=keyed("again"))
    assert first.is_success, first.text
    assert not is_replayed(first)
    after = stored.rows(server.database, organization.id)
    assert len(after["events"]) > before
    assert {event["idempotency_key"] for event in map(_body, after["events"][before:])} == {"again"}

    for _ in range(2):
        again = operation.send(admin, ids, headers=keyed("again"))
        assert content_of(again) == content_of(first)
        assert is_replayed(again)
    assert stored.rows(server.database, organization.id) == after

    # The control: without a key, or with a new one, the same request is carried out.
    for headers in ({}, keyed("anew")):
        events = count(server, organization)
        anew = operation.send(admin, ids, headers=headers)
        assert not is_replayed(anew)
        if str(operation) in _EACH_TIME:
            assert count(server, organization) > events


def _body(row: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(row["body"])
    return decoded


def _another_body(operation: Operation) -> Any:
    body = {} if operation.body is UNSET else operation.body
    if isinstance(body, list):
        return [*body, *body]
    if "name" in body:
        return body | {"name": "Another"}
    if "data_keys" in body:
        return {"data_keys": False}
    if "sequence" in body or "after" in body:
        return dict.fromkeys(body, 2)
    if "description" in body:
        return body | {"description": "Another"}
    name = "reason" if "reason" in body else "change_description"
    return body | {name: "Another"}


def _others(operation: Operation, ids: dict[str, Any]) -> Iterator[tuple[str, httpx.Request]]:
    """Requests that differ from an operation's in one thing each."""
    path = operation.path.format(**ids)
    body = None if operation.body is UNSET else operation.body

    def request(path: str, query: dict[str, str], body: Any) -> httpx.Request:
        url = f"http://server{path}"
        return httpx.Request(operation.verb, url, params=query, json=body)

    yield "body", request(path, operation.query, _another_body(operation))
    yield "query", request(path, operation.query | {"unknown": "1"}, body)
    for name in operation.parameters:
        other = operation.path.format(**ids | {name: ids[name] + 1})
        yield name, request(other, operation.query, body)


@pytest.mark.parametrize("operation", _WRITES, ids=str)
def test_another_request_under_a_used_key_is_refused_and_changes_nothing(
    server: Server, organization: Organization, admin: httpx.Client, operation: Operation
) -> None:
    ids = prepare(admin, operation)
    first = operation.send(admin, ids, headers=keyed("used"))
    assert first.is_success, first.text
    before = stored.rows(server.database, organization.id)

    def refused(answer: httpx.Response, what: str) -> None:
        assert (answer.status_code, problem(answer)) == (422, "idempotency-key-reused"), what
        assert answer.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]
        assert not is_replayed(answer)

    for what, other in _others(operation, ids):
        headers = {k: v for k, v in other.headers.items() if k == "content-type"}
        answer = admin.request(
            other.method,
            other.url.raw_path.decode(),
            content=other.content,
            headers=headers | keyed("used"),
        )
        refused(answer, what)
    refused(admin.post(ASSISTANTS, json={"name": "x"}, headers=keyed("used")), "operation")
    assert stored.rows(server.database, organization.id) == before
    # The control: the request that the key belongs to is still answered.
    assert content_of(operation.send(admin, ids, headers=keyed("used"))) == content_of(first)


def test_the_media_type_of_a_body_tells_requests_apart(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    body = b'{"description": "The same bytes"}'
    answers = [
        admin.patch(path, content=body, headers=keyed("type") | {"content-type": kind})
        for kind in ("application/json", "application/merge-patch+json", "application/json")
    ]
    assert [answer.status_code for answer in answers] == [200, 422, 200]
    assert problem(answers[1]) == "idempotency-key-reused"
    assert is_replayed(answers[2])


def test_the_replayed_answer_is_that_of_then_not_of_now(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"

    def name(name: str) -> httpx.Response:
        return admin.patch(path, json={"name": name}, headers=keyed(f"name {name}"))

    then = name("Then")
    name("Now")
    again = name("Then")
    assert content_of(again) == content_of(then)
    assert version_of(again) == 2
    assert admin.get(path).json()["name"] == "Now"


def test_an_answer_without_a_body_is_replayed_without_one(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    headers = keyed("minimal") | {"prefer": "return=minimal"}
    first, again = (admin.patch(path, json={"name": "New"}, headers=headers) for _ in range(2))
    assert content_of(again) == content_of(first)
    assert (again.status_code, again.content, version_of(again)) == (204, b"", 2)
    assert is_replayed(again)


def test_a_change_that_changes_nothing_is_replayed_too(
    server: Server, organization: Organization, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    nothing = {"json": {"name": "Front desk"}, "headers": keyed("nothing")}
    first = admin.patch(path, **nothing)  # type: ignore[arg-type]  # two arguments of two types
    admin.patch(path, json={"name": "Changed"})
    again = admin.patch(path, **nothing)  # type: ignore[arg-type]  # as above
    assert content_of(again) == content_of(first)
    assert is_replayed(again)
    assert admin.get(path).json()["name"] == "Changed"
    assert count(server, organization) == 2


# -- whose a key is


def test_a_key_is_its_callers_own_inside_an_organization(
    server: Server, organization: Organization, admin: httpx.Client, editor: httpx.Client
) -> None:
    first, second = create(admin, "1"), create(editor, "1")
    assert [first.json()["id"], second.json()["id"]] == [1, 2]
    other = editor.post(ASSISTANTS, json={"name": "Other"}, headers=keyed("2"))
    assert other.status_code == 201
    assert (
        create(admin, "2").json()["id"] == 4
    )  # not "reused": no organization learns of the keys of others
    for client, answer in ((admin, first), (editor, second)):
        again = create(client, "1")
        assert is_replayed(again)
        assert content_of(again) == content_of(answer)
    assert count(server, organization) == 4


def test_organizations_do_not_meet_under_a_key(server: Server) -> None:
    tenants = [server.organization() for _ in range(2)]
    answers = []
    for tenant in tenants:
        with server.client(tenant.admin) as admin:
            answers.append(create(admin, "the same"))
            key = admin.post(KEYS, json={"name": "CI"}, headers=keyed("shown once")).json()["key"]
            with server.client(key) as made:
                me = made.get(f"{ASSISTANTS}/me/organization").json()
                assert me["organization_id"] == tenant.id
    for tenant, answer in zip(tenants, answers, strict=True):
        assert answer.status_code == 201
        assert not is_replayed(answer)
        assert answer.json()["organization_id"] == tenant.id
        with server.client(tenant.admin) as admin:
            assert content_of(create(admin, "the same")) == content_of(answer)


def test_the_role_is_asked_for_before_an_answer_is_replayed(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    made = admin.post(KEYS, json={"name": "CI", "role": "admin"}).json()
    place = f"{KEYS}/{made['api_key']['id']}"
    body = {"name": "Shown once", "role": "admin"}
    with server.client(made["key"]) as client:

        def ask() -> httpx.Response:
            return client.post(KEYS, json=body, headers=keyed("mine"))

        first = ask()
        assert first.status_code == 200
        assert admin.put(place, json={"permissions": {"admin": False}}).is_success
        narrowed = ask()
        assert admin.put(place, json={"permissions": None}).is_success
        assert content_of(ask()) == content_of(first)
        assert admin.delete(place).is_success
        revoked = ask()
    assert (narrowed.status_code, revoked.status_code) == (403, 401)
    with server.client(organization.viewer) as viewer:
        viewers = viewer.post(KEYS, json=body, headers=keyed("mine"))
    assert viewers.status_code == 403
    for answer in (narrowed, revoked, viewers):
        assert "key" not in answer.json()
        assert not is_replayed(answer)


# -- how a key is written


def _send_raw(server: Server, organization: Organization, *keys: bytes) -> httpx.Response:
    """Create an assistant with keys that httpx would not send."""
    body = b'{"name":"Front desk"}'  # as httpx writes it
    lines = [
        f"POST {ASSISTANTS} HTTP/1.1".encode(),
        b"Host: server",
        f"Authorization: Bearer {organization.admin}".encode(),
        b"Content-Type: application/json",
        f"Content-Length: {len(body)}".encode(),
        b"Connection: close",
        *(b"Idempotency-Key: " + key for key in keys),
    ]
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=PATIENCE) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        head, _, content = connection.makefile("rb").read().partition(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in headers)]
    return httpx.Response(int(status.split()[1]), headers=pairs, content=content)


_KEYS = ["x", "a b", "x" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", "!#$%&'()*+,-./:;<=>"]


def test_a_quoted_key_is_the_bare_one(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    for number, key in enumerate(_KEYS, 1):
        first = create(admin, key)
        assert first.json()["id"] == number
        for spelling in (f'"{key}"', key, f"  {key} ", f' "{key}"\t'):
            again = _send_raw(server, organization, spelling.encode())
            assert again.content == first.content, spelling
            assert is_replayed(again)
    assert count(server, organization) == len(_KEYS)


def test_a_request_is_told_by_its_path_and_query_whatever_host_it_names(
    admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.post(ASSISTANTS, json={"name": "Front desk"})
    targets = []

    def fingerprint(method: str, target: str, content_type: str, body: bytes) -> bytes:
        targets.append(target)
        return idempotency.fingerprint(method, target, content_type, body)

    monkeypatch.setattr(writes, "fingerprint", fingerprint)
    status = f"{ASSISTANTS}/1/status?is_active=false"
    for host in ("localhost", "localhost:abc", "["):
        answer = admin.patch(status, headers={"idempotency-key": "one", "host": host})
        assert answer.status_code == 200
    assert targets == [status] * 3
    admin.patch(f"{ASSISTANTS}/1", json={}, headers={"idempotency-key": "two"})
    assert targets[3] == f"{ASSISTANTS}/1?"


_NO_KEYS = [
    b"", b" ", b'""', b'"', b'"unclosed', b'"a"b', b'"a";b', b'"a""b"', b"x" * 256,
    b'"' + b"x" * 256 + b'"', b"a\tb", "Schl\u00fcssel".encode(), b"\xff",
]  # fmt: skip


def test_what_is_no_key_is_refused_by_its_place(server: Server, organization: Organization) -> None:
    for keys in (*((key,) for key in _NO_KEYS), (b"a", b"b"), (b"a", b"a"), (b"a", b"")):
        answer = _send_raw(server, organization, *keys)
        assert answer.status_code == 422, keys
        (error,) = answer.json()["detail"]
        assert error["loc"] == ["header", "Idempotency-Key"]
        assert error["type"] == "idempotency_key"
    assert count(server, organization) == 0
    # The control: one key of those that two are none of.
    assert _send_raw(server, organization, b"a").status_code == 201


def test_a_key_with_a_control_character_does_nothing(
    server: Server, organization: Organization
) -> None:
    """Some are refused by the server before they are a request at all."""
    for control in (*range(9), *range(11, 13), *range(14, 32), 127):
        answer = _send_raw(server, organization, b"a" + bytes([control]) + b"b")
        assert answer.status_code in (400, 422), control
    assert count(server, organization) == 0
