"""A real server on a real database, shared by the tests; each test has organizations of its own.

The organizations are made before the server starts, because while it runs it alone writes.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import httpx
import msgspec
import pytest
import uvicorn
from msgspec import Struct, field

from app import main
from app.accounts import api_keys, organizations, principals
from app.audit import signing
from app.main import create_app
from app.services import utc_now
from app.storage.schema import migrate
from app.vault.keys import open_vault
from tests import databases
from tests.console import Browser
from tests.databases import (
    KINDS,
    config_of,
    copy_database,
    free,
    hold,
    text_of,
    url_of,
    variables,
    writing_engine,
)
from tests.forking import ROOT, forked
from tests.measured import Measuring, first_cases
from tests.no_tls import NO_TLS

# Fixtures of the tests that have one.
_WITH_A_DATABASE = frozenset(("log", "server", "tmp_path", "tmp_path_factory"))
_ORGANIZATIONS = 900  # more than the tests of one worker take, in a run of all
_FEW = 40  # for a run of few tests, some of which need several
_NEVER = 1e6  # seconds
ASSISTANTS = "/api/v1/assistants"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on", choices=KINDS, default="sqlite", help="the databases of the run")
    parser.addoption(
        "--cases",
        choices=("all", "first"),
        default="all",
        help="of each test all its cases, or the first, and none that hypothesis makes",
    )


def pytest_configure(config: pytest.Config) -> None:
    databases.choose(config.getoption("--on"))
    if config.getoption("cov_source", None):
        config.pluginmanager.register(Measuring())


def pytest_report_header(config: pytest.Config) -> str:
    return f"databases: {config.getoption('--on')}"


@pytest.hookimpl(trylast=True)  # after -m has taken the long forms out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = set(items) if config.getoption("--cases") == "all" else first_cases(items)
    kept = [item for item in items if item in chosen and _belongs(item)]
    for item in kept:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(0))  # it takes the time that it takes
    config.hook.pytest_deselected(items=[*set(items).difference(kept)])
    items[:] = kept


def _belongs(item: pytest.Item) -> bool:
    """Neither what is about SQLite's files nor what touches no database says more elsewhere."""
    return databases.on_sqlite() or (
        not item.get_closest_marker("sqlite")
        and not _WITH_A_DATABASE.isdisjoint(getattr(item, "fixturenames", ()))
    )


class Organization(Struct, frozen=True, kw_only=True):
    """An organization with one key for each role."""

    id: int
    admin: str
    editor: str
    viewer: str
    runtime: str  # a viewer's key that may resolve calls and reveal secrets


def make_organizations(path: Path, count: int) -> list[Organization]:
    """Fill a new database file with organizations and their keys."""
    config = config_of(path)
    with hold(path):
        migrate(url_of(path))
        safe = open_vault(config)
        signing.open_signer(config)
        engine = writing_engine(path)
        with engine.begin() as connection:
            made = []
            for number in range(count):
                now = utc_now()
                organization_id = organizations.ensure_organization(
                    connection, safe, f"Organization {number}", now
                )
                tokens = {}
                for role in principals.Role:
                    user_id = organizations.ensure_user(
                        connection, organization_id, role.name, f"{role.name}@example.com"
                    )
                    _, tokens[role.name] = api_keys.add_key(
                        connection,
                        safe,
                        organization_id=organization_id,
                        user_id=user_id,
                        name=f"{role.name} key",
                        role=role,
                        permissions=dict.fromkeys(principals.SCOPES, True)
                        if role == principals.Role.admin
                        else {},
                        now=now,
                    )
                _, tokens["runtime"] = api_keys.add_key(
                    connection,
                    safe,
                    organization_id=organization_id,
                    user_id=user_id,
                    name="runtime key",
                    role=principals.Role.viewer,
                    permissions=dict.fromkeys(principals.SCOPES, True),
                    now=now,
                )
                made.append(Organization(id=organization_id, **tokens))
        engine.dispose()
    return made


