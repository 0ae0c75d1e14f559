"""API keys: created once, renamed, revoked and activated."""

from __future__ import annotations

import html
import re
import shlex

import httpx
import pytest

from app.accounts.principals import Role
from app.console import texts
from tests.conftest import ASSISTANTS, Organization, Server
from tests.console import Browser, field

_KEY = re.compile(r"bks_[A-Za-z0-9]{36}")


def test_a_new_key_is_shown_once_and_works_as_it_was_made(
    server: Server, administrator: Browser
) -> None:
    form = administrator.get("/keys").text
    fields = {"name": "Runtime", "role": "viewer", "reveals": "on", "once": field(form, "once")}
    answers = [administrator.submit("/keys", fields) for _ in range(2)]  # a double click
    keys = [set(_KEY.findall(answer.text)) for answer in answers]
    assert keys[0] == keys[1]
    (key,) = keys[0]
    page = administrator.get("/keys").text
    assert key not in page
    assert page.count("<bdi>Runtime</bdi>") == 1
    assert "can read secrets" in page
    with server.client(key) as client:
        assert client.get(ASSISTANTS).status_code == 200
        assert client.post(ASSISTANTS, json={"name": "x"}).status_code == 403


def test_a_new_key_is_shown_with_commands_that_work(server: Server, administrator: Browser) -> None:
    made = administrator.submit("/keys", {"name": "Contractor", "role": "viewer"}).text
    (command,) = re.findall(r'id="use-curl">([^<]+)<', made)
    _, _, header, address = shlex.split(html.unescape(command))
    assert address == f"{server.url}{ASSISTANTS}"
    name, _, value = header.partition(": ")
    assert httpx.get(address, headers={name: value}).status_code == 200
    (code,) = re.findall(r'id="use-sdk">([^<]+)<', made)
    assert f"base_url='{server.url}'" in html.unescape(code)


def test_each_role_is_explained_beside_the_choice_and_the_least_is_chosen(
    administrator: Browser,
) -> None:
    page = administrator.get("/keys").text
    assert re.findall(r'name="role" value="(\w+)" checked', page) == ["viewer"]
    assert "may not change anything" in page
    assert set(texts.Keys.roles) == set(Role.__members__)
    assert set(texts.Keys.may) == {*Role.__members__, "reveal"}


def test_a_keys_page_says_what_it_may_do_who_made_it_and_what_it_did(
    server: Server, administrator: Browser, admin: httpx.Client
) -> None:
    body = {"name": "Bot", "role": "admin", "permissions": {"admin": False}}
    made = admin.post("/api/v1/users/me/api-keys", json=body).json()
    other = admin.post(ASSISTANTS, json={"name": "By another key of this user"}).json()
    at = f"/keys/{made['api_key']['id']}"
    unused = administrator.get(at).text
    assert "Never used" in unused
    assert "by <bdi>admin key</bdi>" in unused
    with server.client(made["key"]) as bot:
        mine = bot.post(ASSISTANTS, json={"name": "Mine"}).json()
    page = administrator.get(at).text
    assert "Last used" in page
    assert f'href="/assistants/{mine["id"]}' in page
    assert f'href="/assistants/{other["id"]}' not in page
    granted = re.findall(r'aria-hidden="true">(✓|✗)', page)
    assert granted == ["✓", "✓", "✗", "✗"]
    assert "Limited to the rights of role editor" in page
    assert administrator.get("/keys/999").status_code == 404


def test_a_key_is_renamed_revoked_and_activated(
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


def test_revoking_the_key_of_the_session_signs_out(
    administrator: Browser, admin: httpx.Client
) -> None:
    (key,) = [k for k in admin.get("/api/v1/users/me/api-keys").json() if k["name"] == "admin key"]
    assert "this session" in administrator.get("/keys").text
    assert "the last active admin key" in administrator.get(f"/keys/{key['id']}").text
    administrator.submit(f"/keys/{key['id']}", {"is_active": "false"})
    answer = administrator.get("/keys")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?back=/keys")


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"name": "", "role": "viewer"}, "Name: "), ({"name": "x", "role": "owner"}, "Role: "),
     ({"name": "x" * 101, "role": "viewer"}, "Name: ")],
)  # fmt: skip
def test_an_invalid_new_key_shows_an_error(
    administrator: Browser, fields: dict[str, str], said: str
) -> None:
    answer = administrator.submit("/keys", fields)
    assert answer.status_code == 422
    assert f'role="alert">{said}' in answer.text
    assert not _KEY.search(answer.text)


def test_an_unknown_key_is_not_found(administrator: Browser) -> None:
    assert administrator.submit("/keys/999", {"name": "x"}).status_code == 404
    assert administrator.submit("/keys/1", {"name": ""}).status_code == 422
