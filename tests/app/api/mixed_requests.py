"""Requests of one assistant, good and bad, and an application in this process that is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from litestar.types import ASGIApp

    from tests.conftest import Organization

ASSISTANTS = "/api/v1/assistants"
EXISTING = 20
TAG = b"{tag}"  # stands for the last tag that the path was answered with
_JSON, _MERGE, _OPERATIONS = (
    b"application/json",
    b"application/merge-patch+json",
    b"application/json-patch+json",
)
_TYPES = [*[_JSON] * 12, _MERGE, _OPERATIONS, b"text/plain", b"application/json; charset=x", None]
_LARGE = 1024 * 1024 + 1
_IDS = ["999", "0", "01", "-1", "1/", "/1", "x", "٣", "1.0", "99999999999", "2147483648", "", "1 "]
_QUERIES = [
    "dry_run=true", "dry_run=maybe", "base_version=1", "base_version=latest&on_conflict=yours",
    "on_conflict=theirs", "version=1", "version=0", "as_of=2000-01-01", "change_description=Why",
    "x=1", "%FF=%FF",
]  # fmt: skip
_BODIES: list[Any] = [
    {"name": "Ana"}, {"name": "Bea", "change_description": "Why not"}, {"name": ""}, {},
    {"llm_settings": {"max_tokens": 900, "temperature": 0.3}}, {"llm_settings": None},
    {"llm_settings": {"temperature": 9, "max_tokens": "x"}}, {"unknown": 1, "name": "Cleo"},
    {"name": "D", "dry_run": True}, {"name": "E", "base_version": 1}, {"dry_run": "x"},
    {"name": "F", "base_version": "1", "on_conflict": "theirs"}, {"on_conflict": "yours"},
    {"llm_provider_config": {"api_key": "sk-0123456789abcdef0123456789abcdef"}},
    {"change_description": "x" * 501, "name": "G"}, [], None, 1, "text",
    [{"op": "replace", "path": "/name", "value": "Hal"}], [{"op": "test", "path": "/name"}],
]  # fmt: skip
_TEXTS = [
    b"", b"{", b'{"name": "\xff"}', b'{"name": "a", "name": "b"}', b"[" * 60_000,
    b'{"name": "\\u0000"}', b'{"name": NaN}', b'{"name": "\\ud800"}', b" " * _LARGE,
]  # fmt: skip
_HEADERS: dict[bytes, list[bytes]] = {
    b"if-match": [b'"1"', b'"2", "3"', b"*", b'W/"1"', b"1", b'"9"', b""],
    b"if-none-match": [TAG, TAG, b'"1"', TAG + b', "1"', b"W/" + TAG, b"*", b'"1", "2"', b"x"],
    b"prefer": [
        b"dry-run", b"return=minimal", b"handling=strict", b"handling=lenient", b"dry-run, foo;x=1",
    ],
    b"idempotency-key": [b"one", b'"two"', b"", b"\xe9", b"three"],
    b"accept-datetime": [b"Tue, 01 Jan 2199 00:00:00 GMT", b"Thu, 01 Jan 1970 00:00:00 GMT", b"x"],
    b"accept": [b"text/html", b"*/*"],
    b"transfer-encoding": [b"chunked"],
    b"content-length": [b"0", b"%d" % _LARGE, b"x", b"-1", b"0" * 5000],
    b"host": [b"a:b", b"x/y", b"[::1]:80"],
    b"x-request-id": [b"sent", b"a b"],
    b"cookie": [b"session=x"],
}  # fmt: skip


class Asked(Struct, frozen=True, kw_only=True):
    """A request: its body arrives in one message for each piece."""

    method: str
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    pieces: list[bytes]


class Answered(Struct, frozen=True, kw_only=True):
    """An answer; no id that was made at random."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def requests(keys: Organization, count: int, seed: int) -> list[Asked]:
    """Requests whose parts are plain for the most part, and drawn independently."""
    random = Random(seed)  # the same requests each time
    return [_one(random, keys, number) for number in range(count)]


