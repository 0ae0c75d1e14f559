"""One assistant is a linearizable register, for 16 clients and while its servers are killed.

Clients read, write, and write over a version that they read. What they were answered must have an
order in which each takes effect between its request and its answer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests import databases
from tests.conftest import ASSISTANTS, Organization, make_organizations, version_of
from tests.databases import chosen
from tests.end_to_end.processes import PROCESSES, Processes, client, processes
from tests.end_to_end.register import Contents, Kind, Operation, is_linearizable

CLIENTS = 16
PATH = f"{ASSISTANTS}/1"
_KINDS: tuple[Kind, ...] = ("read", "write", "compare and set", "compare and set")
_BACK_OFF = (0.02, 0.1)  # seconds before a client that got no answer goes on
_WITHOUT_PRECONDITIONS = """
from app.assistants import review
review.check_condition = lambda *_: None
"""
_WITHOUT_INVALIDATION = """
from app.assistants.view_cache import ViewCache
ViewCache.before_commit = ViewCache.after_commit = lambda *_: None
"""


class Clients:
    """Clients of one assistant, and what they were answered."""

    def __init__(self, servers: Processes, organization: Organization, seed: int) -> None:
        self.history: list[Operation] = []
        self._servers = servers
        self._organization = organization
        self._random = random.Random(seed)
        self._turns = 0
        self._reached: dict[int, asyncio.Event] = {}

    async def run(self, each: int, kills: int) -> None:
        """Each client sends so many requests, while servers are killed and started anew."""
        headers = {"authorization": f"Bearer {self._organization.editor}"}
        limits = httpx.Limits(max_connections=CLIENTS)
        moments = [CLIENTS * each * kill // (kills + 1) for kill in range(1, kills + 1)]
        self._reached = {turns: asyncio.Event() for turns in moments}
        async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as http:
            sending = [asyncio.create_task(self._client(http, n, each)) for n in range(CLIENTS)]
            for kill, turns in enumerate(moments):
                await self._reached[turns].wait()
                number = kill % len(self._servers.running)
                await asyncio.to_thread(self._servers.kill_and_start_anew, number)
            await asyncio.gather(*sending)

    async def _client(self, http: httpx.AsyncClient, number: int, each: int) -> None:
        version = 1  # the last one that this client knows of
        for turn in range(each):
            url = self._random.choice(self._servers.running).url + PATH
            kind = self._random.choice(_KINDS)
            value = "" if kind == "read" else f"{number}, {turn}"
            called = Operation(kind=kind, called=time.monotonic(), expected=version, value=value)
            operation = await _send(http, url, called)
            if operation is None or not operation.is_known:
                await asyncio.sleep(self._random.uniform(*_BACK_OFF))
            if operation is not None:
                self.history.append(operation)
                version = operation.version or version
            self._turns += 1
            if (reached := self._reached.get(self._turns)) is not None:
                reached.set()


async def _send(http: httpx.AsyncClient, url: str, called: Operation) -> Operation | None:
    """The operation with what it returned; None if it certainly did not take effect."""
    condition = {"if-match": f'"{called.expected}"'} if called.kind == "compare and set" else {}
    try:
        if called.kind == "read":
            answer = await http.get(url)
        else:
            answer = await http.patch(url, json={"description": called.value}, headers=condition)
    except httpx.ConnectError:
        return None
    except httpx.TransportError:
        return None if called.kind == "read" else called
    returned = time.monotonic()
    if answer.status_code == 503:
        return None if called.kind == "read" else called
    if answer.status_code == 412:
        return Operation(
            kind="refused",
            called=called.called,
            returned=returned,
            expected=called.expected,
            version=version_of(answer),
        )
    assert answer.status_code == 200, answer.text
    return Operation(
        kind=called.kind,
        called=called.called,
        returned=returned,
        expected=called.expected,
        value=answer.json()["description"],
        version=answer.json()["version"],
    )


def clients_answered(
    database: Path, *, servers: int, each: int, kills: int, preamble: str = "", seed: int = 20
) -> list[Operation]:
    """What 16 clients of one new assistant did and were answered."""
    (organization,) = make_organizations(database, 1)
    with processes(database, servers, preamble) as running:
        with client(running.running[0].url, organization.editor) as editor:
            body = {"name": "Front desk", "description": "new"}
            assert editor.post(ASSISTANTS, json=body).json()["version"] == 1
        clients = Clients(running, organization, seed)
        asyncio.run(clients.run(each, kills))
    return clients.history


NEW = Contents(1, "new")


def test_an_assistant_is_a_linearizable_register_while_its_server_is_killed(
    tmp_path: Path,
) -> None:
    history = clients_answered(tmp_path / "backstory.db", servers=1, each=25, kills=2)
    assert {operation.kind for operation in history} == {
        "read", "write", "compare and set", "refused",
    }  # fmt: skip
    assert is_linearizable(history, NEW)


def test_an_assistant_is_a_linearizable_register_of_three_processes(tmp_path: Path) -> None:
    with chosen("postgresql"):
        history = clients_answered(tmp_path / "backstory.db", servers=PROCESSES, each=15, kills=1)
        assert is_linearizable(history, NEW)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "servers"), [("sqlite", 1), ("postgresql", PROCESSES)])
def test_an_assistant_is_a_linearizable_register_for_long(
    tmp_path: Path,
    kind: databases.Kind,
    servers: int,
    record_property: Callable[[str, object], None],
) -> None:
    """The long form: ``.venv/bin/pytest -m long tests/end_to_end/test_linearizability.py``."""
    with chosen(kind):
        history = clients_answered(tmp_path / "backstory.db", servers=servers, each=120, kills=8)
        record_property("operations", len(history))
        record_property("without a return", sum(not one.is_known for one in history))
        assert is_linearizable(history, NEW)


@pytest.mark.sqlite
@pytest.mark.parametrize("guard_off", [_WITHOUT_PRECONDITIONS, _WITHOUT_INVALIDATION])
def test_control_without_a_guard_it_is_not_linearizable(tmp_path: Path, guard_off: str) -> None:
    history = clients_answered(
        tmp_path / "backstory.db", servers=1, each=25, kills=0, preamble=guard_off
    )
    assert not is_linearizable(history, NEW)


def test_the_checker_tells_histories_that_no_order_explains() -> None:
    write = Operation(kind="write", called=1, returned=3, value="a", version=2)
    lost = Operation(kind="read", called=4, returned=5, value="new", version=1)
    during = Operation(kind="read", called=2, returned=5, value="new", version=1)
    assert is_linearizable([write, during], NEW)
    assert not is_linearizable([write, lost], NEW)
    # A write without an answer may have happened or not, but not both.
    unknown = Operation(kind="write", called=1, value="a")
    seen = Operation(kind="read", called=6, returned=7, value="a", version=2)
    assert is_linearizable([unknown, lost, seen], NEW)
    unseen = Operation(kind="read", called=8, returned=9, value="new", version=1)
    assert not is_linearizable([unknown, seen, unseen], NEW)
    # Two that both claim to have written over one version.
    first, second = (
        Operation(
            kind="compare and set", called=1, returned=4, expected=1, value=value, version=version
        )
        for value, version in (("a", 2), ("b", 3))
    )
    assert not is_linearizable([first, second], NEW)
