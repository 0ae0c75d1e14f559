"""The audit log: its pages, its exports, and its proof."""

from __future__ import annotations

import gzip
import html
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest
import zstandard

from app.console import texts
from projections.event_types import EVENT_TYPES
from tests.conftest import ASSISTANTS
from tests.console import Browser, field
from tests.end_to_end.processes import run

if TYPE_CHECKING:
    from pathlib import Path


_ADDRESSES = ("/audit", "/keys")


_EVENTS = re.compile(r'<tr id="event-(\d+)">')


def events(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200
    return [int(number) for number in _EVENTS.findall(answer.text)]


def logged(client: httpx.Client, **query: Any) -> list[int]:
    return [one["id"] for one in client.get("/api/v1/audit/logs", params=query).json()["logs"]]


@pytest.mark.parametrize("address", _ADDRESSES)
def test_only_admins_see_the_links_to_admin_pages_and_can_open_them(
    administrator: Browser, operator: Browser, address: str
) -> None:
    link = f'href="{address}"'
    assert link not in operator.get("/").text
    refused = operator.get(address)
    assert refused.status_code == 403
    assert "Sign out" in refused.text  # a problem's page has its navigation
    assert operator.submit(address, {"name": "Mine", "role": "admin"}).status_code in (403, 405)
    # The control.
    assert link in administrator.get("/").text
    assert administrator.get(address).status_code == 200


def test_an_editor_gets_no_export_key_or_checkpoint(
    administrator: Browser, operator: Browser
) -> None:
    for name in ("export", "audit-key.json", "checkpoint.txt"):
        assert operator.get(f"/audit/{name}").status_code == 403
        assert administrator.get(f"/audit/{name}").status_code == 200


def test_the_log_shows_each_event_with_its_author_and_reason(
    administrator: Browser, editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    at = f"{ASSISTANTS}/{assistant['id']}"
    body = {"llm_provider_config": {"api_key": "sk-secret"}, "change_description": "New <key>"}
    editor.patch(at, json=body)
    answer = administrator.get("/audit")
    assert events(answer) == logged(admin)
    text = answer.text
    for said in (
        "<bdi>editor key</bdi></b> changed", "New &lt;key&gt;", "Model provider",
        f'href="/assistants/{assistant["id"]}/versions/2"', "set (hidden)",
    ):  # fmt: skip
        assert said in text
    assert "sk-secret" not in text


def test_the_log_is_filtered_by_the_address_and_paged(
    administrator: Browser, editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    for number in range(60):
        editor.patch(f"{ASSISTANTS}/{assistant['id']}", json={"idle_timeout": number})
    kind = {"event_type": "assistant_settings_changed"}
    first = administrator.get("/audit", params=kind)
    assert f'value="{kind["event_type"]}" selected' in first.text
    (link,) = re.findall(r'href="([^"]+)" rel="next"', first.text)
    second = administrator.get(html.unescape(link))
    assert events(first) + events(second) == logged(admin, **kind, limit=500)
    assert f'value="{kind["event_type"]}" selected' in second.text
    assert events(administrator.get("/audit", params={"end_date": "2020-01-01"})) == []
    of = {"resource_type": "assistant", "resource_id": str(assistant["id"])}
    assert len(events(administrator.get("/audit", params=of))) == 50


@pytest.mark.parametrize(
    ("name", "value"),
    [("start_date", "yesterday"), ("user_id", "Nobody"), ("assistant", "Nobody"), ("cursor", "x")],
)
def test_an_invalid_filter_of_the_log_shows_an_error_and_keeps_the_others(
    administrator: Browser, name: str, value: str
) -> None:
    others = {"event_type": "policy_changed", "end_date": "2100-01-01"}
    answer = administrator.get("/audit", params={name: value} | others)
    assert answer.status_code == 422
    assert 'class="message bad"' in answer.text
    assert 'value="policy_changed" selected' in answer.text
    assert field(answer.text, "end_date") == "2100-01-01"
    if name != "cursor":
        assert field(answer.text, name) == value
    assert administrator.get("/audit", params=others).status_code == 200  # the control


def test_the_log_is_filtered_by_names_and_by_ids_alike(
    administrator: Browser, editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    editor.patch(f"{ASSISTANTS}/{assistant['id']}", json={"idle_timeout": 7})
    for user in admin.get("/api/v1/users").json():
        of_user = logged(admin, user_id=user["id"])
        for text in (user["name"], user["name"].upper(), str(user["id"])):
            assert events(administrator.get("/audit", params={"user_id": text})) == of_user
    about = logged(admin, resource_type="assistant", resource_id=assistant["id"])
    assert len(about) == 2
    for text in (assistant["name"], str(assistant["id"]), f"{assistant['name']} (1)"):
        assert events(administrator.get("/audit", params={"assistant": text})) == about


@pytest.mark.usefixtures("assistant")
def test_a_name_that_two_assistants_have_is_no_filter_and_a_deleted_one_is(
    administrator: Browser, admin: httpx.Client
) -> None:
    twins = [admin.post(ASSISTANTS, json={"name": "Twin"}).json()["id"] for _ in range(2)]
    both = administrator.get("/audit", params={"assistant": "Twin"})
    assert both.status_code == 422
    assert f"Enter one of these IDs: {twins[0]}, {twins[1]}." in both.text
    assert all(f'<option value="Twin ({each})">' in both.text for each in twins)
    lone = admin.post(ASSISTANTS, json={"name": "Lone"}).json()["id"]
    admin.delete(f"{ASSISTANTS}/{lone}")
    assert len(events(administrator.get("/audit", params={"assistant": "lone"}))) == 2


def test_each_filter_can_be_removed_alone(administrator: Browser) -> None:
    filters = {"event_type": "policy_changed", "user_id": "1", "start_date": "2020-01-01"}
    page = administrator.get("/audit", params=filters).text
    links = {html.unescape(link) for link in re.findall(r'class="chip" href="([^"]+)"', page)}
    assert links == {
        f"/audit?{urlencode({name: filters[name] for name in filters if name != left_out})}"
        for left_out in filters
    }


def test_every_type_of_event_is_told_in_words() -> None:
    types = {one.event_type for one in EVENT_TYPES}
    assert set(texts.Audit.kinds) == set(texts.Audit.sentences) == types
    assert set(texts.Audit.resources) == {one.resource_type for one in EVENT_TYPES}


def test_the_page_exports_the_same_bytes_as_the_api(
    administrator: Browser, editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    editor.patch(f"{ASSISTANTS}/{assistant['id']}", json={"idle_timeout": 7})
    filters = {
        "event_type": "assistant_settings_changed", "resource_type": "assistant",
        "resource_id": str(assistant["id"]), "start_date": "2020-01-01", "end_date": "2100-01-01",
    }  # fmt: skip
    page = administrator.get("/audit", params=filters).text
    exported = page[page.index('action="/audit/export"') :]
    names = ("event_type", "assistant_id", "since", "until")
    wanted = {name: field(exported, name) for name in names} | {"format": "csv"}
    answer = administrator.get("/audit/export", params=wanted)
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    again = wanted | {"until_sequence": answer.headers["x-until-sequence"]}
    assert (
        answer.content == admin.get("/api/v1/audit/export", params=again | {"bom": "true"}).content
    )
    assert b"/idle_timeout" in answer.content


@pytest.mark.usefixtures("assistant")
@pytest.mark.parametrize(
    ("coding", "opened"),
    [("identity", bytes), ("gzip", gzip.decompress),
     ("zstd", lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body))],
)  # fmt: skip
def test_an_export_is_compressed_once(administrator: Browser, coding: str, opened: Any) -> None:
    headers = {"accept-encoding": coding}
    with administrator.client.stream("GET", "/audit/export", headers=headers) as answer:
        body = b"".join(answer.iter_raw())
        assert answer.headers.get("content-encoding", "identity") == coding
    assert b'"sequence":1,' in opened(body)


def test_an_unknown_export_format_shows_an_error(administrator: Browser) -> None:
    answer = administrator.get("/audit/export", params={"format": "pdf"})
    assert (answer.status_code, answer.headers["content-type"][:9]) == (422, "text/html")
    assert "content-disposition" not in answer.headers


@pytest.mark.usefixtures("assistant")
def test_the_downloads_of_the_page_verify_offline(administrator: Browser, tmp_path: Path) -> None:
    for name, address in (
        ("checkpoint.txt", "/audit/checkpoint.txt"), ("audit.ndjson", "/audit/export"),
        ("audit-key.json", "/audit/audit-key.json"),
    ):  # fmt: skip
        tmp_path.joinpath(name).write_bytes(administrator.get(address).content)
    page = administrator.get("/audit").text
    (command,) = re.findall(r'id="verify">backstory ([^<]+)<', page)
    done = run(tmp_path, *command.split(), "--checkpoint", "checkpoint.txt")
    assert done.returncode == 0, done.stderr
    forged = tmp_path.joinpath("audit.ndjson").read_bytes().replace(b"editor key", b"admin key ")
    tmp_path.joinpath("audit.ndjson").write_bytes(forged)
    assert run(tmp_path, *command.split()).returncode == 1  # the control


@pytest.mark.parametrize(
    ("query", "said"),
    [({"resource_type": "api_key"}, "About"), ({"resource_id": "1"}, "ID"),
     ({"user_id": "1"}, "Person")],
)  # fmt: skip
def test_the_page_names_the_filters_that_an_export_ignores(
    administrator: Browser, query: dict[str, str], said: str
) -> None:
    page = administrator.get("/audit", params=query).text
    assert "It ignores these filters" in page
    assert f'<span class="chip">{said}</span>' in page
    whole = administrator.get("/audit", params={"end_date": "2100-01-01T00:00:00Z"}).text
    assert "It ignores" not in whole  # the control
    assert field(whole, "until") == "2100-01-01T00:00:00Z"
