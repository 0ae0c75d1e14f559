"""The list, the count and the export of assistants, and what stands beside them."""

from __future__ import annotations

import csv
import re
from datetime import datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from app.storage.tables import MAX_ID
from tests.app.assistants.shown import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server


@pytest.fixture(scope="module")
def several(server: Server) -> Iterator[httpx.Client]:
    """Five assistants: two are inactive, one is a viewer's namesake, one was deleted."""
    with server.client(server.organization().admin) as client:
        for name, description, active in (
            ("Alpha", "First line", True),
            ("Beta", None, False),
            ("Gone", None, True),
            ("=HYPERLINK(1)", "+49 30", True),
            ("Delta 100%", 'Says "hi", twice\nand more', False),
        ):
            body = {"name": name, "description": description, "is_active": active}
            assert client.post(ASSISTANTS, json=body).status_code == 201
        assert client.delete(f"{ASSISTANTS}/3").status_code == 200
        yield client


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return [assistant["name"] for assistant in answer.json()]


def test_a_list_is_a_bare_array_newest_first(several: httpx.Client) -> None:
    answer = several.get(ASSISTANTS)
    assert names(answer) == ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]
    for shown in answer.json():
        assert several.get(f"{ASSISTANTS}/{shown['id']}").json() == shown


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_cover_the_list_exactly_once(several: httpx.Client, limit: int) -> None:
    listed: list[str] = []
    for skip in range(0, 6, limit):
        listed += names(several.get(ASSISTANTS, params={"skip": skip, "limit": limit}))
    assert listed == ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]


def test_a_list_can_show_active_assistants_only(several: httpx.Client) -> None:
    assert names(several.get(ASSISTANTS, params={"active_only": "true"})) == [
        "=HYPERLINK(1)",
        "Alpha",
    ]
    assert len(names(several.get(ASSISTANTS, params={"active_only": "false"}))) == 4
    assert several.get(f"{ASSISTANTS}/count").json() == {"count": 4}
    assert several.get(f"{ASSISTANTS}/count?active_only=true").json() == {"count": 2}


def test_a_list_can_show_the_callers_own_assistants(server: Server) -> None:
    tenant = server.organization()
    with server.client(tenant.admin) as admin, server.client(tenant.editor) as editor:
        admin.post(ASSISTANTS, json={"name": "Admin's"})
        editor.post(ASSISTANTS, json={"name": "Editor's"})
        mine = {"my_assistants_only": "true"}
        assert names(admin.get(ASSISTANTS, params=mine)) == ["Admin's"]
        assert names(editor.get(ASSISTANTS, params=mine)) == ["Editor's"]
        assert names(editor.get(ASSISTANTS)) == ["Editor's", "Admin's"]


def test_statistics_are_named_and_null(several: httpx.Client) -> None:
    for asked in ("true", "false"):
        (first, *_) = several.get(ASSISTANTS, params={"include_stats": asked}).json()
        statistics = [first[n] for n in ("total_calls", "avg_call_duration", "success_rate")]
        assert statistics == [None, None, None]


_COLUMNS = [
    "id", "name", "description", "status", "total_calls", "completed_calls", "success_rate",
    "avg_duration", "performance", "created_at",
]  # fmt: skip


def test_an_export_is_csv_unless_json_is_asked_for(several: httpx.Client) -> None:
    answer = several.get(f"{ASSISTANTS}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] in ("text/csv", "text/csv; charset=utf-8")
    assert answer.headers["content-disposition"] == "attachment; filename=assistants.csv"
    assert answer.text.splitlines()[0] == ",".join(_COLUMNS)
    answer = several.get(f"{ASSISTANTS}/export?format=json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == "attachment; filename=assistants.json"
    assert [list(row) for row in answer.json()] == [_COLUMNS] * 4
    row = answer.json()[-1]
    datetime.strptime(row.pop("created_at"), "%Y-%m-%d %H:%M:%S").astimezone()
    assert row == {
        "id": 1, "name": "Alpha", "description": "First line", "status": "Active",
        "total_calls": 0, "completed_calls": 0, "success_rate": "0%", "avg_duration": "N/A",
        "performance": "0%",
    }  # fmt: skip


def test_a_cell_that_a_spreadsheet_would_run_is_made_text(server: Server) -> None:
    with server.client(server.organization().editor) as client:
        for name in ("=1+1", "+1", "-1", "@SUM(A1)", "1=1"):
            client.post(ASSISTANTS, json={"name": name, "description": f"\t{name}"})
        lines = client.get(f"{ASSISTANTS}/export").text.splitlines()[1:]
        cells = [row[1:3] for row in csv.reader(lines)]
        assert [name for name, _ in cells] == ["1=1", "'@SUM(A1)", "'-1", "'+1", "'=1+1"]
        assert all(description.startswith("'\t") for _, description in cells)
        # In JSON nothing runs, so nothing is changed.
        rows = client.get(f"{ASSISTANTS}/export?format=json").json()
        assert [row["name"] for row in rows] == ["1=1", "@SUM(A1)", "-1", "+1", "=1+1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "active"}, ["=HYPERLINK(1)", "Alpha"]),
        ({"status": "inactive"}, ["Delta 100%", "Beta"]),
        ({"status": "all"}, ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]),
        ({"status": ""}, ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]),
        ({"search": "ALPHA"}, ["Alpha"]),
        ({"search": "first"}, ["Alpha"]),
        ({"search": "%"}, ["Delta 100%"]),
        ({"search": "_"}, []),
        ({"search": "\\"}, []),
        ({"search": "a", "status": "inactive"}, ["Delta 100%", "Beta"]),
        ({"assistant_ids": "1,4"}, ["=HYPERLINK(1)", "Alpha"]),
        ({"assistant_ids": " 2 , 1 ", "status": "active", "search": "x"}, ["Beta", "Alpha"]),
        ({"assistant_ids": "3,99," + "9" * 400}, []),
        ({"assistant_ids": ""}, ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]),
    ],
)
def test_an_export_holds_what_was_asked_for(
    several: httpx.Client, query: dict[str, str], expected: list[str]
) -> None:
    answer = several.get(f"{ASSISTANTS}/export", params=query | {"format": "json"})
    assert names(answer) == expected


