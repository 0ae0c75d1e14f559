"""Pages reach what the key of the session may reach, and nothing else."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from app.console import api_client, visitor
from tests.app import stored
from tests.app.route_table import PAGES
from tests.conftest import ASSISTANTS, Organization, Server
from tests.console import Browser, field, fill

_WITH_AN_ASSISTANT = [(verb, path) for verb, path in PAGES if "{assistant_id}" in path]


_WITH_AN_ID = [(verb, path) for verb, path in PAGES if "_id}" in path]


_NO_ID = (
    "count", "export", "search", "providers", "x", "0", "-1", "2147483648", "9" * 20, "9" * 5000,
    "1.5", "1e0", "+1", "%201", "1%20", "%00", "1%0A", "%FF", "%D9%A1", "%F0%9F%98%80", "1;x",
)  # fmt: skip


@pytest.mark.usefixtures("assistant")
@pytest.mark.parametrize(("verb", "path"), _WITH_AN_ASSISTANT)
def test_no_page_reaches_another_organizations_assistant(
    operator: Browser, outsider: Browser, verb: str, path: str
) -> None:
    def ask(browser: Browser) -> httpx.Response:
        fields = {"base_version": "1", "is_active": "false", "etag": '"1"'}
        return browser.get(fill(path)) if verb == "GET" else browser.submit(fill(path), fields)

    assert ask(outsider).status_code == 404
    assert ask(operator).status_code != 404  # the control: their own they reach


@pytest.mark.usefixtures("assistant")
@pytest.mark.parametrize(("verb", "path"), _WITH_AN_ID)
def test_an_address_with_an_invalid_id_is_not_found(
    administrator: Browser, server: Server, organization: Organization, verb: str, path: str
) -> None:
    """Also where the API has a route of that name."""
    before = stored.rows(server.database, organization.id)
    token = field(administrator.get("/").text, "form_token")
    for text in _NO_ID:
        address = re.sub(r"\{(assistant|key|change_set)_id\}", text, path).format(version=1)
        if verb == "GET":
            answer = administrator.get(address)
        else:
            answer = administrator.post(address, {"form_token": token, "is_active": "false"})
        assert answer.status_code == 404, address
    assert stored.rows(server.database, organization.id) == before


def test_control_without_the_check_an_id_names_another_route(
    administrator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor, "_IDS", frozenset())
    assert administrator.get("/assistants/count").status_code == 500


@pytest.mark.usefixtures("assistant")
@pytest.mark.parametrize(
    "path", [path for verb, path in PAGES if verb == "GET" and "{version}" in path]
)
def test_an_invalid_version_in_an_address_is_refused(administrator: Browser, path: str) -> None:
    for text in _NO_ID:
        answer = administrator.get(path.format(assistant_id=1, version=text))
        assert answer.status_code in (404, 422), text


def test_a_segment_with_a_slash_does_not_name_another_path() -> None:
    unused: Any = None  # the answer needs neither a request nor a principal
    client = api_client.ApiClient(unused, unused)
    answer = asyncio.run(client.get(f"/assistants/{api_client.segment('1/versions')}"))
    assert answer.status == 404


@pytest.mark.usefixtures("assistant")
def test_what_a_page_reads_stays_in_the_organization(
    administrator: Browser, organization: Organization
) -> None:
    with stored.statements() as seen:
        for verb, path in PAGES:
            if verb == "GET":
                administrator.get(fill(path))
    ours = [one for one in seen if one.table and "events" in one.text]
    assert ours
    assert all(one.stays_in_one_organization for one in ours)
    assert any(str(organization.id) in one.bound for one in ours)


def test_a_change_in_the_console_is_recorded_as_the_keys(
    operator: Browser, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    at = f"/assistants/{assistant['id']}"
    once = field(operator.get(at).text, "once")
    form = {"base_version": 1, "/idle_timeout": "8", "once": once}
    sent = {"x-request-id": "from-the-console"}
    answers = [operator.submit(at, form, sent) for _ in range(2)]  # a double click
    assert [answer.status_code for answer in answers] == [303, 303]
    (entry,) = admin.get(f"{ASSISTANTS}/{assistant['id']}/settings-history").json()
    assert (entry["changed_by"]["type"], entry["changed_by"]["name"]) == ("api_key", "editor key")
    logged = admin.get("/api/v1/audit/logs", params={"resource_type": "assistant"}).json()["logs"]
    assert logged[0]["request_id"] == "from-the-console"
