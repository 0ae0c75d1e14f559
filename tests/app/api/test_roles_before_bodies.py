"""First who calls, then what: nothing of a refused request is read but path, method and headers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from litestar import Litestar, get
from msgspec import Struct

from app.accounts import tokens
from app.accounts.principals import Role
from app.api import access
from app.console.cookies import COOKIE
from app.main import create_app
from events.assistant_key import AssistantKey
from tests.app import stored
from tests.app.route_table import (
    APPLICATION,
    ENDING,
    OPERATIONS,
    PAGES,
    Operation,
    routes_of,
)
from tests.conftest import Organization, make_organizations
from tests.databases import config_of

_TABLE = Path(__file__).parents[3] / "app/api/ENDPOINTS.md"
_FILLED = re.compile(r"\{\w+\}")
_QUERY = (
    b"limit=x&skip=-1&days=0&version=%00&as_of=never&active_only=perhaps&include_deleted=maybe"
    b"&from=x&to=&after=x&first=-1&second=z&dry_run=2&format=pdf&since=soon&base_version=%ff"
    b"&is_active=perhaps&status=odd&sort=odd&leaf_index=x&tree_size=x&sequence=x&cursor=%ff"
)
_JSON = (b"content-type", b"application/json")
_FORM = (b"content-type", b"application/x-www-form-urlencoded")
_TOO_LONG = 5_000_000
Headers = tuple[tuple[bytes, bytes], ...]


class Sent(Struct, frozen=True, kw_only=True):
    """What comes with a path and a method."""

    query: bytes = b""
    headers: Headers = ()
    body: bytes = b""
    filled: str = "1"


PLAIN = Sent()
BAD = {
    "malformed": Sent(headers=(_JSON,), body=b'{"name": '),
    "no utf-8": Sent(headers=(_JSON,), body=b'{"name": "\xff"}'),
    "no object": Sent(headers=(_JSON,), body=b"[[[[1]]]]"),
    "no json": Sent(headers=((b"content-type", b"text/plain"),), body=b"hello"),
    "no type": Sent(body=b'{"name": 5}'),
    "parameters": Sent(query=_QUERY),
    "ids": Sent(filled="zero"),
    "too long": Sent(headers=(_JSON, (b"content-length", b"%d" % _TOO_LONG)), body=b"["),
    "form": Sent(headers=(_FORM,), body=b"&".join([b"a=%ff"] * 3000)),
}


class Answer(Struct, frozen=True):
    """An answer without what tells one request from another, and how often its body was read."""

    status: int
    headers: Headers
    body: bytes
    reads: int


async def ask(app: Any, verb: str, path: str, sent: Sent, who: Headers = ()) -> Answer:
    """Send one request, and count how often the application asks for its body."""
    reads = 0
    got: list[Any] = []
    is_answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal reads
        reads += 1
        if reads == 1:
            return {"type": "http.request", "body": sent.body, "more_body": False}
        await is_answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        got.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            is_answered.set()

    filled = _FILLED.sub(sent.filled, path)
    headers = [(b"host", b"here"), *who, *sent.headers]
    if sent.body and not {b"content-length", b"transfer-encoding"} & {n for n, _ in sent.headers}:
        headers.append((b"content-length", b"%d" % len(sent.body)))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": verb,
        "scheme": "http", "path": filled, "raw_path": filled.encode(), "root_path": "",
        "query_string": sent.query or urlencode(ENDING.get(path, {})).encode(),
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("here", 80), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    started, *rest = got
    told = tuple(one for one in started["headers"] if one[0] != b"x-request-id")
    return Answer(started["status"], told, b"".join(one.get("body", b"") for one in rest), reads)


def with_key(token: str) -> Headers:
    return ((b"authorization", f"Bearer {token}".encode()),)


def with_cookie(sealed: str) -> Headers:
    return ((b"cookie", f"{COOKIE}={sealed}".encode()),)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def tenant(database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


def served(database: Path, story: Callable[[Any, Any], Awaitable[Any]]) -> Any:
    """What a story gives, told of the running application and of what it is made of."""

    async def run() -> Any:
        app = create_app(config_of(database))
        routes = routes_of(app)
        async with routes.lifespan():
            return await story(app, routes.state.services)

    return asyncio.run(run())


def role_of(app: Litestar, verb: str, path: str) -> Role | None:
    """The role that a route declares."""
    role: Role | None = declared_by(app, verb, path)[access.ROLE]
    return role


def scope_of(app: Litestar, verb: str, path: str) -> str | None:
    """The scope that a route declares."""
    scope: str | None = declared_by(app, verb, path).get(access.SCOPE)
    return scope


def declared_by(app: Litestar, verb: str, path: str) -> dict[str, Any]:
    """What a route declares as its ``opt``."""
    for route in app.routes:
        if route.path_format == path:
            for handler in route.route_handlers:  # type: ignore[union-attr]  # HTTP
                if verb in handler.http_methods:
                    return dict(handler.opt)
    raise LookupError(path)


_PROTECTED = [
    (o.verb, o.path) for o in OPERATIONS if role_of(APPLICATION, o.verb, o.path) is not None
]
_PAGES = [(verb, path) for verb, path in PAGES if role_of(APPLICATION, verb, path) is not None]


def above(places: list[tuple[str, str]], role: Role) -> list[tuple[str, str]]:
    """The routes that a role does not reach."""
    return [one for one in places if (role_of(APPLICATION, *one) or role) > role]


async def told_apart(
    app: Any, places: list[tuple[str, str]], who: Headers
) -> Iterator[tuple[str, str, str, Answer]]:
    """Every bad request that is not answered as the plain one, or whose body was read."""
    found = []
    for verb, path in places:
        plain = await ask(app, verb, path, PLAIN, who)
        for name, sent in BAD.items():
            filled = plain if sent.filled == PLAIN.filled else None
            answer = await ask(app, verb, path, sent, who)
            same = answer == plain if filled else answer.status == plain.status
            if not same or answer.reads:
                found.append((verb, path, name, answer))
    return iter(found)


# -- the law, over the whole route table


def test_the_role_that_each_route_declares_is_the_one_that_was_promised() -> None:
    for operation in OPERATIONS:
        declared = role_of(APPLICATION, operation.verb, operation.path)
        assert declared == _promised(operation), operation
    assert {(verb, path) for verb, path in PAGES} - set(_PAGES) == {
        ("GET", "/static/{name}"), ("GET", "/sign-in"), ("POST", "/sign-in"),
        ("GET", "/sign-in/once"),
    }  # fmt: skip


def test_the_table_and_the_description_tell_the_role_that_a_route_declares() -> None:
    rows = re.findall(
        r"^\| ([A-Z]+) \| `(/\S+)` \| ([^|]+) \|", _TABLE.read_text("utf-8"), re.MULTILINE
    )
    described = APPLICATION.openapi_schema.to_schema()["paths"]
    told = {(verb, path): role for verb, path, role in rows}
    for operation in OPERATIONS:
        if operation.path.startswith("/schema"):
            continue
        declared = role_of(APPLICATION, operation.verb, operation.path)
        scope = scope_of(APPLICATION, operation.verb, operation.path)
        said = f"scope `{scope}`" if scope else declared and declared.name
        assert told[operation.verb, operation.path] == (said or "no key"), operation
        is_open = described[operation.path][operation.verb.lower()]["security"] == []
        assert is_open == (declared is None), operation


def _promised(operation: Operation) -> Role | None:
    if not operation.needs_a_key:
        return None
    if operation.is_for_admins:
        return Role.admin
    return Role.editor if operation.writes else Role.viewer


def test_nothing_of_an_anonymous_request_is_read(database: Path, tenant: Organization) -> None:
    del tenant

    async def story(app: Any, _: Any) -> list[Any]:
        for verb, path in _PROTECTED:
            assert (await ask(app, verb, path, PLAIN)).status == 401
        junk = with_key("bks_junk")
        return [
            *await told_apart(app, _PROTECTED, ()),
            *await told_apart(app, _PROTECTED, junk),
            *await told_apart(app, [one for one in _PAGES if one[0] == "POST"], ()),
        ]

    assert served(database, story) == []


def test_nothing_of_a_request_is_read_whose_role_is_not_enough(
    database: Path, tenant: Organization
) -> None:
    beyond_viewers, beyond_editors = above(_PROTECTED, Role.viewer), above(_PROTECTED, Role.editor)

    async def story(app: Any, services: Any) -> list[Any]:
        reveals = [("POST", path) for _, path in _PROTECTED if path.endswith("/reveal")]
        viewer = with_key(tenant.viewer)
        at_the_console = with_cookie(services.sessions.seal(tenant.viewer))
        for verb, path in (*beyond_viewers, *reveals):
            assert (await ask(app, verb, path, PLAIN, viewer)).status == 403
        pages = [one for one in above(_PAGES, Role.viewer) if one[0] == "POST"]
        return [
            *await told_apart(app, [*beyond_viewers, *reveals], viewer),
            *await told_apart(app, beyond_editors, with_key(tenant.editor)),
            *await told_apart(app, pages, at_the_console),
        ]

    assert len(beyond_viewers) > len(beyond_editors) > 10
    assert served(database, story) == []


def test_control_without_the_check_parameters_and_bodies_are_read_first(
    database: Path, tenant: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def admit(_: Any) -> None:
        """Let everybody through."""

    monkeypatch.setattr(access, "before_request", admit)
    writes = [one for one in above(_PROTECTED, Role.viewer) if one[0] in ("POST", "PUT", "PATCH")]

    async def story(app: Any, _: Any) -> tuple[list[Any], list[Any]]:
        return (
            [*await told_apart(app, _PROTECTED, ())],
            [*await told_apart(app, writes, with_key(tenant.viewer))],
        )

    anonymous, as_viewer = served(database, story)
    assert 422 in {answer.status for *_, answer in anonymous}
    assert {422, 415} <= {answer.status for *_, answer in as_viewer}
    assert any(answer.reads for *_, answer in as_viewer)


def test_a_bad_key_is_a_refused_login_whatever_comes_with_it(
    database: Path, tenant: Organization
) -> None:
    forged = with_key(tokens.make_token(tenant.id))

    async def story(app: Any, _: Any) -> int:
        count = 0
        for verb, path in _PROTECTED:
            for sent in (BAD["malformed"], BAD["parameters"]):
                assert (await ask(app, verb, path, sent, forged)).status == 401
                count += 1
        return count

    count = served(database, story)
    refused = [e for e in stored.events(database, 1) if e["type"] == "login_refused.v1"]
    assert sum(1 + event["unrecorded"] for event in refused) == count


def test_a_refused_request_leaves_nothing_behind(database: Path, tenant: Organization) -> None:
    async def story(app: Any, _: Any) -> None:
        before = stored.rows(database, tenant.id)
        for verb, path in _PROTECTED:
            for name, sent in BAD.items():
                once = structs_with(sent, (b"idempotency-key", name.encode()))
                status = (await ask(app, verb, path, once, with_key(tenant.viewer))).status
                assert status < 500
        assert stored.rows(database, tenant.id) == before

    served(database, story)


def structs_with(sent: Sent, *headers: tuple[bytes, bytes]) -> Sent:
    return Sent(
        query=sent.query, headers=sent.headers + headers, body=sent.body, filled=sent.filled
    )


# -- routes that declare nothing


def test_a_route_without_a_role_is_not_served() -> None:
    @get("/open", sync_to_thread=False)
    def forgotten() -> str:
        return "all the settings"

    with pytest.raises(access.RouteWithoutRole, match="/open"):
        access.check_routes(Litestar([forgotten], openapi_config=None))


def test_the_methods_of_a_path_and_the_paths_that_there_are_not_are_told_to_everybody(
    database: Path, tenant: Organization
) -> None:
    del tenant

    async def story(app: Any, _: Any) -> None:
        for verb, path, status in (
            ("OPTIONS", "/api/v1/policy", 204),
            ("DELETE", "/api/v1/policy", 405),
            ("GET", "/api/v1/nothing", 404),
        ):
            plain = await ask(app, verb, path, PLAIN)
            assert (plain.status, plain.reads) == (status, 0)
            for name, sent in BAD.items():
                if name != "too long" or status != 204:  # a route of its own, with a limit
                    assert await ask(app, verb, path, sent) == plain

    served(database, story)


# -- the Authorization header


def test_a_request_with_two_authorization_headers_is_refused_at_every_door(
    database: Path, tenant: Organization
) -> None:
    twice = with_key(tenant.admin) * 2
    mixed = (*with_key(tenant.admin), (b"authorization", b"Basic eDp5"))
    places = [(o.verb, o.path) for o in OPERATIONS] + PAGES

    async def story(app: Any, services: Any) -> list[Any]:
        await ask(app, "POST", "/api/v1/assistants", NAMED, with_key(tenant.admin))
        await services.views.view(AssistantKey(tenant.id, 1))  # so that the short way knows it
        assert (await ask(app, "GET", "/api/v1/assistants/1", PLAIN, twice[:1])).status == 200
        await ask(app, "GET", "/schema/openapi.json", PLAIN)  # as above
        found = []
        for verb, path in places:
            for headers in (twice, tuple(reversed(mixed)), mixed):
                answer = await ask(app, verb, path, PLAIN, headers)
                if answer.status != 400 or b"Authorization" not in answer.body:
                    found.append((verb, path, answer))
        return found

    assert served(database, story) == []


NAMED = Sent(headers=(_JSON,), body=b'{"name": "Front desk"}')


# -- limits


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize(
    ("verb", "path", "most", "taken"),
    [
        ("POST", "/api/v1/assistants", 1024 * 1024, 201),
        ("PUT", "/api/v1/policy", 1024 * 1024, 422),
        ("POST", "/sign-in", 16 * 1024, 401),
        ("POST", "/sign-out", 4 * 1024 * 1024, 403),
    ],
)
def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(
    database: Path,
    tenant: Organization,
    verb: str,
    path: str,
    most: int,
    taken: int,
    *,
    declared: bool,
) -> None:
    async def story(app: Any, services: Any) -> None:
        before = stored.rows(database, tenant.id)
        who = with_key(tenant.admin) + with_cookie(services.sessions.seal(tenant.admin))
        for length, status in ((most + 1, 413), (most, taken)):
            answer = await ask(app, verb, path, _of(path, length, declared=declared), who)
            assert answer.status == status
            if status == 413:
                assert answer.reads == (0 if declared else 1)
                assert stored.rows(database, tenant.id) == before

    served(database, story)


def _of(path: str, length: int, *, declared: bool) -> Sent:
    is_api = path.startswith("/api")
    start = b'{"name": "Long"' if is_api else b"key="
    body = start + b" " * (length - len(start) - 1) + b"}" if is_api else start.ljust(length, b"x")
    how = (b"content-length", b"%d" % length) if declared else (b"transfer-encoding", b"chunked")
    return Sent(headers=(_JSON if is_api else _FORM, how), body=body)
