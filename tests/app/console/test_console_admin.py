"""The pages that admins alone have: the audit log, API keys, and the policy."""

from __future__ import annotations

import gzip
import html
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import zstandard

from tests.conftest import ASSISTANTS, Organization, Server
from tests.console import Browser, field
from tests.end_to_end.processes import run

if TYPE_CHECKING:
    from pathlib import Path

_ADDRESSES = ("/audit", "/keys")
_EVENTS = re.compile(r'<tr id="event-(\d+)">')
_KEY = re.compile(r"bks_[A-Za-z0-9]{36}")


def events(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200
    return [int(number) for number in _EVENTS.findall(answer.text)]


def logged(client: httpx.Client, **query: Any) -> list[int]:
    return [one["id"] for one in client.get("/api/v1/audit/logs", params=query).json()["logs"]]


@pytest.mark.parametrize("address", _ADDRESSES)
def test_only_admins_are_led_to_their_pages_and_only_they_get_there(
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


# -- the audit log


def test_the_log_tells_who_did_what_when_and_why(
    administrator: Browser, editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    at = f"{ASSISTANTS}/{assistant['id']}"
    body = {"llm_provider_config": {"api_key": "sk-secret"}, "change_description": "New <key>"}
    editor.patch(at, json=body)
    answer = administrator.get("/audit")
    assert events(answer) == logged(admin)
    text = answer.text
    for said in (
        "<bdi>editor key</bdi>", "New &lt;key&gt;", "Assistant settings changed",
        f'href="/assistants/{assistant["id"]}/versions/2"', "LLM provider config",
    ):  # fmt: skip
        assert said in text
    assert "sk-secret" not in text


def test_the_log_is_filtered_by_what_the_address_says_and_paged(
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
    [("start_date", "yesterday"), ("user_id", "Ada"), ("cursor", "x"), ("resource_id", "x" * 201)],
)
def test_what_cannot_be_sought_is_said_on_a_page(
    administrator: Browser, name: str, value: str
) -> None:
    answer = administrator.get("/audit", params={name: value})
    assert answer.status_code == 422
    assert 'class="message bad"' in answer.text


def test_the_page_exports_what_the_api_exports_by_the_pages_filters(
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


def test_an_export_that_cannot_be_made_is_said_on_a_page(administrator: Browser) -> None:
    answer = administrator.get("/audit/export", params={"format": "pdf"})
    assert (answer.status_code, answer.headers["content-type"][:9]) == (422, "text/html")
    assert "content-disposition" not in answer.headers


@pytest.mark.usefixtures("assistant")
def test_what_the_page_gives_away_is_verified_offline(
    administrator: Browser, tmp_path: Path
) -> None:
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
    [({"resource_type": "api_key"}, "Resource type"), ({"resource_id": "1"}, "Resource ID"),
     ({"user_id": "1"}, "User ID")],
)  # fmt: skip
def test_an_export_that_holds_more_than_the_page_says_so(
    administrator: Browser, query: dict[str, str], said: str
) -> None:
    page = administrator.get("/audit", params=query).text
    assert "It holds more than the filters find" in page
    assert f'<span class="chip">{said}</span>' in page
    whole = administrator.get("/audit", params={"end_date": "2100-01-01T00:00:00Z"}).text
    assert "It holds more" not in whole  # the control
    assert field(whole, "until") == "2100-01-01T00:00:00Z"


# -- keys


def test_a_new_key_is_shown_once_and_works_as_it_was_made(
    server: Server, administrator: Browser
) -> None:
    form = administrator.get("/keys").text
    fields = {"name": "Runtime", "role": "viewer", "reveals": "on", "once": field(form, "once")}
    answers = [administrator.submit("/keys", fields) for _ in range(2)]  # a double click
    keys = [_KEY.findall(answer.text) for answer in answers]
    assert keys[0] == keys[1]
    (key,) = keys[0]
    page = administrator.get("/keys").text
    assert key not in page
    assert page.count("<bdi>Runtime</bdi>") == 1
    assert "reads secrets" in page
    assert "the last one of an admin" in page
    with server.client(key) as client:
        assert client.get(ASSISTANTS).status_code == 200
        assert client.post(ASSISTANTS, json={"name": "x"}).status_code == 403


def test_a_key_is_renamed_revoked_and_switched_on_again(
    server: Server, administrator: Browser, admin: httpx.Client, organization: Organization
) -> None:
    (key,) = [k for k in admin.get("/api/v1/users/me/api-keys").json() if k["name"] == "viewer key"]
    at = f"/keys/{key['id']}"
    assert administrator.submit(at, {"name": "Lobby"}).status_code == 303
    assert "<bdi>Lobby</bdi>" in administrator.get("/keys").text
    with server.client(organization.viewer) as viewer:
        for is_active, status in (("false", 401), ("true", 200)):
            assert administrator.submit(at, {"is_active": is_active}).status_code == 303
            assert viewer.get(ASSISTANTS).status_code == status


def test_who_revokes_the_key_of_their_session_is_signed_out(
    administrator: Browser, admin: httpx.Client
) -> None:
    (key,) = [k for k in admin.get("/api/v1/users/me/api-keys").json() if k["name"] == "admin key"]
    assert "this session" in administrator.get("/keys").text
    administrator.submit(f"/keys/{key['id']}", {"is_active": "false"})
    answer = administrator.get("/keys")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?back=/keys")


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"name": "", "role": "viewer"}, "Name: "), ({"name": "x", "role": "owner"}, "Role: "),
     ({"name": "x" * 101, "role": "viewer"}, "Name: ")],
)  # fmt: skip
def test_a_key_that_cannot_be_made_is_said_beside_the_form(
    administrator: Browser, fields: dict[str, str], said: str
) -> None:
    answer = administrator.submit("/keys", fields)
    assert answer.status_code == 422
    assert f'role="alert">{said}' in answer.text
    assert not _KEY.search(answer.text)


