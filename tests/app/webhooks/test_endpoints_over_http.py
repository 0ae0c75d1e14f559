"""Endpoints over HTTP: made, changed and deleted by admins, and their secrets shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.app.assistants.answers import errors
from tests.app.audit.log_reader import logs
from tests.app.route_table import WEBHOOKS
from tests.databases import contents

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Server

URL = "https://hooks.example/in?token=tok-never-shown"


def made(admin: httpx.Client, **members: Any) -> dict[str, Any]:
    answer = admin.post(WEBHOOKS, json={"url": URL} | members)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    return body


def test_a_secret_is_shown_once_and_stored_sealed(server: Server, admin: httpx.Client) -> None:
    body = made(admin)
    webhook, secret = body["webhook"], body["secret"]
    path = f"{WEBHOOKS}/{webhook['id']}"
    assert webhook["url"] == "https://hooks.example/in?********"
    rotated = admin.post(f"{path}/secret").json()["secret"]
    assert secret.startswith("whsec_")
    assert rotated != secret
    shown = admin.get(WEBHOOKS).text + admin.get(path).text + admin.patch(path, json={}).text
    shown += str(logs(admin)) + admin.get("/api/v1/audit/export").text
    stored = contents(server.database)
    for hidden in (secret, rotated, secret.removeprefix("whsec_"), "tok-never-shown"):
        assert hidden not in shown
        assert hidden.encode() not in stored
    assert b"hooks.example" in stored  # control


def test_the_url_of_a_chat_is_a_secret(server: Server, admin: httpx.Client) -> None:
    for kind in ("slack", "teams"):
        url = f"https://chat.example/services/T0/{kind}-never-shown"
        webhook = made(admin, url=url, format=kind)["webhook"]
        assert webhook["url"] == "https://chat.example/********"
        # A masked URL that is sent back stays as it is; another format shows it differently.
        path = f"{WEBHOOKS}/{webhook['id']}"
        assert admin.patch(path, json=webhook_body(webhook)).json() == webhook
        assert f"{kind}-never-shown".encode() not in contents(server.database)


def webhook_body(webhook: dict[str, Any]) -> dict[str, Any]:
    names = ("url", "format", "description", "event_types", "assistant_ids", "paths", "enabled")
    return {name: webhook[name] for name in names}


def test_changes_are_events_and_what_changes_nothing_is_none(admin: httpx.Client) -> None:
    webhook = made(admin)["webhook"]
    path = f"{WEBHOOKS}/{webhook['id']}"
    for body in ({}, {"enabled": True}, webhook_body(webhook), {"url": URL}):
        assert admin.patch(path, json=body).json() == webhook
    admin.patch(path, json={"url": URL + "2"})
    admin.patch(path, json={"enabled": False, "paths": ["/name"]})
    admin.patch(path, json={"enabled": True})
    admin.delete(path)
    assert admin.get(path).status_code == 404
    assert [(entry["event_type"], entry["resource_id"]) for entry in logs(admin)] == [
        (f"webhook_{what}", str(webhook["id"]))
        for what in ("deleted", "changed", "disabled", "changed", "created")
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (["body", "url"], "missing")),
        ({"url": 1}, (["body", "url"], "string_type")),
        ({"url": "http://hooks.example/"}, (["body", "url"], "url")),
        ({"url": "https://me:pw@hooks.example/"}, (["body", "url"], "url")),
        ({"url": "https://169.254.169.254/latest"}, (["body", "url"], "url")),
        ({"url": "https://2852039166/latest"}, (["body", "url"], "url")),
        ({"url": URL, "event_types": ["nothing"]}, (["body", "event_types", 0], "enum")),
        ({"url": URL, "other": 1}, (["body", "other"], "extra_forbidden")),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_and_records_nothing(
    admin: httpx.Client, body: dict[str, Any], expected: Any
) -> None:
    answer = admin.post(WEBHOOKS, json=body)
    assert answer.status_code == 422
    assert errors(answer) == [expected]
    assert "pw" not in answer.text
    assert logs(admin) == []


def test_deliveries_are_asked_for_within_a_limit(admin: httpx.Client) -> None:
    path = f"{WEBHOOKS}/{made(admin)['webhook']['id']}"
    asked = admin.post(f"{path}/redeliver", json={"sequence": 1})
    assert (asked.status_code, asked.json()["state"]) == (202, "queued")
    for _ in range(19):
        assert admin.post(f"{path}/test").status_code == 202
    answer = admin.post(f"{path}/test")
    assert (answer.status_code, answer.json()["type"]) == (
        409,
        "urn:backstory:problem:too-many-deliveries",
    )
    listed = admin.get(f"{path}/deliveries", params={"limit": 3}).json()
    assert [one["id"] for one in listed] == [20, 19, 18]


def test_only_what_the_log_has_is_sent_again(admin: httpx.Client) -> None:
    path = f"{WEBHOOKS}/{made(admin)['webhook']['id']}"
    for place, body in (("redeliver", {"sequence": 99}), ("replay", {"after": 99})):
        answer = admin.post(f"{path}/{place}", json=body)
        assert errors(answer) == [(["body", *body], "beyond_log")]
    assert admin.post(f"{path}/replay", json={"after": 0}).json()["delivered"] == 0
