"""``Idempotency-Key``: the same request again gets the same answer, and nothing happens."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
import uvicorn
from msgspec import UNSET

from app.api import writes
from app.main import create_app
from app.services import utc_now
from app.transactions import idempotency
from events import log_head
from events.tables import to_micros
from tests.app import stored
from tests.app.route_table import KEYS, OPERATIONS, Operation
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving,
    serving_process,
    version_of,
)
from tests.databases import config_of, contents, execute, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHANGE_SETS = "/api/v1/change-sets"
POLICY = "/api/v1/policy"
REPLAYED = "idempotent-replayed"
SECRET = {"llm_provider_config": {"api_key": "sk-of-ours"}}
_JSON = {"content-type": "application/json"}
_PATIENCE = 30  # seconds
_WRITES = [operation for operation in OPERATIONS if operation.writes]
# What each request does once more, unless it is a replay; the others find it done already.
_EACH_TIME = {
    f"POST {ASSISTANTS}",
    f"POST {ASSISTANTS}/{{assistant_id}}/duplicate",
    f"POST {KEYS}",
    "POST /api/v1/vault/rotate",
}
_OF_EACH_REQUEST = frozenset(("date", "x-request-id", REPLAYED))


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def said(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, body and headers, but for those that are the request's own."""
    headers = answer.headers.multi_items()
    return (
        answer.status_code,
        answer.content,
        sorted(item for item in headers if item[0] not in _OF_EACH_REQUEST),
    )


def is_replayed(answer: httpx.Response) -> bool:
    assert answer.headers.get(REPLAYED) in (None, "true")
    return REPLAYED in answer.headers


def problem(answer: httpx.Response) -> str:
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:backstory:problem:")


def create(client: httpx.Client, key: str, name: str = "Front desk") -> httpx.Response:
    return client.post(ASSISTANTS, json={"name": name}, headers=keyed(key))


def count(server: Server, organization: Organization) -> int:
    """The events of an organization."""
    return len(stored.events(server.database, organization.id))


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
    return {
        "assistant_id": assistant,
        "version_id": 2,
        "version": version,
        "change_set_id": change_set,
        "key_id": admin.post(KEYS, json={"name": "spare"}).json()["api_key"]["id"],
    }


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
        assert said(again) == said(first)
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
    if "name" in body:
        return body | {"name": "Another"}
    if "data_keys" in body:
        return {"data_keys": False}
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
    assert said(operation.send(admin, ids, headers=keyed("used"))) == said(first)


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
    assert said(again) == said(then)
    assert version_of(again) == 2
    assert admin.get(path).json()["name"] == "Now"


