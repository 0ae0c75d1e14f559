"""What a server does where PostgreSQL is in the way, away, or lost in the middle of a commit.

Whatever the run is on, these are on PostgreSQL.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from events.tables import organizations
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import chosen, text_of, url_of, variables, writing_engine
from tests.end_to_end.acknowledged import log_of
from tests.end_to_end.processes import client, started

_BYTES = 65_536
_WRITTEN = b"Sent to be lost"  # what the change says whose commit is lost


@pytest.fixture(autouse=True)
def _on_postgresql() -> Iterator[None]:
    with chosen("postgresql"):
        yield


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def both(database: Path) -> list[Organization]:
    return make_organizations(database, 2)


class Proxy:
    """Stands between a server and its database, and can lose the connection at a commit."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/.s.PGSQL.5432"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.loses: str | None = None  # "before" or "after" the database hears of a commit
        self._ends = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._ends:
            try:
                here, _ = self._listening.accept()
            except OSError:  # it was closed
                return
            there = socket.socket(socket.AF_UNIX)
            there.connect(self._path)
            threading.Thread(target=self._pass, args=(here, there, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(there, here, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_ours: bool) -> None:  # noqa: FBT001  # a thread's
        has_written = False
        try:
            while data := source.recv(_BYTES):
                has_written = has_written or _WRITTEN in data
                if is_ours and has_written and self.loses and b"COMMIT" in data:
                    self._lose(source, target, data)
                    return
                target.sendall(data)
        except OSError:  # the other direction was lost
            pass
        finally:
            for one in (source, target):
                one.close()

    def _lose(self, ours: socket.socket, database: socket.socket, data: bytes) -> None:
        """Once: the next commit goes through."""
        loses, self.loses = self.loses, None
        ours.shutdown(socket.SHUT_RDWR)
        if loses == "after":
            database.sendall(data)
        database.shutdown(socket.SHUT_WR)  # it does what it was told, and ends

    def close(self) -> None:
        self._ends = True
        self._listening.close()


@pytest.fixture
def proxy(database: Path) -> Iterator[Proxy]:
    folder = url_of(database).query["host"]
    assert isinstance(folder, str)
    with closing(Proxy(folder)) as made:
        yield made


@contextmanager
def serving_through(proxy: Proxy, database: Path) -> Iterator[str]:
    """The URL of a server that reaches its database through the proxy."""
    url = url_of(database).set(host="127.0.0.1", port=proxy.port, query={"ssl": "disable"})
    arguments = ("--database", url.render_as_string(hide_password=False))
    keys = variables(text_of(database))
    with started(database.parent, "serve", "--port", "0", *arguments, **keys) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@pytest.fixture
def editor(proxy: Proxy, database: Path, both: list[Organization]) -> Iterator[httpx.Client]:
    with serving_through(proxy, database) as url, client(url, both[0].editor) as made:
        assert made.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        yield made


def patch(editor: httpx.Client, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return editor.patch(f"{ASSISTANTS}/1", json={"description": _WRITTEN.decode()}, headers=named)


@pytest.mark.parametrize(("loses", "is_done"), [("after", True), ("before", False)])
def test_an_outcome_that_is_unknown_is_said_to_be_and_the_key_resolves_it(
    editor: httpx.Client,
    proxy: Proxy,
    database: Path,
    both: list[Organization],
    loses: str,
    is_done: bool,  # noqa: FBT001  # pytest's way
) -> None:
    proxy.loses = loses
    lost = patch(editor, idempotency_key="one")
    assert (lost.status_code, lost.json()["type"].split(":")[-1]) == (503, "outcome-unknown")
    assert lost.headers["retry-after"]
    repeated = patch(editor, idempotency_key="one")
    assert repeated.status_code == 200
    assert repeated.json()["version"] == 2
    assert ("idempotent-replayed" in repeated.headers) == is_done
    assert len(log_of(database, both[0].id)) == 2


def test_control_without_a_key_a_repeated_change_is_decided_anew(
    editor: httpx.Client, proxy: Proxy
) -> None:
    proxy.loses = "after"
    assert patch(editor).status_code == 503
    again = editor.patch(f"{ASSISTANTS}/1", json={"description": "Sent again"})
    assert again.json()["version"] == 3


def test_a_lock_that_is_not_had_in_time_is_503_and_nothing_was_changed(
    editor: httpx.Client, database: Path, both: list[Organization]
) -> None:
    engine = writing_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.select(organizations).with_for_update())
        held = patch(editor)
        assert (held.status_code, held.json()["type"].split(":")[-1]) == (503, "unavailable")
        assert held.headers["retry-after"]
    engine.dispose()
    assert patch(editor).json()["version"] == 2
    assert len(log_of(database, both[0].id)) == 2


def test_a_deadlock_is_tried_again(
    editor: httpx.Client, database: Path, both: list[Organization]
) -> None:
    """Somebody locks the counter rows in the other order than everybody."""
    ids = [one.id for one in both]
    row = sa.select(organizations).with_for_update()
    engine = writing_engine(database)
    with client(str(editor.base_url), both[1].editor) as other, engine.connect() as connection:
        connection.execute(row.where(organizations.c.organization_id == ids[1]))
        answers: list[httpx.Response] = []
        # Both wait behind the row of the second, in one batch or in two.
        waiting = [
            threading.Thread(target=lambda: answers.append(patch(editor))),
            threading.Thread(
                target=lambda: answers.append(other.post(ASSISTANTS, json={"name": "Other"}))
            ),
        ]
        for one in waiting:
            one.start()
        with suppress(sa.exc.OperationalError):  # where this one was chosen to give way
            connection.execute(row.where(organizations.c.organization_id == ids[0]))
        connection.rollback()
        for one in waiting:
            one.join()
    engine.dispose()
    assert sorted(answer.status_code for answer in answers) == [200, 201]