def test_a_key_that_is_not_there_is_not_found(administrator: Browser) -> None:
    assert administrator.submit("/keys/999", {"name": "x"}).status_code == 404
    assert administrator.submit("/keys/1", {"name": ""}).status_code == 422


# -- the policy


def demanded(administrator: Browser, **fields: str) -> httpx.Response:
    form = administrator.get("/policy").text
    return administrator.submit("/policy", {"etag": field(form, "etag")} | fields)


def test_what_the_form_demands_is_demanded_and_shown(
    administrator: Browser, editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    answer = demanded(
        administrator,
        require_reason="on",
        admin_paths="/tts_settings\n/llm_settings/system_prompt\n",
        change_description="Audit of March",
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/policy")
    policy = admin.get("/api/v1/policy").json()
    assert (policy["require_reason"], policy["require_condition"]) == (True, False)
    assert policy["admin_paths"] == ["/tts_settings", "/llm_settings/system_prompt"]
    assert policy["require_reason_for"] == []
    page = administrator.get("/policy").text
    assert 'name="require_reason" checked' in page
    assert "/llm_settings/system_prompt</textarea>" in page
    refused = editor.patch(f"{ASSISTANTS}/{assistant['id']}", json={"idle_timeout": 7})
    assert refused.status_code == 422
    assert "Audit of March" in administrator.get("/audit").text


def test_a_policy_that_a_colleague_changed_meanwhile_is_not_overwritten(
    administrator: Browser, admin: httpx.Client
) -> None:
    etag = field(administrator.get("/policy").text, "etag")
    admin.put("/api/v1/policy", json={"require_condition": True})
    late = administrator.submit("/policy", {"etag": etag, "require_reason": "on"})
    assert late.status_code == 412
    assert 'role="alert"' in late.text
    assert admin.get("/api/v1/policy").json()["require_condition"] is True
    # The control: over the policy of now, it is a choice.
    again = {"etag": field(late.text, "etag"), "require_reason": "on"}
    assert administrator.submit("/policy", again).status_code == 303
    assert admin.get("/api/v1/policy").json()["require_condition"] is False


def test_a_slip_of_the_pen_loses_no_colleagues_policy(
    administrator: Browser, admin: httpx.Client
) -> None:
    first = field(administrator.get("/policy").text, "etag")
    admin.put("/api/v1/policy", json={"admin_paths": ["/llm_settings/system_prompt"]})
    typed = {"etag": first, "require_reason_for": "/llm_settingz", "change_description": "Audit"}
    slip = administrator.submit("/policy", typed)
    assert slip.status_code == 422
    assert "/llm_settingz: No such setting" in slip.text
    mended = typed | {"etag": field(slip.text, "etag"), "require_reason_for": "/llm_settings"}
    late = administrator.submit("/policy", mended)
    assert late.status_code == 412
    assert "By now this is: <bdi>/llm_settings/system_prompt</bdi>" in late.text
    assert field(late.text, "change_description") == "Audit"
    assert admin.get("/api/v1/policy").json()["admin_paths"] == ["/llm_settings/system_prompt"]


def test_a_path_that_is_no_setting_is_said_and_kept_in_the_form(
    administrator: Browser, admin: httpx.Client
) -> None:
    answer = demanded(administrator, admin_paths="/no_such")
    assert answer.status_code == 422
    assert "No such setting" in answer.text
    assert "/no_such</textarea>" in answer.text
    assert admin.get("/api/v1/policy").json()["admin_paths"] == []


def test_who_may_not_change_the_policy_reads_it(administrator: Browser, reader: Browser) -> None:
    page = reader.get("/policy").text
    assert "<fieldset disabled>" in page
    assert '<button class="primary">' not in page
    form = {"etag": field(page, "etag"), "require_reason": "on"}
    assert reader.submit("/policy", form).status_code == 403
    # The control.
    assert "<fieldset disabled>" not in administrator.get("/policy").text
    assert administrator.submit("/policy", form).status_code == 303


def test_a_form_offers_no_setting_that_only_admins_change_and_says_where_a_reason_is_needed(
    administrator: Browser, operator: Browser, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    demands = {
        "admin_paths": ["/llm_settings/temperature", "/is_active"],
        "require_reason_for": ["/tts_settings"],
    }
    admin.put("/api/v1/policy", json=demands)
    at = f"/assistants/{assistant['id']}"
    for browser, is_offered in ((operator, False), (administrator, True)):
        page = browser.get(at).text
        assert ('name="/llm_settings/temperature"' in page) == is_offered
        assert (f'action="{at}/status"' in page) == is_offered
        assert 'name="/llm_settings/max_tokens"' in page
        assert "A change of this needs a reason." in page
    assert operator.submit(at, {"base_version": 1, "/idle_timeout": "9"}).status_code == 303


# -- what is not there


def test_an_address_that_is_none_is_a_page_for_who_reads_pages(server: Server) -> None:
    pages = {"accept": "text/html,application/xhtml+xml"}
    shown = httpx.get(f"{server.url}/no/such", headers=pages)
    assert (shown.status_code, shown.headers["content-type"][:9]) == (404, "text/html")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "no-store"
    assert "Accept" in shown.headers["vary"].split(", ")
    other = httpx.get(f"{server.url}/assistants/1/status", headers=pages)
    assert (other.status_code, other.headers["content-type"][:9]) == (405, "text/html")
    for address, headers in (("/no/such", {}), ("/api/v1/no/such", pages)):
        answer = httpx.get(f"{server.url}{address}", headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_a_list_of_the_policy_that_was_left_alone_stays_as_it_is(
    administrator: Browser, admin: httpx.Client
) -> None:
    secret = ["/custom_settings/two words", "/custom_settings/ends \r\nhere"]
    admin.put("/api/v1/policy", json={"secret_paths": secret})
    shown = "\r\n".join(secret)
    demanded(administrator, secret_paths=shown, admin_paths="/custom_settings/a b")
    policy = admin.get("/api/v1/policy").json()
    assert policy["secret_paths"] == secret
    assert policy["admin_paths"] == ["/custom_settings/a b"]
    demanded(administrator, secret_paths=secret[0])  # the control
    assert admin.get("/api/v1/policy").json()["secret_paths"] == secret[:1]
