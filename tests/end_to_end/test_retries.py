"""An answer that is lost on the way: the request is sent again, and has happened once.

Between the clients and a real server stands a proxy that cuts connections, each in the way that
the request asks for; elsewhere the server is killed before its answer is out. The controls send
the same requests without an ``Idempotency-Key``.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from msgspec import Struct, field

from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving_process,
)
from tests.end_to_end.acknowledged import log_of
from tests.end_to_end.processes import Process, client, serving

Cut = Literal["behind", "both", "answered", "within"]

# Once the server has the request: the client is cut off; so is the server. Once it has answered:
# the client is cut off; so is it in the midst of the answer.
CUTS: tuple[Cut, ...] = ("behind", "both", "answered", "within")
REQUESTS = 250
EACH = 2  # cuts of each request before its answer may pass
AT_ONCE = 25
KEYS = "/api/v1/users/me/api-keys"
LISTED = "/custom_settings/rows"
JSON_PATCH = {"content-type": "application/json-patch+json"}
_SEED = 20_262
_PAUSE = 0.03  # seconds, while the request that was cut off is still being carried out
_PATIENCE = 60  # seconds


class ChangeRequest(Struct, frozen=True, kw_only=True):
    """A request that does something each time that it is carried out."""

    name: str  # its own: the key that it is sent with, and what the log finds it by
    verb: str
    path: str
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def sent(self, keyed: bool, cut: Cut | None = None) -> dict[str, Any]:  # noqa: FBT001  # a switch
        """The arguments of httpx."""
        headers = self.headers | {"x-request-id": self.name, "connection": "close"}
        headers |= {"idempotency-key": self.name} if keyed else {}
        headers |= {"x-cut": cut} if cut else {}
        return {"method": self.verb, "url": self.path, "json": self.json, "headers": headers}


def change_request(number: int) -> ChangeRequest:
    """The kinds of requests in turn: create, append to a list, duplicate, make an API key."""
    name = f"wish-{number}"
    match number % 4:
        case 0:
            return ChangeRequest(name=name, verb="POST", path=ASSISTANTS, json={"name": name})
        case 1:
            added = [{"op": "add", "path": f"{LISTED}/-", "value": name}]
            path = f"{ASSISTANTS}/1"
            return ChangeRequest(name=name, verb="PATCH", path=path, json=added, headers=JSON_PATCH)
        case 2:
            return ChangeRequest(name=name, verb="POST", path=f"{ASSISTANTS}/2/duplicate")
        case _:
            return ChangeRequest(name=name, verb="POST", path=KEYS, json={"name": name})


# -- the proxy


class Answer(Struct, frozen=True, kw_only=True):
    """An answer as its bytes say it, but for the clock, and for whether it was given before."""

    head: tuple[bytes, ...]
    body: bytes
    is_replayed: bool

    @property
    def is_success(self) -> bool:
        return self.head[0].startswith(b"HTTP/1.1 2")


def read_answer(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    named = {line.partition(b":")[0].lower(): line for line in headers}
    assert named.pop(b"date")
    replayed = named.pop(b"idempotent-replayed", None)
    assert len(body) == int(named[b"content-length"].partition(b":")[2])
    return Answer(
        head=(status, *sorted(named.values())), body=body, is_replayed=replayed is not None
    )


class Proxy(Struct, kw_only=True):
    """Passes one request of each connection on, and then does what the request asks for."""

    host: str
    port: int
    cut: Counter[str] = field(default_factory=Counter)
    answers: dict[str, list[Answer]] = field(default_factory=dict)  # what the server answered
    places: random.Random = field(default_factory=lambda: random.Random(_SEED))
    connections: list[asyncio.Task[None]] = field(default_factory=list)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, also when nobody is at its other end any more."""
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, headers = await _read_request(reader)
        name, cut = headers["x-request-id"], headers.get("x-cut")
        if cut is not None:
            self.cut[cut] += 1
        theirs, server = await asyncio.open_connection(self.host, self.port)
        server.write(request)
        await server.drain()
        if cut in ("behind", "both"):
            writer.transport.abort()
        if cut == "both":
            server.transport.abort()
            return
        raw = await theirs.read()
        server.close()
        if (answer := read_answer(raw)).is_success:
            self.answers.setdefault(name, []).append(answer)
        if cut == "within":
            writer.write(raw[: self.places.randrange(1, len(raw))])
        elif cut is None:
            writer.write(raw)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, str]]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")[1:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return head + body, headers


