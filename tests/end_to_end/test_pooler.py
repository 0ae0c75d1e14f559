"""PgBouncer between the service and PostgreSQL: it serves if the URL says how sessions are pooled.

In transaction mode one connection's transactions go to different sessions of the server, which
have neither the prepared statements nor the settings that the connection made before.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.storage.engines import engines
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import chosen, url_of, variables
from tests.end_to_end.pooling import announced, needs_pgbouncer, pooler
from tests.end_to_end.processes import EQUAL, Processes, client, processes, run

pytestmark = needs_pgbouncer
_UNGUARDED = "from app.storage import postgresql\npostgresql.PostgreSQL.check = lambda _: None\n"
_FEW = 4  # sessions: fewer than two processes have connections


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Organization]]:
    with chosen("postgresql"):
        path = tmp_path_factory.mktemp("pooled") / "backstory.db"
        yield path, make_organizations(path, 1)[0]


def text_of(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def count_acknowledged(servers: Processes, key: str, each: int) -> int:
    """How many of the writes of three clients at each process were answered as done."""
    running = servers.running

    def write(number: int) -> int:
        with client(running[number % len(running)].url, key) as caller:
            answers = [
                caller.post(ASSISTANTS, json={"name": f"Line {number}.{turn}"})
                for turn in range(each)
            ]
        return sum(answer.status_code == 201 for answer in answers)

    clients = 3 * len(running)
    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(write, range(clients)))


@pytest.mark.long
def test_two_processes_write_through_a_pooler_in_session_mode(
    database: tuple[Path, Organization],
) -> None:
    """``pytest -m long -k pooler``."""
    path, organization = database
    with (
        chosen("postgresql"),
        pooler(path, "session") as url,
        processes(path, 2, url=text_of(url)) as servers,
    ):
        assert count_acknowledged(servers, organization.admin, 25) == 150


def test_two_processes_share_few_sessions_of_a_pooler_in_transaction_mode(
    database: tuple[Path, Organization],
) -> None:
    path, organization = database
    with (
        chosen("postgresql"),
        pooler(path, "transaction", _FEW) as url,
        processes(path, 2, url=announced(url)) as servers,
    ):
        assert count_acknowledged(servers, organization.admin, 10) == 60
        for one in servers.running:
            with client(one.url, organization.admin) as admin:
                assert read_all(admin) == {200}


def read_all(admin: Any) -> set[int]:
    """The statuses of each kind of read: cached, listed, of the past, streamed."""
    paths = (
        f"{ASSISTANTS}/1",
        ASSISTANTS,
        f"{ASSISTANTS}/export",
        f"{ASSISTANTS}/1/settings-history",
        f"{ASSISTANTS}/1?version=1",
        f"{ASSISTANTS}/1/blame",
        "/api/v1/audit/logs",
        "/api/v1/audit/export",
        "/ready",
    )
    return {admin.get(path).status_code for path in paths}


@pytest.mark.long
def test_control_in_transaction_mode_writes_fail_where_the_url_does_not_say_so(
    database: tuple[Path, Organization],
) -> None:
    """``pytest -m long -k pooler``."""
    path, organization = database
    with (
        chosen("postgresql"),
        pooler(path, "transaction", _FEW) as url,
        processes(path, 2, _UNGUARDED, text_of(url)) as servers,
    ):
        acknowledged = count_acknowledged(servers, organization.admin, 25)
    assert acknowledged < 150


def test_settings_hold_for_each_transaction_and_are_left_in_no_session(
    database: tuple[Path, Organization],
) -> None:
    path, _ = database
    with chosen("postgresql"), pooler(path, "transaction", 1) as url:
        of_service = engines(sa.make_url(announced(url)))
        reading, writing = of_service.snapshots(connections=2, longest=3), of_service.writer()
        plain = of_service.commands()
        try:
            assert shown(reading) == ("3s", "on", "repeatable read")
            assert shown(writing, "synchronous_commit")[:2] == ("30s", "on")
            assert shown(plain) == ("0", "off", "read committed")
        finally:
            for engine in (reading, writing, plain):
                engine.dispose()


def shown(engine: sa.Engine, second: str = "transaction_read_only") -> tuple[str, ...]:
    """The settings of a transaction: its statements' time, another, and its isolation."""
    names = "statement_timeout", second, "transaction_isolation"
    with engine.connect() as connection:
        return tuple(connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names)


@pytest.mark.parametrize("command", ["serve --port 0", "serve --port 0 --workers 2", "check"])
def test_a_pooler_in_transaction_mode_is_refused_with_a_sentence(
    database: tuple[Path, Organization], command: str
) -> None:
    path, _ = database
    with chosen("postgresql"), pooler(path, "transaction") as url:
        text = url.render_as_string(hide_password=False)
        settings = variables(url_of(path).render_as_string(hide_password=False))
        refused = run(path.parent, *command.split(), "--database", text, **settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert "pool_mode = session" in line


def test_control_in_session_mode_nothing_is_refused(database: tuple[Path, Organization]) -> None:
    path, _ = database
    with chosen("postgresql"), pooler(path, "session") as url:
        text = url.render_as_string(hide_password=False)
        settings = variables(url_of(path).render_as_string(hide_password=False))
        assert run(path.parent, "check", "--database", text, **settings).stdout == EQUAL
