"""HEAD is GET without its body, and every path says truly which methods it has."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.accounts.sessions import Codes
from app.api import access, methods
from app.api.access import VIEWER
from app.api.middleware import head as head_module
from app.services import utc_now
from tests.app import stored
from tests.app.api.test_statements import make_ids
from tests.app.assistants.conditions.writes import if_none_match
from tests.app.route_table import ENDING, OPERATIONS, OWNED, PAGES, Operation, application
from tests.conftest import ASSISTANTS
from tests.console import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server
    from tests.console import Browser

EXPORT = "/api/v1/audit/export"
_READS = [operation for operation in OPERATIONS if operation.verb == "GET"]
_PATHS = sorted({operation.path for operation in OPERATIONS} | {path for _, path in PAGES})
_VERBS = {
    path: {o.verb for o in OPERATIONS if o.path == path} | {v for v, p in PAGES if p == path}
    for path in _PATHS
}
# Of the moment, of one answer alone, or of how its body is sent.
_OF_ONE_ANSWER = frozenset(("date", "x-request-id", "transfer-encoding"))
_NEW_EACH_TIME = frozenset(("x-until-sequence",))  # an export is an event, so the next is longer


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


@pytest.fixture(scope="module")
def ids(boss: httpx.Client) -> dict[str, Any]:
    return make_ids(boss)


def said(answer: httpx.Response) -> tuple[int, dict[str, str]]:
    """What an answer says before its body."""
    left_out = _OF_ONE_ANSWER | _NEW_EACH_TIME
    headers = {name: value for name, value in answer.headers.items() if name not in left_out}
    return answer.status_code, headers


def assert_alike(head: httpx.Response, whole: httpx.Response) -> None:
    assert said(head) == said(whole), whole.url
    assert head.content == b""
    assert head.headers.keys() - {"transfer-encoding"} == whole.headers.keys() - {
        "transfer-encoding"
    }


# -- HEAD


@pytest.mark.parametrize("operation", _READS, ids=str)
def test_a_head_has_the_status_and_the_headers_of_the_whole_answer_and_no_body(
    server: Server,
    tenant: Organization,
    boss: httpx.Client,
    ids: dict[str, Any],
    operation: Operation,
) -> None:
    path, query = operation.path.format(**ids), operation.query
    whole = boss.get(path, params=query)
    assert_alike(boss.head(path, params=query), whole)
    if "etag" in whole.headers:
        held = if_none_match(whole.headers["etag"])
        assert_alike(boss.head(path, headers=held), boss.get(path, headers=held))
    wrong = operation.path.format(**(ids | dict.fromkeys(OWNED, "x")))  # 422
    bad = {"limit": "x", "version": "x", "format": "x", "after": "x"}
    assert_alike(boss.head(wrong, params=bad), boss.get(wrong, params=bad))
    for token in (None, tenant.viewer):  # 401 and 403
        with server.client(token) as other:
            assert_alike(other.head(path, params=query), other.get(path, params=query))


def test_a_head_of_a_past_state_tells_which_it_is(boss: httpx.Client, ids: dict[str, Any]) -> None:
    path = f"{ASSISTANTS}/{ids['assistant_id']}"
    for asked in ({"version": 1}, {"as_of": "2999-01-01T00:00:00Z"}):
        whole = boss.get(path, params=asked)
        assert "memento-datetime" in whole.headers
        assert_alike(boss.head(path, params=asked), whole)


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json", "/schema/nothing"])
def test_a_head_of_what_is_published_is_alike_too(server: Server, path: str) -> None:
    with server.client(None) as nobody:
        assert_alike(nobody.head(path), nobody.get(path))


@pytest.mark.usefixtures("assistant")
@pytest.mark.parametrize("path", [path for verb, path in PAGES if verb == "GET"])
def test_a_head_of_a_page_is_alike_too(administrator: Browser, path: str) -> None:
    # As it is: compressed, a form's own number takes a byte more or less.
    administrator.client.headers["accept-encoding"] = "identity"
    assert_alike(administrator.client.head(fill(path)), administrator.get(fill(path)))
    administrator.client.cookies.clear()
    assert_alike(administrator.client.head(fill(path)), administrator.get(fill(path)))


def test_the_head_of_an_export_records_none(
    server: Server, admin: httpx.Client, organization: Organization
) -> None:
    def exports() -> int:
        events = stored.events(server.database, organization.id)
        return sum(event["type"].startswith("audit_exported") for event in events)

    admin.post(ASSISTANTS, json={"name": "x"})
    head = admin.head(EXPORT)
    assert head.status_code == 200
    assert exports() == 0
    whole = admin.get(EXPORT)
    assert head.headers["x-until-sequence"] == whole.headers["x-until-sequence"]
    assert exports() == 1


def test_the_control_of_it_an_export_that_takes_a_head_for_a_get_is_recorded(
    server: Server,
    admin: httpx.Client,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(methods, "is_head", lambda _: False)
    admin.post(ASSISTANTS, json={"name": "x"})
    assert admin.head(EXPORT).status_code == 200
    events = stored.events(server.database, organization.id)
    assert events[-1]["type"].startswith("audit_exported")


def test_the_head_of_a_link_that_signs_in_uses_up_nothing() -> None:
    codes = Codes(utc_now)
    code = codes.issue("bks_x")
    assert codes.look(code) == codes.look(code) == codes.redeem(code) == "bks_x"
    assert codes.look(code) is codes.redeem(code) is None


def read_raw(server: Server, token: str, version: str, *lines: str) -> bytes:
    """Every byte that a server sends for requests on one connection."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as wire:
        for number, line in enumerate(lines, 1):
            last = "Connection: close\r\n" if number == len(lines) else ""
            more = f"Host: {place.netloc}\r\nAuthorization: Bearer {token}\r\n{last}"
            wire.sendall(f"{line} HTTP/{version}\r\n{more}\r\n".encode())
        found = b""
        while piece := wire.recv(65536):
            found += piece
    return found