@asynccontextmanager
async def cutting(server: Server) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a server, and its URL."""
    url = httpx.URL(server.url)
    assert url.port is not None
    proxy = Proxy(host=url.host, port=url.port)
    async with await asyncio.start_server(proxy.accept, "127.0.0.1") as listening:
        host, port = listening.sockets[0].getsockname()
        yield proxy, f"http://{host}:{port}"
        await asyncio.gather(*proxy.connections)


# -- the clients


class Sent(Struct, kw_only=True):
    """What came of sending wishes through the proxy."""

    proxy: Proxy
    change_requests: list[ChangeRequest]
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    lost: int = 0  # answers that did not arrive
    running: int = 0  # how often the server said that it was still at it


async def send_all(
    server: Server, organization: Organization, change_requests: list[ChangeRequest], *, keyed: bool
) -> Sent:
    """Send every wish until its answer arrives, some at once; each is cut first."""
    cuts = _cuts(len(change_requests))
    turns = asyncio.Semaphore(AT_ONCE)
    headers = {"authorization": f"Bearer {organization.admin}"}
    async with (
        cutting(server) as (proxy, url),
        httpx.AsyncClient(base_url=url, headers=headers, timeout=_PATIENCE) as admin,
    ):
        sent = Sent(proxy=proxy, change_requests=change_requests)

        async def insist(one: ChangeRequest, before: list[Cut]) -> None:
            async with turns:
                for cut in before:
                    with pytest.raises(httpx.TransportError):
                        await admin.request(**one.sent(keyed, cut))
                    sent.lost += 1
                sent.answers[one.name] = await _ask(admin, one, sent, keyed=keyed)

        await asyncio.gather(*map(insist, change_requests, cuts))
    return sent


def _cuts(count: int) -> list[list[Cut]]:
    """How each of the wishes is cut: every kind of cut equally often, the same in every run."""
    cuts = [CUTS[n % len(CUTS)] for n in range(count * EACH)]
    random.Random(_SEED).shuffle(cuts)
    return [cuts[n * EACH : (n + 1) * EACH] for n in range(count)]


async def _ask(
    admin: httpx.AsyncClient, one: ChangeRequest, sent: Sent, *, keyed: bool
) -> httpx.Response:
    async with asyncio.timeout(_PATIENCE):
        while True:
            answer = await admin.request(**one.sent(keyed))
            if answer.status_code != 409:
                return answer
            assert answer.json()["type"] == "urn:backstory:problem:request-running"
            sent.running += 1
            await asyncio.sleep(_PAUSE)


# -- what is in the end


def applied(
    database: Path, organization: Organization, change_requests: list[ChangeRequest]
) -> dict[str, int]:
    """How often each wish is in the log."""
    counted = Counter(event.request_id for event in log_of(database, organization.id))
    return {one.name: counted[one.name] for one in change_requests}


def prepare(url: str, organization: Organization) -> None:
    """Two assistants: the first has a list to append to, the second is duplicated."""
    with client(url, organization.admin) as admin:
        for settings in ({"name": "List", "custom_settings": {"rows": []}}, {"name": "Twice"}):
            assert admin.post(ASSISTANTS, json=settings).status_code == 201


def prove_effects(
    url: str, organization: Organization, change_requests: list[ChangeRequest]
) -> None:
    """Each wish is there once: as an assistant, as a row, as a copy, as a key."""
    by_kind: list[list[str]] = [[], [], [], []]
    for one in change_requests:
        by_kind[int(one.name.rpartition("-")[2]) % 4].append(one.name)
    created, appended, copied, keys = map(sorted, by_kind)
    with client(url, organization.admin) as admin:
        names = Counter(one["name"] for one in admin.get(f"{ASSISTANTS}?limit=1000").json())
        rows = admin.get(f"{ASSISTANTS}/1").json()["custom_settings"]["rows"]
        made = [key["name"] for key in admin.get(KEYS).json() if key["name"].startswith("wish-")]
    copies = names.pop("Twice (Copy)", 0)
    assert names == Counter(["List", "Twice", *created])
    assert (sorted(rows), copies, sorted(made)) == (appended, len(copied), keys)


# -- connections that are cut


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("retries") / "backstory.db"
    waiting = make_organizations(database, 2)
    with serving_process(database, waiting) as running:
        yield running


def test_500_answers_are_lost_and_nothing_happens_twice(server: Server) -> None:
    organization = server.organization()
    prepare(server.url, organization)
    change_requests = [change_request(number) for number in range(REQUESTS)]
    sent = asyncio.run(send_all(server, organization, change_requests, keyed=True))

    assert sent.lost == sent.proxy.cut.total() == REQUESTS * EACH == 500
    assert set(sent.proxy.cut.values()) == {125}
    assert set(applied(server.database, organization, change_requests).values()) == {1}
    prove_effects(server.url, organization, change_requests)
    for one in change_requests:
        _prove_one_answer(sent.answers[one.name], sent.proxy.answers[one.name])


def _prove_one_answer(arrived: httpx.Response, answers: list[Answer]) -> None:
    """Whatever the server answered is the same to the byte; only the first was no replay."""
    assert arrived.status_code in (200, 201)
    assert arrived.content == answers[-1].body
    assert len({(answer.head, answer.body) for answer in answers}) == 1
    firsts = [answer for answer in answers if not answer.is_replayed]
    assert len(firsts) <= 1  # none where it was cut off while the server had not answered yet
    assert firsts in ([], answers[:1])


def test_control_without_keys_what_was_answered_to_nobody_happens_again(server: Server) -> None:
    organization = server.organization()
    prepare(server.url, organization)
    change_requests = [change_request(number) for number in range(REQUESTS // 5)]
    sent = asyncio.run(send_all(server, organization, change_requests, keyed=False))

    assert sent.lost == sent.proxy.cut.total() == REQUESTS // 5 * EACH
    counted = applied(server.database, organization, change_requests)
    assert max(counted.values()) == 1 + EACH
    certain = sent.proxy.cut.total() - sent.proxy.cut["both"]
    assert sum(counted.values()) - len(change_requests) >= certain
    with pytest.raises(AssertionError):
        prove_effects(server.url, organization, change_requests)


# -- a server that is killed after its commit, before its answer

# The work is durable when its caller is told of it: then, where the file is there, it dies.
_DIES = """
import os, signal, sys
from pathlib import Path
from app.transactions.write_queue import _Waiting
resolve = _Waiting.resolve
def resolve_or_die(waiting, outcome):
    # Not a background task's.
    is_of_a_request = type(outcome).__name__ in ("Outcome", "Reply", "Response")
    if Path("die").exists() and is_of_a_request:
        os.kill(os.getpid(), signal.SIGKILL)
    resolve(waiting, outcome)