def _one(random: Random, keys: Organization, number: int) -> Asked:
    method = random.choice([*["GET"] * 6, *["PATCH"] * 3, "PUT", "HEAD", "POST", "OPTIONS"])
    method = "DELETE" if random.random() < 0.007 else method
    is_odd = random.random() < 0.1
    path = random.choice(_IDS) if is_odd else str(random.randint(1, EXISTING))
    query = random.choice(_QUERIES) if random.random() < 0.15 else ""
    body = _body(random, number)
    headers = [(b"host", b"here")] if random.random() < 0.95 else []
    headers += _authorization(random, keys)
    kind = random.choice(
        [*[_JSON] * 8, _MERGE, _OPERATIONS, b"text/plain", b"a/b; charset=x", None]
    )
    headers += [(b"content-type", kind)] * (2 if random.random() < 0.02 else 1) if kind else []
    for name, values in _HEADERS.items():
        if random.random() < (0.2 if name == b"if-none-match" else 0.06):
            headers.append((name, random.choice(values)))
    declares = 0.0 if method in ("GET", "HEAD") else 0.9
    if all(name != b"content-length" for name, _ in headers) and random.random() < declares:
        headers.append((b"content-length", b"%d" % len(body)))
    cut = random.randint(0, len(body)) if random.random() < 0.1 else len(body)
    pieces = [body[:cut], body[cut:]] if cut < len(body) else [body]
    return Asked(
        method=method, path=f"{ASSISTANTS}/{path}", query=query, headers=headers, pieces=pieces
    )


def _body(random: Random, number: int) -> bytes:
    if random.random() < 0.1:
        return random.choice(_TEXTS)
    if random.random() < 0.3:
        return json.dumps({"name": f"Name {number}"}).encode()
    return json.dumps(random.choice(_BODIES)).encode()


def _authorization(random: Random, keys: Organization) -> list[tuple[bytes, bytes]]:
    kind = random.random()
    if kind < 0.02:
        return []
    token = keys.admin if kind < 0.3 else keys.viewer if kind < 0.36 else keys.editor
    token = "bks_none" if 0.36 < kind < 0.38 else token
    return [(b"authorization", f"Bearer {token}".encode())] * (2 if 0.38 < kind < 0.4 else 1)


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """Start an application, and end it."""
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    outgoing: asyncio.Queue[Any] = asyncio.Queue()
    scope: Any = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.ensure_future(app(scope, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    assert (await outgoing.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        await incoming.put({"type": "lifespan.shutdown"})
        await outgoing.get()
        await running


async def ask_all(app: ASGIApp, asked: list[Asked]) -> list[Answered]:
    """The answers to requests, one after another."""
    tags: dict[str, bytes] = {}
    answers = []
    for each in asked:
        answers.append(await _ask(app, each, tags.get(each.path, b'"1"')))
        sent = dict(answers[-1].headers)
        tags[each.path] = sent.get(b"etag", tags.get(each.path, b'"1"'))
    return answers


async def _ask(app: ASGIApp, asked: Asked, tag: bytes) -> Answered:
    """One request, as a server hands it over."""
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        "method": asked.method,
        "path": asked.path,
        "raw_path": asked.path.encode(),
        "query_string": asked.query.encode(),
        "headers": [(name, value.replace(TAG, tag)) for name, value in asked.headers],
        "state": {},
    }
    waiting, sent = list(asked.pieces), []

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()  # the client stays until it is answered
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    given = any(name == b"x-request-id" and value == b"sent" for name, value in asked.headers)
    head, *rest = sent
    return Answered(
        status=head["status"],
        headers=[(n, v) for n, v in head["headers"] if given or n != b"x-request-id"],
        body=b"".join(message.get("body", b"") for message in rest),
    )