@pytest.mark.parametrize("path", [f"{ASSISTANTS}/count", EXPORT])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_after_a_head_the_next_byte_is_the_next_answers(
    server: Server, organization: Organization, path: str, version: str
) -> None:
    asked = [f"HEAD {path}"] * (2 if version == "1.1" else 1)
    found = read_raw(server, organization.admin, version, *asked)
    answers = found.split(b"\r\n\r\n")
    assert len(answers) == len(asked) + 1
    assert answers[-1] == b""
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers[:-1])
    assert b"transfer-encoding" not in found


def test_without_the_guard_no_head_is_answered(
    boss: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def through(self: Any, *arguments: Any) -> None:
        await self._app(*arguments)

    monkeypatch.setattr(head_module.Head, "__call__", through)
    assert boss.head(f"{ASSISTANTS}/count").status_code == 405


# -- OPTIONS and 405


@pytest.mark.parametrize("path", _PATHS)
def test_options_and_405_say_the_true_methods(server: Server, path: str) -> None:
    expected = _VERBS[path] | {"OPTIONS"} | ({"HEAD"} if "GET" in _VERBS[path] else set())
    place = re.sub(r"{\w+}", "1", path)
    with server.client(None) as nobody:
        told = nobody.options(place)
        refused = nobody.request("TRACE", place)
    assert (told.status_code, told.content) == (204, b"")
    assert refused.status_code == 405
    assert told.headers["allow"] == refused.headers["allow"] == ", ".join(sorted(expected))
    assert ("accept-patch" in told.headers) == ("PATCH" in expected)


@pytest.mark.parametrize("path", _PATHS)
def test_what_is_not_allowed_is_405_and_what_is_allowed_never(
    server: Server, boss: httpx.Client, path: str
) -> None:
    place = re.sub(r"{\w+}", "999999", path)
    with server.client(None) as nobody:
        allowed = nobody.options(place).headers["allow"].split(", ")
    for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        if path.startswith("/api/v1/vault") and verb in allowed:
            continue  # which destroys what other tests use
        answer = boss.request(verb, place, params=ENDING.get(path))
        assert (answer.status_code == 405) == (verb not in allowed), verb


def test_what_a_patch_may_be_is_told_beside_the_methods_and_with_a_refusal(
    boss: httpx.Client, ids: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{ids['assistant_id']}"
    accepted = boss.options(path).headers["accept-patch"]
    assert accepted == (
        "application/json, application/merge-patch+json, application/json-patch+json"
    )
    refused = boss.patch(path, content=b"x", headers={"content-type": "text/plain"})
    assert refused.status_code == 415
    assert refused.headers["accept-patch"] == accepted
    for kind in accepted.split(", "):
        answer = boss.patch(path, content=b"[]", headers={"content-type": kind})
        assert answer.status_code != 415, kind
    assert boss.options(f"{path}/status").headers["accept-patch"] == "application/json"


def test_a_route_that_does_not_say_which_patches_it_reads_is_not_served() -> None:
    app = application()
    methods.check_routes(app)
    (route,) = [one for one in app.routes if one.path == f"{ASSISTANTS}/{{assistant_id:str}}"]
    for handler in route.route_handlers:  # type: ignore[union-attr]  # HTTP
        handler.opt = dict(VIEWER)
    access.check_routes(app)
    with pytest.raises(methods.PatchWithoutTypes):
        methods.check_routes(app)


def test_no_path_is_no_path_to_options_either(server: Server) -> None:
    with server.client(None) as nobody:
        assert nobody.options("/api/v1/nothing").status_code == 404
        assert nobody.options(f"{ASSISTANTS}/count").headers["allow"] == "GET, HEAD, OPTIONS"