def test_an_answer_without_a_body_is_replayed_without_one(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    headers = keyed("minimal") | {"prefer": "return=minimal"}
    first, again = (admin.patch(path, json={"name": "New"}, headers=headers) for _ in range(2))
    assert said(again) == said(first)
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
    assert said(again) == said(first)
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
    assert create(admin, "2").json()["id"] == 4  # not "reused": nobody learns of others' keys
    for client, answer in ((admin, first), (editor, second)):
        again = create(client, "1")
        assert is_replayed(again)
        assert said(again) == said(answer)
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
            assert said(create(admin, "the same")) == said(answer)


def test_the_role_is_asked_for_before_an_answer_is_replayed(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    made = admin.post(KEYS, json={"name": "CI", "role": "admin"}).json()
    place = f"{KEYS}/{made['api_key']['id']}"
    wish = {"name": "Shown once", "role": "admin"}
    with server.client(made["key"]) as client:

        def ask() -> httpx.Response:
            return client.post(KEYS, json=wish, headers=keyed("mine"))

        first = ask()
        assert first.status_code == 200
        assert admin.put(place, json={"permissions": {"admin": False}}).is_success
        narrowed = ask()
        assert admin.put(place, json={"permissions": None}).is_success
        assert said(ask()) == said(first)
        assert admin.delete(place).is_success
        revoked = ask()
    assert (narrowed.status_code, revoked.status_code) == (403, 401)
    with server.client(organization.viewer) as viewer:
        viewers = viewer.post(KEYS, json=wish, headers=keyed("mine"))
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
    with socket.create_connection((address.host, address.port), timeout=_PATIENCE) as connection:
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


# -- what is not stored


def _label(client: httpx.Client, version: int, **options: Any) -> httpx.Response:
    place = f"{ASSISTANTS}/1/versions/{version}/label"
    return client.put(place, json={"label": "good"}, **options)


def _patch(client: httpx.Client, **options: Any) -> httpx.Response:
    return client.patch(f"{ASSISTANTS}/1", json={"name": "New"}, **options)


def _policy(**rules: Any) -> Callable[[httpx.Client], httpx.Response]:
    return lambda admin: admin.put(POLICY, json=rules)


def _another_change(admin: httpx.Client) -> httpx.Response:
    return admin.patch(f"{ASSISTANTS}/1", json={"description": "Changed"})


# A request, what stands against it first, its refusal, and what takes that away.
_Step = tuple[
    "Callable[..., httpx.Response]",
    "Callable[[httpx.Client], object]",
    tuple[int, str],
    "Callable[[httpx.Client], object]",
]
_REFUSED: dict[str, _Step] = {
    "missing": (
        lambda client, headers: client.patch(
            f"{ASSISTANTS}/2", json={"name": "New"}, headers=headers
        ),
        lambda _: None,
        (404, "assistant-not-found"),
        lambda admin: admin.post(ASSISTANTS, json={"name": "Second"}),
    ),
    "label taken": (
        lambda client, headers: _label(client, 2, headers=headers),
        lambda admin: (_another_change(admin), _label(admin, 1)),
        (409, "label-taken"),
        lambda admin: admin.delete(f"{ASSISTANTS}/1/versions/1/label"),
    ),
    "not deleted": (
        lambda client, headers: client.post(f"{ASSISTANTS}/1/restore", headers=headers),
        lambda _: None,
        (409, "not-deleted"),
        lambda admin: admin.delete(f"{ASSISTANTS}/1"),
    ),
    "another version": (
        lambda client, headers: _patch(client, headers={"if-match": '"2"'} | headers),
        lambda _: None,
        (412, "precondition-failed"),
        _another_change,
    ),
    "condition": (
        lambda client, headers: _patch(client, headers=headers),
        _policy(require_condition=True),
        (428, "precondition-required"),
        _policy(require_condition=False),
    ),
    "reason": (
        lambda client, headers: _patch(client, headers=headers),
        _policy(require_reason=True),
        (422, "reason-required"),
        _policy(require_reason=False),
    ),
    "path": (
        lambda client, headers: _patch(client, headers=headers),
        _policy(admin_paths=["/name"]),
        (403, "path-protected"),
        _policy(admin_paths=[]),
    ),
}


@pytest.mark.parametrize("what", _REFUSED)
def test_a_refused_request_is_not_stored_and_may_be_granted_the_next_time(
    server: Server,
    organization: Organization,
    admin: httpx.Client,
    editor: httpx.Client,
    assistant: dict[str, Any],
    what: str,
) -> None:
    assert assistant["id"] == 1
    ask, stand_against, refusal, take_away = _REFUSED[what]
    stand_against(admin)
    before = stored.rows(server.database, organization.id)
    for _ in range(2):
        refused = ask(editor, headers=keyed("refused"))
        assert (refused.status_code, problem(refused)) == refusal
        assert not is_replayed(refused)
    assert stored.rows(server.database, organization.id) == before
    take_away(admin)
    granted = ask(editor, headers=keyed("refused"))
    assert granted.is_success
    assert not is_replayed(granted)
    again = ask(editor, headers=keyed("refused"))
    assert is_replayed(again)
    assert said(again) == said(granted)


def test_a_malformed_body_uses_no_key_up(admin: httpx.Client) -> None:
    for body in (b"{", b'{"name": 5}', b"{}"):
        answer = admin.post(ASSISTANTS, content=body, headers=_JSON | keyed("second thought"))
        assert answer.status_code == 422
        assert problem(answer) != "idempotency-key-reused"
    assert create(admin, "second thought").status_code == 201


def test_a_dry_run_stores_nothing_and_replays_nothing(
    server: Server, organization: Organization, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    wish = {"name": "New"}
    before = stored.rows(server.database, organization.id)
    dry = keyed("plan") | {"prefer": "dry-run"}
    for plan in (
        admin.patch(path, json=wish, headers=dry),
        admin.patch(path, json=wish | {"dry_run": True}, headers=keyed("plan")),
        admin.post(f"{path}/rollback", json={"to_version": 1, "dry_run": True}, headers=dry),
    ):
        assert plan.json()["dry_run"] is True
        assert not is_replayed(plan)
    assert stored.rows(server.database, organization.id) == before

    done = admin.patch(path, json=wish, headers=keyed("plan"))
    assert done.json()["version"] == 2
    assert not is_replayed(done)
    # A plan is made anew, whatever the key has seen.
    plan = admin.patch(path, json=wish, headers=dry)
    assert (plan.json()["version"], plan.json()["changes"]) == (2, [])
    assert not is_replayed(plan)


# -- two at once


def test_the_same_request_from_many_at_once_happens_once(
    server: Server, organization: Organization
) -> None:
    with server.client(organization.admin) as admin, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: create(admin, "at once"), range(48)))
    granted = [answer for answer in answers if answer.status_code == 201]
    assert {problem(answer) for answer in answers if answer not in granted} <= {"request-running"}
    assert sum(not is_replayed(answer) for answer in granted) == 1
    assert len({str(said(answer)) for answer in granted}) == 1
    assert count(server, organization) == 1


@contextmanager
def _write_lock(database: Path, organization: Organization) -> Iterator[None]:
    """Nobody else can write for the organization; whoever wants to waits."""
    engine = writing_engine(database)
    with engine.connect() as connection:
        log_head.lock(connection, organization.id)
        yield
    engine.dispose()


def test_the_second_request_is_told_that_the_first_still_runs(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    with (
        serving(database, waiting) as server,
        server.client(organization.admin) as admin,
        server.client(organization.editor) as editor,
        ThreadPoolExecutor(3) as threads,
    ):
        assert admin.get(ASSISTANTS).json() == editor.get(ASSISTANTS).json() == []
        with _write_lock(database, organization):
            asked = [threads.submit(create, one, "slow") for one in (admin, admin, editor)]
            done, running = wait(asked, _PATIENCE, FIRST_COMPLETED)
        (refused,) = (one.result() for one in done)
        assert (refused.status_code, problem(refused)) == (409, "request-running")
        assert refused.headers["retry-after"] == "1"
        # The one that ran is carried out, and so is the other caller's, whose key it is not.
        answers = [one.result() for one in running]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert not any(map(is_replayed, answers))
        again = create(admin, "slow")
        assert is_replayed(again)
        assert again.content in [answer.content for answer in answers]
        assert count(server, organization) == 2


# -- secrets


def test_answers_outlive_the_rotation_of_keys_and_the_erasure_of_secrets(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    def ask() -> list[httpx.Response]:
        wish = {"name": "Front desk"} | SECRET
        return [
            admin.post(KEYS, json={"name": "CI"}, headers=keyed("a")),
            admin.post(ASSISTANTS, json=wish, headers=keyed("b")),
        ]

    def rotate(**body: bool) -> httpx.Response:
        return admin.post("/api/v1/vault/rotate", json=body)

    first = ask()
    path = f"{ASSISTANTS}/{first[1].json()['id']}"
    steps: list[Callable[[], httpx.Response]] = [
        rotate,
        lambda: rotate(data_keys=True),
        lambda: rotate(data_keys=True),
        lambda: admin.delete(f"{path}/secrets"),
        lambda: admin.delete("/api/v1/vault/secrets"),
        lambda: admin.delete(path),
    ]
    for step in steps:
        assert step().is_success
        before = stored.rows(server.database, organization.id)
        again = ask()
        assert [said(answer) for answer in again] == [said(answer) for answer in first]
        assert all(map(is_replayed, again))
        assert stored.rows(server.database, organization.id) == before


def _make_key(server: Server, organization: Organization) -> str:
    with server.client(organization.admin) as admin:
        made = admin.post(KEYS, json={"name": "Of this name"}, headers=keyed("once"))
        again = admin.post(KEYS, json={"name": "Of this name"}, headers=keyed("once"))
    assert said(again) == said(made)
    assert is_replayed(again)
    key: str = again.json()["key"]
    return key


def test_the_answer_that_shows_an_api_key_is_nowhere_in_clear(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 2)
    with serving(database, waiting) as server:
        token = _make_key(server, server.organization())
        held = contents(database)
    closed = contents(database)
    for found in (held, closed):
        assert b"Of this name" in found  # what is meant to be seen is there
        assert token[12:].encode() not in found

    # The control: unsealed answers would have shown it.
    unsealed = (
        "from app.vault import sealing; sealing.seal_answer = lambda keys, text, *bound: text\n"
    )
    unsealed += "sealing.open_answer = lambda keys, sealed, *bound: sealed"
    with serving_process(database, waiting, preamble=unsealed) as server:
        token = _make_key(server, server.organization())
        assert token[12:].encode() in contents(database)


# -- time


class Clock:
    """A server's clock that stands until the test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()


@contextmanager
def serving_at(
    database: Path, waiting: list[Organization], clock: Clock, **settings: str
) -> Iterator[Server]:
    """As ``conftest.serving``, with a clock."""
    config = config_of(database, **settings)
    app: Any = create_app(config, clock, monotonic=clock.monotonic)
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


def _kept(database: Path, organization: Organization) -> list[str]:
    """The keys whose answers are stored."""
    rows = stored.rows(database, organization.id)["answers"]
    return sorted(row["idempotency_key"] for row in rows)


def test_an_answer_is_kept_for_its_time_and_then_forgotten(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 2)
    organization, other = waiting
    clock = Clock(utc_now() + timedelta(minutes=1))  # the database was made before
    with serving_at(database, waiting, clock) as server:
        with server.client(organization.admin) as admin, server.client(other.admin) as stranger:
            first = create(admin, "daily")
            create(stranger, "daily")
            clock.now += timedelta(hours=24) - timedelta(microseconds=1)
            assert said(create(admin, "daily")) == said(first)
            clock.now += timedelta(microseconds=1)
            # Another request may have the key now; the answer to it takes the old one's place.
            second = create(admin, "daily", "Back office")
            assert (second.status_code, second.json()["id"]) == (201, 2)
            assert not is_replayed(second)
            assert said(create(admin, "daily", "Back office")) == said(second)
            assert create(admin, "later").json()["id"] == 3
        assert _kept(database, organization) == ["daily", "later"]
    clock.now += timedelta(hours=23)
    _confirm(database, clock)
    with serving_at(database, waiting, clock) as server:
        _wait_until(lambda: _kept(database, other) == [])
        assert _kept(database, organization) == ["daily", "later"]
        with server.client(organization.admin) as admin:
            assert is_replayed(create(admin, "later"))
    clock.now += timedelta(hours=1)
    _confirm(database, clock)
    with serving_at(database, waiting, clock):
        _wait_until(lambda: _kept(database, organization) == [])


def _confirm(database: Path, clock: Clock) -> None:
    """No server has seen the time pass: the operator says that it did."""
    execute(database, f"UPDATE organizations SET observed_at = {to_micros(clock.now)}")


def _wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < end, "the chore did not do it"
        time.sleep(0.02)


@pytest.mark.parametrize(("lifetime", "replays"), [("0s", False), ("1s", True)])
def test_the_time_that_an_answer_is_kept_is_a_setting(
    tmp_path: Path, lifetime: str, *, replays: bool
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    clock = Clock(utc_now() + timedelta(days=1))
    with (
        serving_at(database, waiting, clock, idempotency_ttl=lifetime) as server,
        server.client(server.organization().admin) as admin,
    ):
        assert create(admin, "short").json()["id"] == 1
        assert is_replayed(create(admin, "short")) is replays
        assert len(admin.get(ASSISTANTS).json()) == (1 if replays else 2)


# -- a database that somebody changed


def test_a_stored_answer_that_was_moved_to_another_request_does_not_open(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    with serving(database, waiting) as server:
        with server.client(organization.admin) as admin:
            made = {key: _make_ci(admin, key) for key in ("a", "b")}
        with server.client(organization.editor) as editor:
            assert create(editor, "a").status_code == 201
    execute(
        database,
        "UPDATE answers SET sealed = (SELECT sealed FROM answers WHERE idempotency_key = 'b')"
        " WHERE idempotency_key = 'a'",
    )
    before = stored.rows(database, organization.id)["events"]
    with (
        serving(database, waiting) as server,
        server.client(organization.admin) as admin,
        server.client(organization.editor) as editor,
    ):
        for answer in (_make_ci(admin, "a"), create(editor, "a")):
            assert (answer.status_code, problem(answer)) == (500, "secret-unreadable")
        # The control: the one that stands where it was made still opens.
        assert said(_make_ci(admin, "b")) == said(made["b"])
    assert stored.rows(database, organization.id)["events"] == before


def test_a_stored_fingerprint_confirms_no_guess_and_a_bare_one_of_before_still_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    bare = []

    def fingerprint(*sent: Any) -> bytes:
        bare.append(idempotency.fingerprint(*sent))
        return bare[-1]

    monkeypatch.setattr(writes, "fingerprint", fingerprint)
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        made = {key: _make_ci(admin, key) for key in ("a", "b")}
    assert bare[0] == bare[1]  # the control: this is what anybody can compute of a guess
    (one, other) = stored.rows(database, organization.id)["answers"]
    assert one["fingerprint"] == other["fingerprint"] != bare[0]
    # As an earlier release stored it.
    old = "UPDATE answers SET fingerprint = :bare WHERE idempotency_key = 'a'"
    execute(database, old, bare=bare[0])
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        for key, first in made.items():
            assert said(_make_ci(admin, key)) == said(first)


def _make_ci(admin: httpx.Client, key: str) -> httpx.Response:
    return admin.post(KEYS, json={"name": "CI"}, headers=keyed(key))