def test_cloned_voices_are_an_empty_list(several: httpx.Client) -> None:
    query = {"status": "ready", "provider": "elevenlabs"}
    answer = several.get(f"{ASSISTANTS}/cloned-voices", params=query)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "cloned_voices": []}


def test_providers_are_listed_without_a_key(server: Server) -> None:
    with server.client(None) as nobody:
        answer = nobody.get(f"{ASSISTANTS}/providers")
    assert answer.status_code == 200
    providers = answer.json()["providers"]
    assert {"openai", "azure", "anthropic", "gemini", "groq", "xai", "custom"} <= set(providers)
    for provider in providers.values():
        assert set(provider) == {"name", "models", "default_model"}


@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
def test_a_key_knows_its_organization_and_user(
    server: Server, organization: Organization, role: str
) -> None:
    with server.client(getattr(organization, role)) as client:
        answer = client.get(f"{ASSISTANTS}/me/organization")
    assert answer.status_code == 200
    assert set(answer.json()) == {
        "organization_id", "organization_name", "user_id", "user_email", "user_role",
    }  # fmt: skip
    assert answer.json()["organization_id"] == organization.id
    assert answer.json()["user_email"] == f"{role}@example.com"
    assert answer.json()["user_role"] == role


@pytest.mark.parametrize("written", ["+14155551234", "%2B14155551234", "%2b14155551234"])
def test_a_phone_number_keeps_its_plus(editor: httpx.Client, written: str) -> None:
    answer = editor.get(f"{ASSISTANTS}/by-phone/{written}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        "Assistant assigned to phone number +14155551234 not found in your organization"
    )


@pytest.mark.parametrize(
    "assistant_id", ["0", "-1", "99999", str(MAX_ID), str(MAX_ID + 1), "9" * 400]
)
def test_an_id_that_nothing_has_is_not_found(editor: httpx.Client, assistant_id: str) -> None:
    answer = editor.get(f"{ASSISTANTS}/{assistant_id}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == (
        f"Assistant with ID {assistant_id} not found in your organization"
    )


def test_an_error_is_an_object_that_describes_itself(editor: httpx.Client) -> None:
    assert editor.get(f"{ASSISTANTS}/99999").json() == {
        "type": "urn:backstory:problem:assistant-not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "Assistant with ID 99999 not found in your organization",
    }


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer no"}, {"authorization": "x"}])
def test_a_request_without_a_good_key_is_unauthorized(
    server: Server, headers: dict[str, str]
) -> None:
    with server.client(None) as nobody:
        answer = nobody.get(ASSISTANTS, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"] == (
        "Authentication required. Provide a valid API key or login session."
    )


def test_an_unknown_path_is_not_found(editor: httpx.Client) -> None:
    for unknown in ("/nothing", "/api/nothing", f"{ASSISTANTS}/1/nothing", "/api"):
        answer = editor.get(unknown)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Not Found"


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("DELETE", ASSISTANTS, {"GET", "POST"}),
        ("POST", f"{ASSISTANTS}/1", {"GET", "PUT", "PATCH", "DELETE"}),
        ("GET", f"{ASSISTANTS}/1/status", {"PATCH"}),
        ("GET", f"{ASSISTANTS}/1/duplicate", {"POST"}),
        ("POST", "/health", {"GET"}),
    ],
)
def test_a_wrong_verb_is_not_allowed(
    editor: httpx.Client, verb: str, path: str, allowed: set[str]
) -> None:
    answer = editor.request(verb, path)
    assert answer.status_code == 405
    assert answer.json()["detail"] == "Method Not Allowed"
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS", "HEAD"} == allowed


def test_the_service_lives_and_is_ready(server: Server) -> None:
    with server.client(None) as nobody:
        assert nobody.get("/health").json() == {"status": "ok"}
        assert nobody.get("/ready").json() == {"status": "ready"}


def test_the_description_is_a_page_that_loads_nothing(server: Server) -> None:
    with server.client(None) as nobody:
        answer = nobody.get("/schema")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script" not in answer.text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
    assert "Change settings of an assistant" in answer.text