_Waiting.resolve = resolve_or_die
"""


class Mortal(Struct, frozen=True):
    """A server that dies of the next commit, once it is told to."""

    process: Process
    url: str
    file: Path

    def die_of(self, send: Callable[[], object]) -> None:
        """Send a request; the server commits it and is gone."""
        self.file.touch()
        with pytest.raises(httpx.TransportError):
            send()
        assert self.process.wait(_PATIENCE) == -signal.SIGKILL
        self.file.unlink()


@contextmanager
def mortal(database: Path) -> Iterator[Mortal]:
    """A server's process; it is gone after, come what may."""
    with serving(database, preamble=_DIES) as running:
        yield Mortal(running.process, running.url, database.with_name("die"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def organization(database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


def _kill_between_commit_and_answer(
    database: Path, organization: Organization, sends: list[tuple[ChangeRequest, bool]]
) -> list[httpx.Response]:
    """For each wish kill a server, and send it again to the next one: the answers of those.

    Beside each wish: whether it is sent with a key.
    """
    answers = []
    for life in range(len(sends) + 1):
        with mortal(database) as server, client(server.url, organization.admin) as admin:
            if life == 0:
                prepare(server.url, organization)
            else:
                one, keyed = sends[life - 1]
                assert applied(database, organization, [one]) == {one.name: 1}  # it was committed
                answers.append(admin.request(**one.sent(keyed)))
                _prove_key_works(server.url, answers[-1])
            if life < len(sends):
                one, keyed = sends[life]
                server.die_of(partial(admin.request, **one.sent(keyed)))
    return answers


def _prove_key_works(url: str, answer: httpx.Response) -> None:
    """An API key that was made before the kill was shown to nobody; it is shown now."""
    if (key := answer.json().get("key")) is not None:
        with client(url, key) as anew:
            assert anew.get(ASSISTANTS).status_code == 200


def _prove_kills(database: Path, organization: Organization, numbers: list[int]) -> None:
    change_requests = [change_request(number) for number in numbers]
    control = change_request(10_000)
    sends = [(one, True) for one in change_requests] + [(control, False)]
    answers = _kill_between_commit_and_answer(database, organization, sends)
    assert all(answer.is_success for answer in answers)
    replayed = [answer.headers.get("idempotent-replayed") for answer in answers]
    assert replayed == ["true"] * len(change_requests) + [None]
    assert set(applied(database, organization, change_requests).values()) == {1}
    # The control: what was sent without a key, and killed just so, has happened twice.
    assert applied(database, organization, [control]) == {control.name: 2}


def test_a_server_that_is_killed_after_its_commit_answers_the_retry_from_what_it_stored(
    database: Path, organization: Organization
) -> None:
    _prove_kills(database, organization, [1, 3])  # a row, and an API key


@pytest.mark.long
def test_a_server_that_is_killed_after_40_commits_answers_every_retry(
    database: Path, organization: Organization
) -> None:
    """The long form: ``pytest -m long tests/end_to_end/test_retries.py``."""
    _prove_kills(database, organization, list(range(40)))


# -- a server that is killed at any moment


class Stubborn:
    """Clients that send each wish again, to one server after the other, until it is answered."""

    def __init__(self, organization: Organization) -> None:
        self._organization = organization
        self._next = 0
        self.open: dict[int, ChangeRequest] = {}
        self.done: list[ChangeRequest] = []

    async def live(self, url: str, kill: Callable[[], None] | None, after: int) -> None:
        """Send until so many wishes more are done, and kill; without ``kill``, finish."""
        enough = len(self.done) + after
        headers = {"authorization": f"Bearer {self._organization.admin}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_PATIENCE) as admin:

            async def keep_on(number: int) -> None:
                with suppress(httpx.TransportError):
                    while number in self.open or kill is not None:
                        await self._send(admin, number)
                        if kill is not None and len(self.done) >= enough:
                            kill()

            await asyncio.gather(*map(keep_on, range(AT_ONCE)))

    async def _send(self, admin: httpx.AsyncClient, number: int) -> None:
        if number not in self.open:
            self.open[number] = change_request(self._next)
            self._next += 1
        answer = await admin.request(**self.open[number].sent(keyed=True))
        assert answer.status_code in (200, 201), answer.text
        self.done.append(self.open.pop(number))


def _kill_at_any_moment(database: Path, organization: Organization, kills: int) -> None:
    moments = random.Random(_SEED)
    clients = Stubborn(organization)
    for life in range(kills + 1):
        with serving(database) as running:
            if life == 0:
                prepare(running.url, organization)
            kill = running.process.kill if life < kills else None
            asyncio.run(clients.live(running.url, kill, moments.randint(1, 60)))
            if kill is None:
                assert not clients.open
                assert set(applied(database, organization, clients.done).values()) == {1}
                prove_effects(running.url, organization, clients.done)


def test_what_is_sent_again_after_kills_at_any_moment_has_happened_once(
    database: Path, organization: Organization
) -> None:
    _kill_at_any_moment(database, organization, kills=2)


@pytest.mark.long
def test_what_is_sent_again_after_30_kills_at_any_moment_has_happened_once(
    database: Path, organization: Organization
) -> None:
    _kill_at_any_moment(database, organization, kills=30)
