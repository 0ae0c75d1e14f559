from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.app import stored
from tests.app.route_table import OPERATIONS
from tests.conftest import make_organizations, serving_process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Organization, Server

ASSISTANTS = "/api/v1/assistants"
PLAIN = "sk-live-do-not-show"
_MEMBERS = {"event", "level", "timestamp", "method", "path", "status", "ms", "request_id"}
_OF_A_KEY = {"organization_id", "key_id"}
_JSON = {"content-type": "application/json"}
_WITH_SOMETHING_TO_HIDE: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("query", "GET", f"{ASSISTANTS}/export?search={PLAIN}", {}),
    ("strange", "GET", f"{ASSISTANTS}/by-phone/%0A%22%7D%00%FFx", {}),
    ("broken", "PATCH", f"{ASSISTANTS}/2", {"content": PLAIN, "headers": _JSON}),
    ("wrong", "POST", ASSISTANTS, {"json": {"api_keys": PLAIN}}),
    ("stranger", "GET", ASSISTANTS, {"headers": {"authorization": f"Bearer {PLAIN}"}}),
    ("cookie", "GET", ASSISTANTS, {"headers": {"cookie": PLAIN, "x-other": PLAIN}}),
)


def lines(text: str) -> list[dict[str, Any]]:
    """The log, of which every line must be one JSON object."""
    return [json.loads(line) for line in text.splitlines() if line]


def requests(logged: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The lines about requests, by their ids; each request has exactly one."""
    about = [line for line in logged if line["event"] == "request"]
    found = {line["request_id"]: line for line in about}
    assert len(found) == len(about)
    return found


@pytest.fixture
def logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> tuple[dict[str, httpx.Response], str, Organization]:
    """A process that served one request of each kind: answers by request id, and its log."""
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    capfd.readouterr()
    answers = {}
    with (
        serving_process(database, [], BACKSTORY_LOG_LEVEL="info") as running,
        running.client(tenant.admin) as client,
    ):
        ids = {
            "assistant_id": 1,
            "version_id": 2,
            "version": 2,
            "change_set_id": 1,
            "key_id": 1,
            "webhook_id": 1,
            "phone_number": "+14155551234",
            "phone_number_id": 1,
            "call_id": "c1",
            "path": "x",
        }
        body = {"name": "Hidden name", "llm_provider_config": {"api_key": PLAIN}}
        client.post(ASSISTANTS, json=body, headers={"x-request-id": "create"})
        for number, operation in enumerate(OPERATIONS):
            sent = {"x-request-id": f"sent-{number}"}
            answers[f"sent-{number}"] = operation.send(client, ids, headers=sent)
        for request_id, verb, url, options in _WITH_SOMETHING_TO_HIDE:
            headers = {"x-request-id": request_id} | options.get("headers", {})
            answers[request_id] = client.request(verb, url, **(options | {"headers": headers}))
    return answers, capfd.readouterr().err, tenant


def test_each_request_has_one_line_that_says_little(
    logged: tuple[dict[str, httpx.Response], str, Organization],
) -> None:
    answers, text, tenant = logged
    found = requests(lines(text))
    assert set(answers) <= set(found)
    assert [json.dumps(line) for line in lines(text)] == text.splitlines()
    for request_id, answer in answers.items():
        line = found[request_id]
        assert _MEMBERS <= set(line) <= _MEMBERS | _OF_A_KEY
        assert line["method"] == answer.request.method
        assert line["status"] == answer.status_code
        assert type(line["status"]) is int
        assert line["ms"] >= 0
        assert answer.headers["x-request-id"] == request_id
        if request_id != "strange":
            assert line["path"] == answer.request.url.path
        if answer.status_code != 401 and line["path"].startswith(f"{ASSISTANTS}/1"):
            assert line["organization_id"] == tenant.id
            assert line["key_id"] == 3
    assert "organization_id" not in found["stranger"]


def test_the_log_holds_no_query_no_header_no_body_and_no_key(
    logged: tuple[dict[str, httpx.Response], str, Organization],
) -> None:
    answers, text, tenant = logged
    assert PLAIN not in text
    assert "Hidden name" not in text
    assert "search=" not in text
    assert "Bearer" not in text
    assert "Callers said" not in text
    for token in (tenant.admin, tenant.editor, tenant.viewer):
        assert token[12:] not in text
    for answer in answers.values():
        for token in re.findall(r"bks_\w{36}", answer.text):
            assert token[12:] not in text
    # The control: the log is there, and holds what it should.
    assert text.count('"request"') >= len(answers)
    assert f"{ASSISTANTS}/export" in text


def test_a_request_without_an_id_is_given_one(server: Server) -> None:
    with server.client(None) as client:
        given = [client.get("/health").headers["x-request-id"] for _ in range(20)]
    assert len(set(given)) == 20


def test_the_request_id_is_part_of_the_event(
    server: Server,
    organization: Organization,
    editor: httpx.Client,
    assistant: dict[str, Any],
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    for request_id, verb, place, body in (
        ("the-patch", "PATCH", "", {"name": "a"}),
        ("the-put", "PUT", "", {"name": "b"}),
        ("the-status", "PATCH", "/status?is_active=false", None),
        ("the-rollback", "POST", "/settings-history/2/rollback", None),
        ("the-copy", "POST", "/duplicate", None),
        ("the-deletion", "DELETE", "", None),
    ):
        answer = editor.request(verb, path + place, json=body, headers={"x-request-id": request_id})
        assert answer.is_success
        assert answer.headers["x-request-id"] == request_id
        event = stored.events(server.database, organization.id)[-1]
        assert event["request_id"] == request_id
    answer = editor.post(ASSISTANTS, json={"name": "No id sent"}, headers={"x-request-id": "a b"})
    event = stored.events(server.database, organization.id)[-1]
    assert event["request_id"] == answer.headers["x-request-id"] != "a b"


def test_a_status_is_a_number_on_the_console_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "backstory.db"
    make_organizations(database, 1)
    capfd.readouterr()
    with (
        serving_process(
            database, [], BACKSTORY_LOG_LEVEL="info", BACKSTORY_LOG_FORMAT="console"
        ) as running,
        running.client(None) as client,
    ):
        assert client.get(ASSISTANTS).status_code == 401
    assert "status=401" in capfd.readouterr().err


def test_a_log_level_of_warning_leaves_requests_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "backstory.db"
    make_organizations(database, 1)
    capfd.readouterr()
    with (
        serving_process(database, [], BACKSTORY_LOG_LEVEL="warning") as running,
        running.client(None) as client,
    ):
        assert client.get("/health").status_code == 200
    assert lines(capfd.readouterr().err) == []


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error_of_the_server(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    capfd.readouterr()
    with serving_process(database, [], BACKSTORY_LOG_LEVEL="info") as running:
        place = urlsplit(running.url)
        head = (
            f"POST {ASSISTANTS} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {tenant.admin}\r\n"
            "content-type: application/json\r\nx-request-id: left\r\n"
            "expect: 100-continue\r\ncontent-length: 100\r\n\r\n"
        )
        with socket.create_connection((place.hostname, place.port), timeout=10) as client:
            client.sendall(head.encode())
            assert client.recv(100).startswith(b"HTTP/1.1 100")  # it waits for the body
            client.sendall(b'{"name": ')
        with running.client(tenant.admin) as other:
            other.get(ASSISTANTS, headers={"x-request-id": "control"})
    logged = lines(capfd.readouterr().err)
    statuses = {name: line["status"] for name, line in requests(logged).items()}
    assert statuses == {"left": 499, "control": 200}
    assert {line["level"] for line in logged} == {"info"}