class Server(Struct, frozen=True, kw_only=True):
    """A server that answers, and the organizations that wait in its database."""

    url: str
    database: Path
    waiting: list[Organization]
    since: float = field(default_factory=time.monotonic)

    def organization(self) -> Organization:
        """An organization that no other test has."""
        assert self.waiting, "the tests took every organization: make more"
        return self.waiting.pop()

    def client(self, token: str | None) -> httpx.Client:
        """A client that calls with a key."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=NO_TLS)


@contextmanager
def serving(
    database: Path,
    waiting: list[Organization],
    clock: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Iterator[Server]:
    """A server in a thread of this process, on a free port."""
    app = create_app(config_of(database, **settings), clock, monotonic=monotonic)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, ws="none", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Server(url=f"http://127.0.0.1:{port}", database=database, waiting=waiting)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def serving_process(
    database: Path,
    waiting: list[Organization],
    *,
    preamble: str = "",
    stderr: IO[str] | None = None,
    **settings: str,
) -> Iterator[Server]:
    """The ``backstory serve`` command as a process of its own, on a free port.

    ``preamble`` is Python that runs in it before: how a control switches a guard off.
    """
    environment = os.environ | {"BACKSTORY_LOG_LEVEL": "warning"} | free()
    environment |= variables(text_of(database)) | settings
    command = ["backstory", "serve", "--port", "0", "--database", text_of(database)]
    log = None if stderr is None else stderr.fileno()
    with forked(
        command, ROOT, environment, preamble=preamble, stderr=log, is_measured=True
    ) as process:
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), "the server did not start"
        yield Server(url=url, database=database, waiting=waiting)
        process.terminate()
        assert process.wait(20) == 0


def version_of(answer: httpx.Response) -> int:
    """The version that an answer's tag begins with."""
    number, dash, digest = answer.headers["etag"].strip('"').partition("-")
    assert dash, f"a tag that fits others, too: {number}"
    assert len(digest) == 32
    return int(number)


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("server") / "backstory.db"
    users = sum("server" in getattr(item, "fixturenames", ()) for item in request.session.items)
    count = min(_ORGANIZATIONS, _FEW + 2 * users)
    waiting = _copied_organizations(tmp_path_factory, database, count)
    with pytest.MonkeyPatch.context() as patch:
        # It purges once, as it starts: a run takes longer than the pause between two purges, and
        # some tests read every statement.
        patch.setattr(main, "_PURGE_SECONDS", _NEVER)
        with serving(database, waiting) as running:
            yield running


def _copied_organizations(
    folders: pytest.TempPathFactory, database: Path, count: int
) -> list[Organization]:
    """Organizations that the first worker of the run made, in a database like its own.

    Each worker has a PostgreSQL of its own, and makes them there.
    """
    if not databases.on_sqlite():
        return make_organizations(database, count)
    folder = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    first, written = folder / "organizations.db", folder / "organizations.json"
    with (folder / "organizations.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not written.exists():
            made = make_organizations(first, count)
            written.write_bytes(msgspec.json.encode(made))
    copy_database(first, database)
    return msgspec.json.decode(written.read_bytes(), type=list[Organization])


@pytest.fixture
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture
def viewer(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.viewer) as client:
        yield client


@pytest.fixture
def runtime(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.runtime) as client:
        yield client


@pytest.fixture
def operator(server: Server, organization: Organization) -> Iterator[Browser]:
    """An editor at the console."""
    with Browser(server.url) as browser:
        browser.sign_in(organization.editor)
        yield browser


@pytest.fixture
def administrator(server: Server, organization: Organization) -> Iterator[Browser]:
    """An admin at the console."""
    with Browser(server.url) as browser:
        browser.sign_in(organization.admin)
        yield browser


@pytest.fixture
def reader(server: Server, organization: Organization) -> Iterator[Browser]:
    """A viewer at the console."""
    with Browser(server.url) as browser:
        browser.sign_in(organization.viewer)
        yield browser


@pytest.fixture
def assistant(editor: httpx.Client) -> dict[str, Any]:
    answer = editor.post(ASSISTANTS, json={"name": "Front desk"})
    assert answer.status_code == 201
    created: dict[str, Any] = answer.json()
    return created
